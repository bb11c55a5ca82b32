"""The report of a migration: every item with its receipt, page by page, as JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from callreel.ledger.ledger import Ledger
from callreel.ledger.moved_items import ReportedItem
from callreel.ledger.paging import Place
from callreel.model.migration import Migration
from callreel.sealing.receipt_key import ReceiptKey

PAGE = 500
COLUMNS = (
    "source_recording_sid", "recording_sid", "state", "size_bytes", "sha256", "attempts", "delete_attempts",
    "reason", "detail", "remedy", "fetched_at", "intent_at", "deleted_at", "bucket", "object_key", "etag", "version_id",
    "blob_size_bytes", "blob_sha256", "verify_method", "verified_at", "key_id", "signature", "document",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def item_row(reported: ReportedItem) -> dict[str, Any]:
    """An item for whoever asks: where it is, why, and its receipt where there is one."""
    item, receipt = reported.item, reported.receipt
    return {
        "recording_sid": item.recording_sid,
        "source_recording_sid": item.source_recording_sid,
        "source_sid": item.source_sid,
        "migration_sid": item.migration_sid,
        "call_sid": item.origin.call_sid,
        "state": str(item.state),
        "size_bytes": item.media_size_bytes,
        "sha256": item.media_sha256,
        "attempts": item.attempts,
        "delete_attempts": item.delete_attempts,
        "next_attempt_at": _moment(item.next_attempt_at),
        "reason": item.reason,
        "detail": item.detail,
        "remedy": item.remedy,
        "source_link": item.source_link,
        "fetched_at": _moment(item.fetched_at),
        "intent_at": _moment(item.intent_at),
        "deleted_at": _moment(item.delete_confirmed_at),
        "receipt": None
        if receipt is None
        else {
            "document": receipt.document,
            "signature": receipt.signature,
            "key_id": receipt.key_id,
            "facts": json.loads(receipt.document),
        },
    }


def migration_row(migration: Migration, now: datetime) -> dict[str, Any]:
    """A migration for whoever asks: contract words, dates in ISO 8601."""
    return {
        "sid": migration.sid,
        "account_sid": migration.account_sid,
        "source_sid": migration.source_sid,
        "status": str(migration.status),
        "total": migration.total,
        "moved": migration.moved,
        "skipped": migration.skipped,
        "failed": migration.failed,
        "kept": migration.kept,
        "delete_failed": migration.delete_failed,
        "deleted_at_source": migration.deleted_at_source,
        "remaining": migration.remaining,
        "bytes": migration.bytes,
        "rate": round(migration.rate_now(now), 2),
        "eta_seconds": migration.eta_seconds(now),
        "inventory_complete": migration.is_listed,
        "reason": migration.reason,
        "remedy": migration.remedy,
        "created_after": _moment(migration.created_after),
        "created_before": _moment(migration.created_before),
        "date_created": _moment(migration.date_created),
        "date_updated": _moment(migration.date_updated),
        "date_ended": _moment(migration.date_ended),
    }


async def items_of(migration: Migration, *, ledger: Ledger) -> AsyncIterator[list[ReportedItem]]:
    """Every item of a migration, newest first, so many at a time."""
    place: Place | None = None
    while True:
        page = await ledger.items.list_of(migration.account_sid, migration.sid, state=None, place=place, size=PAGE)
        if page.rows:
            yield list(page.rows)
        if not page.has_next:
            return
        place = Place(page.rows[-1].date_created, page.rows[-1].sid)


async def report_json(migration: Migration, *, ledger: Ledger, key: ReceiptKey, now: datetime) -> AsyncIterator[bytes]:
    """The report as one JSON document, piece by piece: the migration, the key its receipts are checked with, items."""
    head = {"migration": migration_row(migration, now), "key_id": key.id, "public_key": key.public_pem.decode()}
    yield json.dumps(head).encode()[:-1] + b', "items": ['
    between = b"\n"
    async for rows in items_of(migration, ledger=ledger):
        yield between + b",\n".join(json.dumps(item_row(row)).encode() for row in rows)
        between = b",\n"
    yield b"\n]}\n"


async def report_csv(migration: Migration, *, ledger: Ledger) -> AsyncIterator[bytes]:
    """The report as CSV, piece by piece. No cell is a formula to a spreadsheet."""
    yield _lines([COLUMNS])
    async for rows in items_of(migration, ledger=ledger):
        yield _lines([_cells(item_row(row)) for row in rows])


def _cells(row: dict[str, Any]) -> list[str]:
    receipt = row["receipt"] or {}
    facts = receipt.get("facts", {}) | {"signature": receipt.get("signature"), "document": receipt.get("document")}
    found = [row.get(name) if row.get(name) is not None else facts.get(name) for name in COLUMNS]
    return [_harmless("" if value is None else str(value)) for value in found]


def _harmless(cell: str) -> str:
    return "'" + cell if cell.startswith(_FORMULA) else cell


def _lines(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
