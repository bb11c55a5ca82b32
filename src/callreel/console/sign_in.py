"""The first page: signing in, signing out, and looking at another account of the family."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from callreel.console.cookies import cookie
from callreel.console.fields import Fields, read_form, read_query
from callreel.console.pages import bare_page, page
from callreel.console.visit import (
    COOKIE,
    FORGED,
    HOME,
    ROOT,
    VISITOR,
    Visit,
    actor_of,
    back,
    find_session,
    is_ours,
    open_form,
    own_path,
    screen,
    whence,
)
from callreel.errors import AccountNotActive, CallreelError, InvalidParameter, NotAuthenticated, NotFound
from callreel.ledger.paging import Place
from callreel.model.account import Account
from callreel.model.deed import Action, Actor
from callreel.model.person import ABSOLUTE, REMEMBERED, Person, Right
from callreel.model.sid import AccountSid, is_sid
from callreel.parts import Parts
from callreel.sign_in_limits import SignInLimits
from callreel.steps.sign_in import begin_session, know_person

MOST_ACCOUNTS = 1000  # in the menu
COOKIE_S = int((ABSOLUTE + REMEMBERED).total_seconds())


async def show_sign_in(request: Request) -> Response:
    """The form, or the first page for somebody who is in already."""
    known = await find_session(request)
    wanted = own_path(read_query(request)["next"])
    if known is not None and not known[0].is_over(request.app.state.parts.clock.now()):
        return RedirectResponse(wanted, 303)
    return await sign_in_page(request, wanted=wanted, status=200, ended=known is not None and not known[0].ended)


async def sign_in_page(
    request: Request,
    *,
    wanted: str,
    kept: str = "",
    email: str = "",
    why: str = "",
    ended: bool = False,
    status: int = 401,
) -> Response:
    """The form, with what was typed elsewhere in a sealed field."""
    has_people = bool(await request.app.state.parts.ledger.people.list(None))
    return bare_page(
        request,
        "sign_in.html",
        status=status,
        wanted=wanted if wanted != HOME else "",
        kept=kept,
        email=email,
        why=why,
        ended=ended,
        has_people=has_people,
    )


async def sign_in(request: Request) -> Response:
    """Check e-mail and password, and begin a session under a new id."""
    parts: Parts = request.app.state.parts
    form = await read_form(request)
    wanted = own_path(form["next"])
    again = partial(sign_in_page, request, wanted=wanted, kept=form["kept"], email=form.text("email"))
    if not is_ours(request, form, request.cookies.get(VISITOR, "")):
        return await again(why=FORGED, status=403)
    try:
        person = await _known(request, form, parts)
    except CallreelError as why:
        if isinstance(why, (NotAuthenticated, AccountNotActive)):
            return await again(why=why.message)
        raise
    kept, wanted = _given_back(form, person, wanted, parts)
    old = await find_session(request)
    if old is not None:
        await parts.ledger.people.end_session(old[0].digest)
    secret = await begin_session(
        person, kept_form=kept, people=parts.ledger.people, digest=parts.digest, clock=parts.clock
    )
    opened = actor_of(request, person).deed(Action.SESSION_OPENED, person.account_sid, person.sid)
    await parts.ledger.audit.write(opened)
    answer = RedirectResponse(wanted, 303)
    set_to = cookie(COOKIE, secret, parts.public_url, max_age_s=COOKIE_S)
    answer.headers.append("set-cookie", set_to.decode("latin-1"))
    return answer


async def _known(request: Request, form: Fields, parts: Parts) -> Person:
    """The person, or `NotAuthenticated`, `AccountNotActive`, and `TooManyAttempts` after too many failures."""
    limits: SignInLimits = request.app.state.limits
    address = request.client.host if request.client else "?"
    names = (f"address {address}", f"person {form.text('email').lower()[:254]}")
    limits.check(*names)  # argon2 is dear: who is locked out does not get it worked
    try:
        return await know_person(
            form["email"],
            form["password"],
            people=parts.ledger.people,
            accounts=parts.ledger.accounts,
            passwords=parts.passwords,
        )
    except NotAuthenticated:
        limits.count_failure(*names)
        await _note_refusal(request, form, parts)
        raise


async def _note_refusal(request: Request, form: Fields, parts: Parts) -> None:
    """A wrong password is told to the account it was tried on; what was typed is not: it may be a password."""
    found = await parts.ledger.people.find_by_email(form.text("email").lower())
    person = found[0] if found else None
    by = Actor(person.sid if person else "nobody", *whence(request))
    account_sid = person.account_sid if person else None
    await parts.ledger.audit.write(by.deed(Action.SESSION_REFUSED, account_sid, person.sid if person else None))


def _given_back(form: Fields, person: Person, wanted: str, parts: Parts) -> tuple[bytes | None, str]:
    """What this person had typed, still sealed, and the page that shows it again."""
    if not form["kept"]:
        return None, wanted
    try:
        sealed = bytes.fromhex(form["kept"])
        path, query, _ = open_form(sealed, person, parts)
    except (ValueError, InvalidParameter):
        return None, wanted
    return sealed, f"{path}?kept=1" + (f"&{query}" if query else "")


@screen(Right.LIST)
async def sign_out(visit: Visit) -> Response:
    """End the session here and in the browser."""
    await visit.parts.ledger.people.end_session(visit.session.digest)
    closed = visit.by.deed(Action.SESSION_CLOSED, visit.person.account_sid, visit.person.sid)
    await visit.parts.ledger.audit.write(closed)
    answer = back(visit, f"{ROOT}/")
    gone = cookie(COOKIE, "", visit.parts.public_url, max_age_s=0)
    answer.headers.append("set-cookie", gone.decode("latin-1"))
    return answer


@screen(Right.LIST)
async def accounts(visit: Visit) -> Response:
    """The accounts this person may look at: as a page, or as the menu of the side bar."""
    family = await _family(visit)
    return page(visit, "accounts_menu.html" if visit.is_fragment else "accounts.html", family=family)


async def _family(visit: Visit) -> list[Account]:
    found: list[Account] = []
    place: Place | None = None
    while True:
        got = await visit.parts.ledger.accounts.list_family(visit.person.account_sid, place=place, size=200)
        found += [account for account in got.rows if account.is_active]
        if not got.has_next or len(found) >= MOST_ACCOUNTS:
            return sorted(found, key=lambda account: (account.sid != account.owner_sid, account.friendly_name.lower()))
        place = Place(got.rows[-1].date_created, got.rows[-1].sid)


@screen(Right.LIST)
async def look_at(visit: Visit) -> Response:
    """Look at another account: one's own, or a subaccount of it."""
    sid = visit.form["account"]
    account = await visit.parts.ledger.accounts.find(AccountSid(sid)) if is_sid("AC", sid) else None
    if account is None or visit.person.account_sid not in (account.sid, account.owner_sid):
        raise NotFound()
    await visit.parts.ledger.people.look_at(visit.session.digest, account.sid)
    return back(visit, HOME)


ROUTES = (
    Route("/", show_sign_in, methods=["GET"]),
    Route("/", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/accounts", accounts, methods=["GET"]),
    Route("/accounts", look_at, methods=["POST"]),
)
