"""Credentials on the accounts surface: access keys of buckets, and public keys to encrypt with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from callreel.model.credential import Credential, CredentialKind
from callreel.model.deed import Action, Actor, changes
from callreel.parts import Parts
from callreel.steps.authenticate import Caller
from callreel.steps.keep_credential import check_name, keep_access_key, keep_public_key
from callreel.web.answers import CREDENTIAL_PATHS, credential_json, json_answer
from callreel.web.auth import By, Opened, SignedIn, acting_for, path_sid
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import Form, Parameters, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
CREDENTIAL = shape(
    sid="text", account_sid="text", friendly_name="text", date_created="text", date_updated="text", url="text"
)
SECRETS = {CredentialKind.AWS: "Credentials", CredentialKind.PUBLIC_KEY: "PublicKey"}
_WHAT = {CredentialKind.AWS: "AWS credential", CredentialKind.PUBLIC_KEY: "public key"}


def _add(kind: CredentialKind) -> None:
    """The five operations on one kind of credential: both kinds are alike but for what they hold."""
    path = f"/v1/Credentials/{CREDENTIAL_PATHS[kind]}"
    what, secret = _WHAT[kind], SECRETS[kind]
    fields = {secret: "text", "FriendlyName": "text", "AccountSid": "text"}

    async def list_credentials(caller: SignedIn, parts: Opened, query: Query) -> Response:
        return await _list(caller, kind, path, parts, query)

    async def create(caller: SignedIn, by: By, parts: Opened, form: Form) -> Response:
        return await _create(caller, by, kind, parts, form)

    async def fetch(sid: str, caller: SignedIn, parts: Opened) -> Response:
        found = await parts.ledger.credentials.fetch(caller.account.sid, kind, path_sid("CR", sid))
        return json_answer(credential_json(found, parts.public_url))

    async def rename(sid: str, caller: SignedIn, by: By, parts: Opened, form: Form) -> Response:
        return await _rename(caller, by, kind, path_sid("CR", sid), parts, form)

    async def remove(sid: str, caller: SignedIn, by: By, parts: Opened) -> Response:
        gone = await parts.ledger.credentials.fetch(caller.account.sid, kind, path_sid("CR", sid))
        told = {"kind": str(kind), "friendly_name": gone.friendly_name}
        deed = by.deed(Action.CREDENTIAL_DELETED, gone.account_sid, gone.sid, **told)
        now = parts.clock.now()
        await parts.ledger.credentials.remove(caller.account.sid, kind, gone.sid, now=now, deed=deed)
        return Response(status_code=204)

    one = answers(200, f"The {what}, without what it holds", CREDENTIAL)
    _on("GET", path, f"List {what}s", list_credentials, answers(200, "Newest first", _PAGE), asks(**PAGING))
    _on("POST", path, f"Create a {what}", create, _created(what), takes(fields, required=[secret]))
    _on("GET", path + "/{sid}", f"Fetch a {what}", fetch, one, {})
    _on("POST", path + "/{sid}", f"Rename a {what}", rename, one, takes({"FriendlyName": "text"}))
    _on("DELETE", path + "/{sid}", f"Delete a {what}", remove, answers(204, "It is gone"), {})


_PAGE = page_of("credentials", CREDENTIAL)


def _created(what: str) -> dict[int | str, dict[str, object]]:
    return answers(201, f"The {what}, without what it holds", CREDENTIAL)


def _on(
    method: str,
    path: str,
    summary: str,
    endpoint: Callable[..., Awaitable[Response]],
    responses: dict[int | str, dict[str, object]],
    extra: dict[str, object],
) -> None:
    endpoint.__doc__ = summary
    on(router, method, path, responses=responses, openapi_extra=extra)(endpoint)


async def _list(caller: Caller, kind: CredentialKind, path: str, parts: Parts, query: Parameters) -> Response:
    wish = PageWish.read(query)
    page = await parts.ledger.credentials.list(caller.account.sid, kind, place=wish.place, size=wish.size)
    links = links_of(f"{parts.public_url}{path}", [], wish, page)
    rows = [credential_json(found, parts.public_url) for found in page.rows]
    return json_answer(envelope_v1("credentials", rows, wish, links))


async def _create(caller: Caller, by: Actor, kind: CredentialKind, parts: Parts, form: Parameters) -> Response:
    text, name = form.required(SECRETS[kind]), form.text("FriendlyName") or ""
    account = caller.account
    if (wanted := form.sid("AccountSid", "AC")) is not None:
        account = await acting_for(caller, wanted, parts)
    keep = keep_access_key if kind is CredentialKind.AWS else keep_public_key
    made: Credential = await keep(
        account.sid, text, name, credentials=parts.ledger.credentials, keyring=parts.keyring, clock=parts.clock, by=by
    )
    return json_answer(credential_json(made, parts.public_url), 201)


async def _rename(
    caller: Caller, by: Actor, kind: CredentialKind, sid: str, parts: Parts, form: Parameters
) -> Response:
    found = await parts.ledger.credentials.fetch(caller.account.sid, kind, sid)
    name = form.sent("FriendlyName")
    if name is not None:
        told = changes({"friendly_name": found.friendly_name}, {"friendly_name": check_name(name)})
        deed = by.deed(Action.CREDENTIAL_CHANGED, found.account_sid, found.sid, changes=told)
        found = await parts.ledger.credentials.rename(
            caller.account.sid, kind, sid, name, now=parts.clock.now(), deed=deed
        )
    return json_answer(credential_json(found, parts.public_url))


for _kind in CredentialKind:
    _add(_kind)
