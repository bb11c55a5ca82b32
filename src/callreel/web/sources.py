"""Sources of an account: Twilio accounts that its recordings are moved out of. Their secrets are never shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from callreel.errors import MissingParameter
from callreel.ledger.sources import Once
from callreel.model.account import Account
from callreel.model.callback import iso
from callreel.model.source import Ability, Source, webhook_trouble
from callreel.parts import Parts
from callreel.steps.keep_source import SourceWish, add_source, change_source, check_source, remove_source
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Parameters, Query
from callreel.web.migrations import recordings_named
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on
from callreel.web.uploads import idempotency_key

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Sources"
_CHANGES = {
    "FriendlyName": "text",
    "AuthToken": "text",
    "ApiKeySid": "text",
    "ApiKeySecret": "text",
    "PollSeconds": "integer",
    "IncludeSubaccounts": "flag",
    "RecordVerbIsVoicemail": "flag",
    "IncludeCalls": "flag",
}
_FIELDS = {"TwilioAccountSid": "text", "BaseUrl": "text", **_CHANGES}
SOURCE = shape(
    sid="text",
    account_sid="text",
    friendly_name="text",
    twilio_account_sid="text",
    api_key_sid="text?",
    base_url="text",
    poll_seconds="integer",
    include_subaccounts="flag",
    record_verb_is_voicemail="flag",
    include_calls="flag",
    webhook_url="text?",
    webhook_trouble="text?",
    polled_to="text?",
    last_error="text?",
    date_created="text",
    date_updated="text",
    url="text",
)
CHECKED = shape(sid="text", ok="flag", checks="list")


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's sources, newest first", page_of("sources", SOURCE)),
    openapi_extra=asks(**PAGING),
)
async def list_sources(account: Acting, parts: Opened, query: Query) -> Response:
    """List sources"""
    wish = PageWish.read(query)
    page = await parts.ledger.sources.list(account.sid, place=wish.place, size=wish.size)
    links = links_of(_url(account, parts), [], wish, page)
    rows = [source_json(found, parts.public_url) for found in page.rows]
    return json_answer(envelope_v1("sources", rows, wish, links))


@on(
    router,
    "POST",
    PATH,
    responses=answers(201, "The source, without its secret", SOURCE),
    openapi_extra=takes(_FIELDS, required=["TwilioAccountSid"], json=True),
)
async def create_source(request: Request, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Add a source; nothing is asked of it yet"""
    twilio_account_sid = form.sid("TwilioAccountSid", "AC")
    if twilio_account_sid is None:
        raise MissingParameter("TwilioAccountSid")
    key = idempotency_key(request)
    # Keyed, since the request holds a secret: nobody learns anything from the digest.
    sent = parts.digest.digest(json.dumps([account.sid, "Sources", form.pairs()])).hex()
    source = await add_source(
        account.sid,
        twilio_account_sid,
        _wish(form),
        base_url=form.text("BaseUrl"),
        once=None if key is None else Once(key, sent),
        ledger=parts.ledger,
        sources=parts.sources,
        guard=parts.guard,
        clock=parts.clock,
        by=by,
    )
    return json_answer(source_json(source, parts.public_url), 201)


@on(router, "GET", PATH + "/{sid}", responses=answers(200, "The source, without its secret", SOURCE))
async def fetch_source(sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a source"""
    return json_answer(source_json(await _fetch(sid, account, parts), parts.public_url))


@on(
    router,
    "POST",
    PATH + "/{sid}",
    responses=answers(200, "The source as it is now", SOURCE),
    openapi_extra=takes(_CHANGES, json=True),
)
async def update_source(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Change a source, or give it a new credential; what is not sent keeps its value"""
    source = await _fetch(sid, account, parts)
    changed = await change_source(
        source, _wish(form), ledger=parts.ledger, sources=parts.sources, clock=parts.clock, by=by
    )
    return json_answer(source_json(changed, parts.public_url))


@on(router, "DELETE", PATH + "/{sid}", responses=answers(204, "It is forgotten; what was moved stays"))
async def delete_source(sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Remove a source"""
    await remove_source(await _fetch(sid, account, parts), ledger=parts.ledger, clock=parts.clock, by=by)
    return Response(status_code=204)


@on(router, "POST", PATH + "/{sid}/Check", responses=answers(200, "What its credential may do there", CHECKED))
async def check(sid: str, account: Acting, parts: Opened) -> Response:
    """Try what a source's credential may do, without changing anything"""
    source = await _fetch(sid, account, parts)
    ok, found = await check_source(source, ledger=parts.ledger, sources=parts.sources)
    return json_answer(checked_json(source, ok, found))


@on(
    router,
    "POST",
    PATH + "/{sid}/Retry",
    responses=answers(200, "How many were taken up again", shape(retried="integer")),
    openapi_extra=takes({"RecordingSid": "texts"}, json=True),
)
async def retry_new(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Take up again what failed of the new recordings, which belong to no migration: these, or all"""
    source = await _fetch(sid, account, parts)
    retried = await parts.ledger.migrations.retry_strays(
        source, host_id=parts.spool.host_id, named=recordings_named(form), by=by
    )
    return json_answer({"retried": retried})


def source_json(source: Source, public_url: str) -> dict[str, Any]:
    """A source as it is shown. `webhook_url` is where its status callbacks may be sent, null with an API key;
    `webhook_trouble` why Twilio could not reach it, and what to set."""
    own = f"{public_url}/callreel{PATH.format(account_sid=source.account_sid)}/{source.sid}"
    return {
        "sid": source.sid,
        "account_sid": source.account_sid,
        "friendly_name": source.friendly_name,
        "twilio_account_sid": source.twilio_account_sid,
        "api_key_sid": source.api_key_sid,
        "base_url": source.base_url,
        "poll_seconds": source.poll_seconds,
        "include_subaccounts": source.include_subaccounts,
        "record_verb_is_voicemail": source.record_verb_is_voicemail,
        "include_calls": source.include_calls,
        "webhook_url": f"{own}/Webhook" if source.has_webhook else None,
        "webhook_trouble": webhook_trouble(own) if source.has_webhook else None,
        "polled_to": None if source.polled_to is None else iso(source.polled_to),
        "last_error": source.last_error,
        "date_created": iso(source.date_created),
        "date_updated": iso(source.date_updated),
        "url": own,
    }


def checked_json(source: Source, ok: bool, found: Sequence[Ability]) -> dict[str, Any]:
    """What a check found."""
    checks = [
        {"name": one.name, "outcome": str(one.outcome), "detail": one.detail, "remedy": one.remedy} for one in found
    ]
    return {"sid": source.sid, "ok": ok, "checks": checks}


async def _fetch(sid: str, account: Account, parts: Parts) -> Source:
    return await parts.ledger.sources.fetch(account.sid, path_sid("SR", sid))


def _wish(form: Parameters) -> SourceWish:
    return SourceWish(
        friendly_name=form.sent("FriendlyName"),
        auth_token=form.text("AuthToken"),
        api_key_sid=form.sid("ApiKeySid", "SK"),
        api_key_secret=form.text("ApiKeySecret"),
        poll_seconds=form.number("PollSeconds", least=0),
        include_subaccounts=form.flag("IncludeSubaccounts"),
        record_verb_is_voicemail=form.flag("RecordVerbIsVoicemail"),
        include_calls=form.flag("IncludeCalls"),
    )


def _url(account: Account, parts: Parts) -> str:
    return f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
