"""API keys of the account: made, renamed and revoked. A secret is on the one page that answers its making."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.visit import Visit, back, screen
from callreel.errors import InvalidParameter, Refused
from callreel.model.account import ApiKey
from callreel.model.deed import Action, changes
from callreel.model.person import Right
from callreel.model.sid import is_sid
from callreel.steps.open_account import check_friendly_name, issue_key

MOST = 1000


@screen(Right.KEYS)
async def api_keys(visit: Visit) -> Response:
    """The keys, and the form for a new one."""
    if not visit.is_post:
        return await _page(visit)
    try:
        if visit.form["do"] == "add":
            return await _page(visit, made=await _add(visit))
        await _change(visit)
    except Refused as why:
        return await _page(visit, fault=why.message)
    return back(visit)


async def _add(visit: Visit) -> tuple[ApiKey, str]:
    parts = visit.parts
    return await issue_key(
        visit.account,
        visit.form.text("name"),
        accounts=parts.ledger.accounts,
        digest=parts.digest,
        clock=parts.clock,
        by=visit.actor,
    )


async def _change(visit: Visit) -> None:
    accounts, now = visit.parts.ledger.accounts, visit.parts.clock.now()
    sid = visit.form["sid"]
    if not is_sid("SK", sid):
        raise InvalidParameter("This key is not known")
    key = await accounts.fetch_key(visit.account.sid, sid)
    if visit.form["do"] == "revoke":
        deed = visit.actor.deed(Action.KEY_DELETED, visit.account.sid, key.sid, name=key.friendly_name)
        await accounts.revoke_key(visit.account.sid, key.sid, now=now, deed=deed)
    elif visit.form["do"] == "rename":
        name = check_friendly_name(visit.form.text("name"))
        told = changes({"friendly_name": key.friendly_name}, {"friendly_name": name})
        deed = visit.actor.deed(Action.KEY_CHANGED, visit.account.sid, key.sid, changes=told)
        await accounts.rename_key(visit.account.sid, key.sid, name, now=now, deed=deed)
    else:
        raise InvalidParameter("This form is unknown")


async def _page(visit: Visit, *, made: tuple[ApiKey, str] | None = None, fault: str = "") -> Response:
    found = await visit.parts.ledger.accounts.list_keys(visit.account.sid, place=None, size=MOST)
    status = 400 if fault else 200
    return page(visit, "api_keys.html", status=status, keys=found.rows, made=made, fault=fault)


ROUTES = (Route("/api-keys", api_keys, methods=["GET", "POST"]),)
