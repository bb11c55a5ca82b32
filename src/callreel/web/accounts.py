"""2010 Accounts: the caller's own and its subaccounts."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from callreel.errors import NotAllowed
from callreel.model.account import Account, AccountStatus
from callreel.steps.close_account import delete_with_account, destroy_account_key
from callreel.steps.open_account import change_account, open_account
from callreel.web.answers import account_json, answer_2010, list_answer_2010
from callreel.web.auth import By, Opened, SignedIn, acting_for
from callreel.web.description import PAGING, answers, asks, page_of_2010, shape, takes
from callreel.web.forms import Form, Parameters, Query
from callreel.web.pages import PageWish, links_of
from callreel.web.routes import on_2010

router = APIRouter()
ACCOUNT = shape(
    sid="text",
    friendly_name="text",
    auth_token="text?",  # noqa: S106 - a word for a type
    owner_account_sid="text",
    status="text",
    type="text",
    date_created="text",
    date_updated="text",
    subresource_uris="object",
    uri="text",
)
STATUSES = tuple(str(status) for status in AccountStatus)


@on_2010(
    router,
    "GET",
    "/Accounts",
    responses=answers(200, "The account and its subaccounts, newest first", page_of_2010("accounts", ACCOUNT)),
    openapi_extra=asks(FriendlyName="text", Status="text", **PAGING),
)
async def list_accounts(request: Request, caller: SignedIn, parts: Opened, query: Query) -> Response:
    """List the account and its subaccounts"""
    wish = PageWish.read(query)
    name, status = query.text("FriendlyName"), query.choice("Status", STATUSES)
    page = await parts.ledger.accounts.list_family(
        caller.account.sid,
        place=wish.place,
        size=wish.size,
        friendly_name=name,
        status=AccountStatus(status) if status else None,
    )
    filters = [(key, value) for key, value in (("FriendlyName", name), ("Status", status)) if value]
    links = links_of(request.scope["path"], filters, wish, page)
    return list_answer_2010(request, "Account", "accounts", [account_json(a) for a in page.rows], wish, links)


@on_2010(
    router,
    "POST",
    "/Accounts",
    responses=answers(201, "The subaccount with its auth token, shown this once", ACCOUNT),
    openapi_extra=takes({"FriendlyName": "text"}),
)
async def create_subaccount(request: Request, caller: SignedIn, by: By, parts: Opened, form: Form) -> Response:
    """Create a subaccount"""
    name = form.text("FriendlyName") or f"SubAccount Created at {parts.clock.now():%Y-%m-%d %I:%M %p}"
    account, token = await open_account(
        name,
        parent=caller.account,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
        by=by,
    )
    return answer_2010(request, "Account", account_json(account, token), 201)


@on_2010(router, "GET", "/Accounts/{account_sid}", responses=answers(200, "The account, without its token", ACCOUNT))
async def fetch_account(request: Request, account_sid: str, caller: SignedIn, parts: Opened) -> Response:
    """Fetch an account"""
    return answer_2010(request, "Account", account_json(await acting_for(caller, account_sid, parts)))


@on_2010(
    router,
    "POST",
    "/Accounts/{account_sid}",
    responses=answers(200, "The account as it is now", ACCOUNT),
    openapi_extra=takes({"FriendlyName": "text", "Status": "text"}),
)
async def update_account(
    request: Request, account_sid: str, caller: SignedIn, by: By, parts: Opened, form: Form
) -> Response:
    """Rename an account; suspend, close or activate a subaccount"""
    account = await acting_for(caller, account_sid, parts)
    changed = await change_account(
        account,
        friendly_name=form.sent("FriendlyName"),
        status=_status(form, account, caller.account),
        accounts=parts.ledger.accounts,
        clock=parts.clock,
        by=by,
    )
    if changed.status is AccountStatus.CLOSED and account.status is not AccountStatus.CLOSED:
        await delete_with_account(changed.sid, ledger=parts.ledger, clock=parts.clock, by=by)
        await destroy_account_key(changed.sid, ledger=parts.ledger, keys=parts.keys, clock=parts.clock, by=by)
    return answer_2010(request, "Account", account_json(changed))


def _status(form: Parameters, account: Account, caller: Account) -> AccountStatus | None:
    """The status asked for. Raises `NotAllowed` for one's own account: nobody could undo it by this API."""
    wanted = form.choice("Status", STATUSES)
    if wanted is None or wanted == account.status:
        return None
    if account.sid == caller.sid:
        raise NotAllowed("Only the owner of a subaccount may change its status")
    if account.status is AccountStatus.CLOSED:
        raise NotAllowed("A closed account stays closed")
    return AccountStatus(wanted)
