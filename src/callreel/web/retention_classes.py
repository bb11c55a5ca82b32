"""Retention classes of an account, each change with a dry run of what it would touch."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Response

from callreel.errors import InvalidParameter
from callreel.model.account import Account
from callreel.model.callback import iso
from callreel.model.deed import Actor
from callreel.model.object_lock import LockMode
from callreel.model.retention_class import RetentionClass, Touched
from callreel.model.sid import RetentionClassSid, mint_sid
from callreel.model.storage_settings import RecordingKind
from callreel.parts import Parts
from callreel.steps.keep_retention_class import (
    dry_run,
    dry_run_removal,
    keep_retention_class,
    remove_retention_class,
)
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Parameters, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/RetentionClasses"
KINDS = (RecordingKind.VOICE, RecordingKind.VIDEO)
LONGEST = 255
MOST_POSITION = 1_000_000
_FIELDS = {
    "FriendlyName": "text",
    "Position": "integer",
    "Kind": "text",
    "Source": "text",
    "Campaign": "text",
    "KeepDays": "integer",
    "LockMode": "text",
    "LockDays": "integer",
    "DryRun": "flag",
    "Confirm": "integer",
}
CLASS = shape(
    sid="text",
    account_sid="text",
    friendly_name="text",
    position="integer",
    kind="text?",
    source="text?",
    campaign="text?",
    keep_days="integer?",
    lock_mode="text?",
    lock_days="integer?",
    date_created="text",
    date_updated="text",
    url="text",
)


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's classes, newest first", page_of("retention_classes", CLASS)),
    openapi_extra=asks(**PAGING),
)
async def list_retention_classes(account: Acting, parts: Opened, query: Query) -> Response:
    """List retention classes"""
    wish = PageWish.read(query)
    page = await parts.ledger.retention_classes.list(account.sid, place=wish.place, size=wish.size)
    links = links_of(_url(account, parts), [], wish, page)
    rows = [_json(found, account, parts) for found in page.rows]
    return json_answer(envelope_v1("retention_classes", rows, wish, links))


@on(
    router,
    "POST",
    PATH,
    responses=answers(201, "The class; with DryRun=true, 200 and what it would touch", CLASS),
    openapi_extra=takes(_FIELDS, required=["FriendlyName"], json=True),
)
async def create_retention_class(account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Create a retention class"""
    now = parts.clock.now()
    born = RetentionClass(
        sid=RetentionClassSid(mint_sid("RC")),
        account_sid=account.sid,
        friendly_name=form.required("FriendlyName"),
        position=0,
        date_created=now,
        date_updated=now,
    )
    return await _keep(replace(born, **_sent(form)), account, by, parts, form, status=201)


@on(router, "GET", PATH + "/{sid}", responses=answers(200, "The class", CLASS))
async def fetch_retention_class(sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a retention class"""
    found = await parts.ledger.retention_classes.fetch(account.sid, path_sid("RC", sid))
    return json_answer(_json(found, account, parts))


@on(
    router,
    "POST",
    PATH + "/{sid}",
    responses=answers(200, "The class, or what the change would touch", CLASS),
    openapi_extra=takes(_FIELDS, json=True),
)
async def change_retention_class(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Change a retention class; what is not sent keeps its value, an empty value clears"""
    found = await parts.ledger.retention_classes.fetch(account.sid, path_sid("RC", sid))
    return await _keep(replace(found, **_sent(form), date_updated=parts.clock.now()), account, by, parts, form)


@on(
    router,
    "DELETE",
    PATH + "/{sid}",
    responses=answers(204, "It is gone; with DryRun=true, 200 and what that would touch"),
    openapi_extra=asks(DryRun="flag", Confirm="integer"),
)
async def delete_retention_class(sid: str, account: Acting, by: By, parts: Opened, query: Query) -> Response:
    """Delete a retention class; its recordings fall to the next one that fits"""
    sid, ledger, clock = path_sid("RC", sid), parts.ledger, parts.clock
    if query.flag("DryRun"):
        return _dry(await dry_run_removal(account.sid, sid, ledger=ledger, clock=clock))
    await remove_retention_class(account.sid, sid, confirmed=_confirmed(query), ledger=ledger, clock=clock, by=by)
    return Response(status_code=204)


async def _keep(
    kept: RetentionClass, account: Account, by: Actor, parts: Parts, form: Parameters, *, status: int = 200
) -> Response:
    if form.flag("DryRun"):
        return _dry(await dry_run(kept, ledger=parts.ledger, clock=parts.clock))
    await keep_retention_class(kept, confirmed=_confirmed(form), ledger=parts.ledger, clock=parts.clock, by=by)
    return json_answer(_json(kept, account, parts), status)


def _sent(form: Parameters) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    if form.sent("FriendlyName") is not None:
        sent["friendly_name"] = form.required("FriendlyName")
    if form.sent("Position") is not None:
        sent["position"] = min(form.number("Position", least=0) or 0, MOST_POSITION)
    for name, field in (("Source", "source"), ("Campaign", "campaign")):
        if (value := form.sent(name)) is not None:
            if len(value) > LONGEST:
                raise InvalidParameter(f"{name} must have at most {LONGEST} characters", parameter=name)
            sent[field] = value or None
    for name, field in (("KeepDays", "keep_days"), ("LockDays", "lock_days")):
        if form.sent(name) is not None:
            sent[field] = form.number(name, least=1)
    if form.sent("Kind") is not None:
        kind = form.choice("Kind", KINDS)
        sent["kind"] = RecordingKind(kind) if kind else None
    if form.sent("LockMode") is not None:
        mode = form.choice("LockMode", tuple(LockMode))
        sent["lock_mode"] = LockMode(mode) if mode else None
    return sent


def _confirmed(sent: Parameters) -> int:
    return sent.number("Confirm", least=0) or 0


def _dry(touched: Touched) -> Response:
    return json_answer({"dry_run": True, **asdict(touched)})


def _url(account: Account, parts: Parts) -> str:
    return f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"


def _json(found: RetentionClass, account: Account, parts: Parts) -> dict[str, Any]:
    return asdict(found) | {
        "date_created": iso(found.date_created),
        "date_updated": iso(found.date_updated),
        "url": f"{_url(account, parts)}/{found.sid}",
    }
