"""Settings of an account: its name, its auth token, and the people who sign in. Secrets are shown this once."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.visit import Visit, back, screen
from callreel.errors import InvalidParameter, NotFound, Refused
from callreel.model.person import Person, Right, Role
from callreel.model.sid import is_sid
from callreel.steps.admit_person import admit_person, change_password, change_role, dismiss_person
from callreel.steps.open_account import change_account, check_friendly_name, rotate_token

ROLES = {
    Role.OWNER: "Everything, settings and people too",
    Role.OPERATOR: "Restart, delete, migrate; no settings",
    Role.LISTENER: "List, play and download",
}


@screen(Right.PEOPLE)
async def settings(visit: Visit) -> Response:
    """The page; a new token or password stands on the one page that answers its making."""
    if not visit.is_post:
        return await _page(visit)
    try:
        do = visit.form["do"]
        if do == "rotate":
            return await _page(visit, token=await _rotate(visit))
        if do == "admit":
            return await _page(visit, made=await _admit(visit))
        if do == "password":
            return await _page(visit, made=await _new_password(visit, await _person(visit)))
        await _change(visit, do)
    except Refused as why:
        if isinstance(why, NotFound):
            raise
        return await _page(visit, fault=why.message)
    return back(visit, saved="1")


async def _change(visit: Visit, do: str) -> None:
    people, clock = visit.parts.ledger.people, visit.parts.clock
    if do == "rename":
        name = check_friendly_name(visit.form.text("name"))
        await change_account(
            visit.account,
            friendly_name=name,
            status=None,
            accounts=visit.parts.ledger.accounts,
            clock=clock,
            by=visit.actor,
        )
    elif do == "role":
        person = await _other(visit)
        await change_role(person, _role(visit), people=people, clock=clock, by=visit.actor)
    elif do == "remove":
        await dismiss_person(await _other(visit), people=people, clock=clock, by=visit.actor)
    else:
        raise InvalidParameter("This form is unknown")


async def _rotate(visit: Visit) -> str:
    wanted = visit.account.sid[-4:]
    if visit.form.text("confirm") != wanted:
        raise InvalidParameter(f"To replace the auth token, type {wanted}, the last four characters of the account SID")
    parts = visit.parts
    _, token = await rotate_token(
        visit.account.sid,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
        by=visit.actor,
    )
    return token


async def _admit(visit: Visit) -> tuple[Person, str]:
    person, password = await admit_person(
        visit.account,
        visit.form.text("email"),
        _role(visit),
        password=None,
        people=visit.parts.ledger.people,
        passwords=visit.parts.passwords,
        clock=visit.parts.clock,
        by=visit.actor,
    )
    return person, password or ""


async def _new_password(visit: Visit, person: Person) -> tuple[Person, str]:
    if person.sid == visit.person.sid:
        raise InvalidParameter("Your own password is changed by another owner, or with `callreel users set-password`")
    changed, password = await change_password(
        person.email,
        password=None,
        people=visit.parts.ledger.people,
        passwords=visit.parts.passwords,
        clock=visit.parts.clock,
        by=visit.actor,
    )
    return changed, password or ""


async def _person(visit: Visit) -> Person:
    """The person of the form. Raises `NotFound` for one of another account."""
    sid = visit.form["sid"]
    if not is_sid("US", sid):
        raise InvalidParameter("This person is not known")
    return await visit.parts.ledger.people.fetch(visit.account.sid, sid)


async def _other(visit: Visit) -> Person:
    person = await _person(visit)
    if person.sid == visit.person.sid:
        raise InvalidParameter("Nobody changes their own role or removes themselves: another owner does that")
    return person


def _role(visit: Visit) -> Role:
    if visit.form["role"] not in tuple(Role):
        raise InvalidParameter("Choose a role")
    return Role(visit.form["role"])


async def _page(visit: Visit, *, token: str = "", made: tuple[Person, str] | None = None, fault: str = "") -> Response:
    return page(
        visit,
        "settings.html",
        status=400 if fault else 200,
        people=await visit.parts.ledger.people.list(visit.account.sid),
        roles=ROLES,
        token=token,
        made=made,
        fault=fault,
        was_saved="saved" in visit.query,
        days=visit.parts.chosen.retention.voice_days,
    )


ROUTES = (Route("/settings", settings, methods=["GET", "POST"]),)
