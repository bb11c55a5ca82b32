"""Migrations: what a move would come to, start and steer one, its items, its report with signed receipts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from callreel.errors import InvalidParameter
from callreel.ledger.sources import Once
from callreel.migration.plan import plan
from callreel.migration.report import item_row, migration_row, report_csv, report_json
from callreel.model.account import Account
from callreel.model.migration import MigrationStatus
from callreel.model.moved_item import ItemState
from callreel.model.sid import parse_sid
from callreel.model.source import Source
from callreel.parts import Parts
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Parameters, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on
from callreel.web.uploads import idempotency_key

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Migrations"
MOST_NAMED = 1000
STEERED = (MigrationStatus.RUNNING, MigrationStatus.PAUSED, MigrationStatus.CANCELED)
_FILTERS = {"SourceSid": "text", "CreatedAfter": "text", "CreatedBefore": "text"}
_COUNTS = ("total", "moved", "skipped", "failed", "kept", "delete_failed", "deleted_at_source", "remaining", "bytes")
MIGRATION = shape(
    sid="text",
    account_sid="text",
    source_sid="text",
    status="text",
    **dict.fromkeys(_COUNTS, "integer"),
    rate="number",
    eta_seconds="integer?",
    inventory_complete="flag",
    reason="text?",
    remedy="text?",
    created_after="text?",
    created_before="text?",
    date_created="text",
    date_updated="text",
    date_ended="text?",
    url="text",
)
PLAN = shape(
    source_sid="text",
    recordings="integer",
    minutes="integer",
    bytes="integer",
    monthly_cost_source="number",
    monthly_cost_bucket="number",
    eta_seconds="integer",
)
ITEM = shape(
    recording_sid="text",
    source_recording_sid="text",
    source_sid="text",
    migration_sid="text?",
    call_sid="text?",
    state="text",
    size_bytes="integer?",
    sha256="text?",
    attempts="integer",
    delete_attempts="integer",
    next_attempt_at="text?",
    reason="text?",
    detail="text?",
    remedy="text?",
    source_link="text?",
    fetched_at="text?",
    intent_at="text?",
    deleted_at="text?",
    receipt="object?",
)
RECEIPT_KEY = shape(key_id="text", algorithm="text", public_key="text")


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's migrations, newest first", page_of("migrations", MIGRATION)),
    openapi_extra=asks(**PAGING),
)
async def list_migrations(account: Acting, parts: Opened, query: Query) -> Response:
    """List migrations"""
    wish = PageWish.read(query)
    page = await parts.ledger.migrations.list(account.sid, place=wish.place, size=wish.size)
    rows = [_row(migration, account, parts) for migration in page.rows]
    return json_answer(envelope_v1("migrations", rows, wish, links_of(_url(account, parts), [], wish, page)))


@on(
    router,
    "POST",
    PATH,
    responses=answers(201, "The migration; 409 while the source has one", MIGRATION),
    openapi_extra=takes(_FILTERS, required=["SourceSid"], json=True),
)
async def start_migration(request: Request, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Start to move a source's recordings"""
    source = await _source(account, form, parts)
    after, before = _span(form)
    key = idempotency_key(request)
    asked = json.dumps([account.sid, "Migrations", form.pairs()]).encode()
    migration = await parts.ledger.migrations.start(
        source,
        host_id=parts.spool.host_id,
        created_after=after,
        created_before=before,
        by=by,
        once=None if key is None else Once(key, hashlib.sha256(asked).hexdigest()),
    )
    return json_answer(_row(migration, account, parts), 201)


@on(
    router,
    "POST",
    PATH + "/Plan",
    responses=answers(200, "What the move would come to; nothing is changed", PLAN),
    openapi_extra=takes(_FILTERS, required=["SourceSid"], json=True),
)
async def plan_migration(account: Acting, parts: Opened, form: FormOrJson) -> Response:
    """Add up what a source holds, and what it costs there and in the bucket"""
    source = await _source(account, form, parts)
    after, before = _span(form)
    found = await plan(
        source,
        await parts.sources.open(source),
        created_after=after,
        created_before=before,
        prices=parts.chosen.prices,
    )
    return json_answer(asdict(found))


@on(router, "GET", PATH + "/ReceiptKey", responses=answers(200, "The public half, in PEM", RECEIPT_KEY))
async def fetch_receipt_key(account: Acting, parts: Opened) -> Response:
    """Fetch the key that receipts are checked with"""
    key = parts.receipt_key
    return json_answer({"key_id": key.id, "algorithm": "Ed25519", "public_key": key.public_pem.decode()})


