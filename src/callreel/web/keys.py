"""2010 Keys: API keys of an account, whose secrets are shown once."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from callreel.model.deed import Action, changes
from callreel.steps.open_account import check_friendly_name, issue_key
from callreel.web.answers import answer_2010, key_json, list_answer_2010
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of_2010, shape, takes
from callreel.web.forms import Form, Query
from callreel.web.pages import PageWish, links_of
from callreel.web.routes import on_2010

router = APIRouter()
KEY = shape(sid="text", friendly_name="text", date_created="text", date_updated="text")
NEW_KEY = shape(sid="text", friendly_name="text", date_created="text", date_updated="text", secret="text")  # noqa: S106 - a word for a type
PATH = "/Accounts/{account_sid}/Keys"


@on_2010(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's keys, newest first", page_of_2010("keys", KEY)),
    openapi_extra=asks(**PAGING),
)
async def list_keys(request: Request, account: Acting, parts: Opened, query: Query) -> Response:
    """List API keys"""
    wish = PageWish.read(query)
    page = await parts.ledger.accounts.list_keys(account.sid, place=wish.place, size=wish.size)
    links = links_of(request.scope["path"], [], wish, page)
    return list_answer_2010(request, "Key", "keys", [key_json(key) for key in page.rows], wish, links)


@on_2010(
    router,
    "POST",
    PATH,
    responses=answers(201, "The key with its secret, shown this once", NEW_KEY),
    openapi_extra=takes({"FriendlyName": "text"}),
)
async def create_key(request: Request, account: Acting, by: By, parts: Opened, form: Form) -> Response:
    """Create an API key"""
    key, secret = await issue_key(
        account,
        form.text("FriendlyName") or "",
        accounts=parts.ledger.accounts,
        digest=parts.digest,
        clock=parts.clock,
        by=by,
    )
    return answer_2010(request, "Key", key_json(key) | {"secret": secret}, 201)


@on_2010(router, "GET", PATH + "/{sid}", responses=answers(200, "The key, without its secret", KEY))
async def fetch_key(request: Request, sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch an API key"""
    key = await parts.ledger.accounts.fetch_key(account.sid, path_sid("SK", sid))
    return answer_2010(request, "Key", key_json(key))


@on_2010(
    router,
    "POST",
    PATH + "/{sid}",
    responses=answers(200, "The key under its new name", KEY),
    openapi_extra=takes({"FriendlyName": "text"}),
)
async def rename_key(request: Request, sid: str, account: Acting, by: By, parts: Opened, form: Form) -> Response:
    """Rename an API key"""
    key = await parts.ledger.accounts.fetch_key(account.sid, path_sid("SK", sid))
    name = form.sent("FriendlyName")
    if name is not None:
        told = changes({"friendly_name": key.friendly_name}, {"friendly_name": check_friendly_name(name)})
        deed = by.deed(Action.KEY_CHANGED, account.sid, key.sid, changes=told)
        key = await parts.ledger.accounts.rename_key(account.sid, key.sid, name, now=parts.clock.now(), deed=deed)
    return answer_2010(request, "Key", key_json(key))


@on_2010(router, "DELETE", PATH + "/{sid}", responses=answers(204, "The key works no more"))
async def delete_key(sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Delete an API key"""
    key = await parts.ledger.accounts.fetch_key(account.sid, path_sid("SK", sid))
    deed = by.deed(Action.KEY_DELETED, account.sid, key.sid, friendly_name=key.friendly_name)
    await parts.ledger.accounts.revoke_key(account.sid, key.sid, now=parts.clock.now(), deed=deed)
    return Response(status_code=204)
