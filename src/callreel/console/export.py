"""The recordings of a filter as CSV: sent while it is read, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from callreel.console.recording_filters import searched, wanted_by
from callreel.console.visit import Visit, screen
from callreel.console.words import standing_of
from callreel.errors import InvalidParameter
from callreel.ledger.paging import Place
from callreel.ledger.recordings import RecordingFilter
from callreel.model.call import Call
from callreel.model.person import Right
from callreel.model.recording import Recording
from callreel.steps.read_calls import find_calls

ROWS_AT_ONCE = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    "recording_sid", "created", "call_sid", "from", "to", "status", "bucket", "object_key", "duration_seconds",
    "channels", "source", "size_bytes", "sha256", "verified_by", "verified_at", "error",
)  # fmt: skip


@screen(Right.LIST)
async def export(visit: Visit) -> Response:
    """Everything that matches, newest first."""
    wanted, _, faults = wanted_by(visit.query)
    if faults:
        raise InvalidParameter(". ".join(faults))
    wanted = await searched(wanted, visit.query.text("q"), visit.account.sid, visit.parts.logs)
    name = f"recordings-{visit.parts.clock.now():%Y-%m-%d}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(_lines(visit, wanted), 200, headers, media_type="text/csv; charset=utf-8")


def safe(value: object) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP ASVS 1.2.10): such a text gets a quote before it."""
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA) else text


async def _lines(visit: Visit, wanted: RecordingFilter) -> AsyncIterator[bytes]:
    yield _csv([COLUMNS])
    place: Place | None = None
    while True:
        found = await visit.parts.ledger.recordings.list(visit.account.sid, wanted, place=place, size=ROWS_AT_ONCE)
        sids = [r.call_sid for r in found.rows if r.call_sid]
        calls = await find_calls(visit.account.sid, sids, logs=visit.parts.logs)
        yield _csv([_row(r, calls.get(r.call_sid or "")) for r in found.rows])
        if not found.has_next:
            return
        place = Place(found.rows[-1].date_created, found.rows[-1].sid)
        wanted = replace(wanted, created_before=None)  # the place is the nearer bound


def _row(r: Recording, call: Call | None) -> list[str]:
    cells = (
        r.sid,
        r.date_created.isoformat(),
        r.call_sid,
        call and call.from_number,
        call and call.to_number,
        standing_of(r).word,
        r.bucket if r.is_external else None,
        r.object_key if r.is_external else None,
        r.duration_ms / 1000,
        r.channels,
        r.source,
        r.media_size_bytes,
        r.media_sha256,
        r.verify_method,
        r.verified_at.isoformat() if r.verified_at else None,
        r.last_error_code,
    )
    return [safe(cell) for cell in cells]


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


ROUTES = (Route("/recordings.csv", export, methods=["GET"]),)