@on(router, "GET", PATH + "/{sid}", responses=answers(200, "The migration as it stands", MIGRATION))
async def fetch_migration(sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a migration"""
    found = await parts.ledger.migrations.fetch(account.sid, path_sid("MG", sid))
    return json_answer(_row(found, account, parts))


@on(
    router,
    "POST",
    PATH + "/{sid}",
    responses=answers(200, "The migration in its new status", MIGRATION),
    openapi_extra=takes({"Status": "text"}, required=["Status"], json=True),
)
async def steer_migration(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Pause (paused), resume (running) or cancel (canceled) a migration; resuming takes up again what failed"""
    form.required("Status")
    wanted = MigrationStatus(str(form.choice("Status", STEERED)))
    migrations = parts.ledger.migrations
    found = await migrations.fetch(account.sid, path_sid("MG", sid))
    if wanted is MigrationStatus.PAUSED:
        found = await migrations.pause(found, by=by)
    elif wanted is MigrationStatus.CANCELED:
        found = await migrations.cancel(found, by=by)
    else:
        found = await migrations.resume(found, by=by)
    return json_answer(_row(found, account, parts))


@on(
    router,
    "POST",
    PATH + "/{sid}/Retry",
    responses=answers(200, "How many were taken up again", shape(retried="integer")),
    openapi_extra=takes({"RecordingSid": "texts"}, json=True),
)
async def retry_items(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Take up again what failed or could not be deleted: these recordings, or all"""
    found = await parts.ledger.migrations.fetch(account.sid, path_sid("MG", sid))
    return json_answer({"retried": await parts.ledger.migrations.retry(found, named=recordings_named(form), by=by)})


@on(
    router,
    "GET",
    PATH + "/{sid}/Items",
    responses=answers(200, "Each recording with its receipt, newest first", page_of("items", ITEM)),
    openapi_extra=asks(State="text", **PAGING),
)
async def list_items(sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """List what a migration moves, and what became of it"""
    found = await parts.ledger.migrations.fetch(account.sid, path_sid("MG", sid))
    wish = PageWish.read(query)
    state = query.choice("State", tuple(ItemState))
    page = await parts.ledger.items.list_of(
        account.sid, found.sid, state=ItemState(state) if state else None, place=wish.place, size=wish.size
    )
    path = f"{_url(account, parts)}/{found.sid}/Items"
    links = links_of(path, [("State", state)] if state else [], wish, page)
    return json_answer(envelope_v1("items", [item_row(row) for row in page.rows], wish, links))


@on(
    router,
    "GET",
    PATH + "/{sid}/Report",
    responses=answers(200, "Every item with its receipt, as one document"),
    openapi_extra=asks(Format="text"),
)
async def fetch_report(sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """Fetch the report of a migration, as JSON or CSV"""
    found = await parts.ledger.migrations.fetch(account.sid, path_sid("MG", sid))
    kind = query.choice("Format", ("json", "csv")) or "json"
    headers = {"content-disposition": f'attachment; filename="{found.sid}.{kind}"', "cache-control": "no-store"}
    if kind == "csv":
        return StreamingResponse(report_csv(found, ledger=parts.ledger), media_type="text/csv", headers=headers)
    body = report_json(found, ledger=parts.ledger, key=parts.receipt_key, now=parts.clock.now())
    return StreamingResponse(body, media_type="application/json", headers=headers)


def recordings_named(form: Parameters) -> list[str]:
    """The recordings a retry names. Raises `InvalidSid` and `InvalidParameter`."""
    sids = list(dict.fromkeys(parse_sid("RE", sid) for sid in form.all("RecordingSid")))
    if len(sids) > MOST_NAMED:
        raise InvalidParameter(f"Name at most {MOST_NAMED} recordings, or none for all", parameter="RecordingSid")
    return sids


async def _source(account: Account, form: Parameters, parts: Parts) -> Source:
    form.required("SourceSid")
    sid = form.sid("SourceSid", "SR")
    assert sid is not None
    return await parts.ledger.sources.fetch(account.sid, sid)


def _span(form: Parameters) -> tuple[datetime | None, datetime | None]:
    """Recordings created at or after the first, and before the second. Raises `InvalidParameter`."""
    after, before = form.moment("CreatedAfter"), form.moment("CreatedBefore")
    if after is not None and before is not None and after >= before:
        raise InvalidParameter("CreatedAfter must be before CreatedBefore", parameter="CreatedAfter")
    return after, before


def _row(migration: Any, account: Account, parts: Parts) -> dict[str, Any]:
    row = migration_row(migration, parts.clock.now())
    return row | {"url": f"{_url(account, parts)}/{migration.sid}"}


def _url(account: Account, parts: Parts) -> str:
    return f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
