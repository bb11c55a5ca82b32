"""The audit log: who did what, who listened, from where; filtered, paged, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from datetime import date as Day

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from callreel.console.export import safe
from callreel.console.fields import Fields
from callreel.console.pages import page
from callreel.console.recording_filters import place_of, place_text
from callreel.console.visit import Visit, screen
from callreel.errors import InvalidParameter
from callreel.ledger.audit import AuditFilter, AuditRow
from callreel.ledger.paging import Place
from callreel.model.deed import ACTIONS
from callreel.model.person import Right

SIZE = 50
ROWS_AT_ONCE = 1000
COLUMNS = ("number", "time", "actor", "person", "action", "subject", "address", "request_id", "details", "hash")


@screen(Right.AUDIT)
async def audit(visit: Visit) -> Response:
    """One page, newest first."""
    faults: list[str] = []
    wanted = _wanted(visit.query, faults)
    place = None
    try:
        place = place_of(visit.query, "AU")
    except InvalidParameter as why:
        faults.append(why.message)
    found = await visit.parts.ledger.audit.page(visit.account.sid, wanted, place=place, size=SIZE)
    rows, query = found.rows, visit.query
    first, last = (rows[0], rows[-1]) if rows else (None, None)
    newer = query.changed(after=None, before=_place(first)) if first and found.has_previous else ""
    older = query.changed(before=None, after=_place(last)) if last and found.has_next else ""
    heads = await visit.parts.ledger.audit.heads(visit.account.sid)
    return page(
        visit,
        "audit.html",
        rows=rows,
        people=await _people(visit),
        query=query,
        faults=faults,
        actions=ACTIONS,
        newer=newer,
        older=older,
        head=heads[0] if heads else None,
        filtered=any(query.text(name) for name in ("action", "subject", "actor", "from", "to")),
        told=_told,
    )


@screen(Right.AUDIT)
async def export(visit: Visit) -> Response:
    """Everything that matches, newest first."""
    faults: list[str] = []
    wanted = _wanted(visit.query, faults)
    if faults:
        raise InvalidParameter(". ".join(faults))
    name = f"audit-{visit.parts.clock.now():%Y-%m-%d}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(_lines(visit, wanted), 200, headers, media_type="text/csv; charset=utf-8")


async def _lines(visit: Visit, wanted: AuditFilter) -> AsyncIterator[bytes]:
    people = await _people(visit)
    place: Place | None = None
    yield _csv([COLUMNS])
    while True:
        found = await visit.parts.ledger.audit.page(visit.account.sid, wanted, place=place, size=ROWS_AT_ONCE)
        yield _csv([_cells(row, people) for row in found.rows])
        if not found.has_next:
            return
        place = Place(found.rows[-1].date_created, found.rows[-1].sid)


def _cells(row: AuditRow, people: Mapping[str, str]) -> tuple[str, ...]:
    cells = (
        row.number,
        row.date_created.isoformat(),
        row.actor,
        people.get(row.actor),
        row.action,
        row.subject,
        row.address,
        row.request_id,
        json.dumps(row.details, sort_keys=True) if row.details else "",
        row.hash,
    )
    return tuple(safe(cell) for cell in cells)


def _csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _wanted(query: Fields, faults: list[str]) -> AuditFilter:
    action = query.text("action")
    return AuditFilter(
        action=action if action in ACTIONS else None,
        subject=query.text("subject")[:64] or None,
        actor=query.text("actor")[:64] or None,
        created_from=_day(query.text("from"), faults),
        created_before=_day(query.text("to"), faults, days=1),
    )


def _day(text: str, faults: list[str], *, days: int = 0) -> datetime | None:
    if not text:
        return None
    try:
        day = Day.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=days)
    except (ValueError, OverflowError):
        faults.append(f"'{text[:40]}' is not a date like 2026-11-21")
        return None


async def _people(visit: Visit) -> dict[str, str]:
    return {person.sid: person.email for person in await visit.parts.ledger.people.list(visit.account.sid)} | {
        visit.person.sid: visit.person.email
    }


def _place(row: AuditRow) -> str:
    return place_text(row.date_created, row.sid)


def _told(row: AuditRow) -> list[tuple[str, str]]:
    """The details as short lines: what changed from what to what, and the rest as it is."""
    lines = []
    for name, value in row.details.items():
        if name == "changes" and isinstance(value, dict):
            lines += [(n, f"{_plain(v.get('before'))} → {_plain(v.get('after'))}") for n, v in value.items()]
        elif value not in (None, "", {}, []):
            lines.append((name, _plain(value)))
    return lines


def _plain(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


ROUTES = (
    Route("/audit", audit, methods=["GET"]),
    Route("/audit.csv", export, methods=["GET"]),
)
