"""One migration: how far it is, how fast, what failed and why; paused, resumed, stopped, its report downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from callreel.console.migration import LIST, bucket_now
from callreel.console.pages import page
from callreel.console.visit import Visit, back, screen
from callreel.errors import InvalidParameter, NotFound, Outrun, Refused
from callreel.ledger.moved_items import ReportedItem
from callreel.migration.report import report_csv, report_json
from callreel.model.migration import LIVE, Migration, MigrationStatus
from callreel.model.moved_item import ItemState, Reason
from callreel.model.person import Right

MOST_FAILURES = 100  # of each kind; the report has all
POINTS = 120  # at most, on the chart
SPANS = {"1h": ("1 h", timedelta(hours=1)), "3h": ("3 h", timedelta(hours=3)), "all": ("All", None)}
REASONS = {
    Reason.SWITCHED_OFF: "Originals are kept, as you chose",
    Reason.INSUFFICIENT_EVIDENCE: "The bucket does not prove enough to delete the original",
    Reason.CANCELED: "The migration was stopped",
    Reason.OBJECT_MISSING: "The copy is not in the bucket any more",
    Reason.OBJECT_DIFFERS: "The copy in the bucket is another than was put there",
    Reason.NOT_READY: "Twilio has not finished this recording",
    Reason.NO_MEDIA: "Twilio never had media of it",
    Reason.GONE: "Deleted at Twilio before it could be copied",
    Reason.NOT_WHOLE: "What came was not the whole recording",
    Reason.NOT_AUDIO: "What came is no audio",
    Reason.SOURCE_STUMBLED: "Twilio could not answer, again and again",
    Reason.SOURCE_REFUSED: "Twilio refused",
    Reason.DELIVERY_FAILED: "Your bucket did not take it",
    Reason.DELETE_REFUSED: "Copied and checked; Twilio refused to delete the original",
    Reason.DELETED_HERE: "Deleted here before it was done",
    Reason.EXTERNAL_STORAGE_OFF: "External storage was off, so the original is kept",
}
STATUSES = {
    MigrationStatus.RUNNING: ("Running", "up"),
    MigrationStatus.PAUSED: ("Paused", "warn"),
    MigrationStatus.COMPLETED: ("Done", "ok"),
    MigrationStatus.CANCELED: ("Stopped", "del"),
    MigrationStatus.FAILED: ("Needs you", "bad"),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Recordings fetched a minute, step by step, for the chart and its table."""

    step_s: int
    points: Sequence[tuple[datetime, float]]


@screen(Right.MIGRATE)
async def move(visit: Visit) -> Response:
    """The page, or the part of it that changes; posted to, the migration is steered."""
    found = await visit.parts.ledger.migrations.fetch(visit.account.sid, visit.sid("MG"))
    fault = ""
    if visit.is_post:
        try:
            await _steer(visit, found)
            return back(visit)
        except Outrun:
            fault = "It changed in that moment. Look again, then decide"
        except Refused as why:
            fault = why.message
    return await _page(visit, found, fault)


@screen(Right.MIGRATE)
async def points(visit: Visit) -> Response:
    """The chart's points: seconds since 1970, and recordings a minute."""
    found = await visit.parts.ledger.migrations.fetch(visit.account.sid, visit.sid("MG"))
    pace = await _pace(visit, found)
    shown = {"times": [int(at.timestamp()) for at, _ in pace.points], "counts": [count for _, count in pace.points]}
    return JSONResponse(shown, headers={"cache-control": "no-store"})


@screen(Right.MIGRATE)
async def report(visit: Visit) -> Response:
    """Every item with its receipt."""
    found = await visit.parts.ledger.migrations.fetch(visit.account.sid, visit.sid("MG"))
    kind = visit.request.path_params["kind"]
    if kind not in ("csv", "json"):
        raise NotFound()
    headers = {"content-disposition": f'attachment; filename="{found.sid}.{kind}"', "cache-control": "no-store"}
    if kind == "csv":
        return StreamingResponse(report_csv(found, ledger=visit.parts.ledger), 200, headers, media_type="text/csv")
    parts = visit.parts
    body = report_json(found, ledger=parts.ledger, key=parts.receipt_key, now=parts.clock.now())
    return StreamingResponse(body, 200, headers, media_type="application/json")


async def _steer(visit: Visit, found: Migration) -> None:
    migrations, do = visit.parts.ledger.migrations, visit.form["do"]
    if do == "pause":
        await migrations.pause(found, by=visit.actor)
    elif do in ("resume", "retry"):
        await migrations.resume(found, by=visit.actor)
    elif do.startswith("retry "):
        await migrations.retry(found, named=[do.removeprefix("retry ")], by=visit.actor)
    elif do == "stop":
        await migrations.cancel(found, by=visit.actor)
    else:
        raise InvalidParameter("This form is unknown")


async def _page(visit: Visit, found: Migration, fault: str) -> Response:
    ledger, now = visit.parts.ledger, visit.parts.clock.now()
    if visit.is_fragment:
        return page(visit, "move_progress.html", **await _facts(visit, found, now))
    failures: list[ReportedItem] = []
    for state, count in ((ItemState.FAILED, found.failed), (ItemState.DELETE_FAILED, found.delete_failed)):
        if count:
            shown = await ledger.items.list_of(
                visit.account.sid, found.sid, state=state, place=None, size=MOST_FAILURES
            )
            failures += shown.rows
    return page(
        visit,
        "move.html",
        status=400 if fault else 200,
        failures=failures,
        reasons=REASONS,
        pace=await _pace(visit, found),
        spans=SPANS,
        span=_span(visit),
        key=visit.parts.receipt_key,
        pem=visit.parts.receipt_key.public_pem.decode(),
        fault=fault,
        can_resume=found.status in (MigrationStatus.PAUSED, MigrationStatus.FAILED),
        can_stop=found.status in LIVE or found.status is MigrationStatus.FAILED,
        **await _facts(visit, found, now),
    )


async def _facts(visit: Visit, found: Migration, now: datetime) -> dict[str, Any]:
    """What the part needs that changes."""
    ledger = visit.parts.ledger
    try:
        source = await ledger.sources.fetch(visit.account.sid, found.source_sid)
    except NotFound:
        source = None
    chosen = await ledger.deletion_settings.of(visit.account.sid)
    word, tone = STATUSES[found.status]
    done = min(1.0, found.finished / found.total) if found.total else float(found.status is MigrationStatus.COMPLETED)
    eta = found.eta_seconds(now)
    return {
        "found": found,
        "source": source,
        "word": word,
        "tone": tone,
        "deletes": chosen.delete_source_after_migration,
        "bucket": await bucket_now(visit),
        "percent": done * 100,
        "moved_percent": 100 * found.moved / found.total if found.total else 0.0,
        "bad_percent": 100 * found.failed / found.total if found.total else 0.0,
        "waiting": max(0, found.moved - found.deleted_at_source - found.kept - found.delete_failed),
        "left_ms": None if eta is None else _rounded(eta) * 1000,
        "done_at": None if eta is None else now + timedelta(seconds=eta),
        "per_minute": found.rate_now(now) * 60,
    }


def _rounded(seconds: int) -> int:
    """As exact as anybody believes: seconds below two minutes, minutes after."""
    return seconds if seconds < 120 else 60 * round(seconds / 60)


async def _pace(visit: Visit, found: Migration) -> Pace:
    now = visit.parts.clock.now()
    until = min(now, found.date_ended or now)
    length = SPANS[_span(visit)][1]
    since = found.date_created if length is None else max(found.date_created, until - length)
    minutes = max(1, -(-int((until - since).total_seconds()) // 60))
    step_s = 60 * -(-minutes // POINTS)
    counted = await visit.parts.ledger.migrations.fetched_by_step(
        visit.account.sid, found.sid, since=since, until=until, step_s=step_s
    )
    steps = int((until - since).total_seconds()) // step_s + 1
    points = [(since + timedelta(seconds=n * step_s), counted.get(n, 0) * 60 / step_s) for n in range(steps)]
    return Pace(step_s, points)


def _span(visit: Visit) -> str:
    name = visit.query.text("span")
    return name if name in SPANS else "3h"


PREFIX = LIST.removeprefix("/console")
ROUTES = (
    Route(f"{PREFIX}/{{sid}}", move, methods=["GET", "POST"]),
    Route(f"{PREFIX}/{{sid}}/points", points, methods=["GET"]),
    Route(f"{PREFIX}/{{sid}}/report.{{kind}}", report, methods=["GET"]),
)
