"""`callreel migrate`: move recordings out of a source, watch it, and keep the proof."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import InvalidParameter, Misconfigured, NotFound, ReceiptForged
from callreel.ledger.database import check_clock
from callreel.migration.plan import Plan
from callreel.migration.plan import plan as plan_of
from callreel.migration.receipt import verify_receipt
from callreel.migration.report import migration_row, report_csv, report_json
from callreel.model.deed import OPERATOR
from callreel.model.migration import Migration, MigrationStatus
from callreel.model.source import Source
from callreel.parts import Parts
from callreel.worker.shift import work as work_shift

app = typer.Typer(add_completion=False, help="Move recordings out of a source, with proof.", no_args_is_help=True)
LOOK_EVERY_S = 0.5
LOOKED_AT = 100  # of an account's migrations, the newest

OfSource = Annotated[str, typer.Option("--source", metavar="SR…", help="The source to move out of.")]
After = Annotated[str | None, typer.Option(metavar="DATE", help="Only those made at this time or later.")]
Before = Annotated[str | None, typer.Option(metavar="DATE", help="Only those made before this time.")]
Named = Annotated[str, typer.Argument(metavar="MG…")]


@command(app, "migrate plan", example="callreel migrate plan --source SR… --created-before 2026-01-01")
def plan(asked: Asked, source: OfSource, created_after: After = None, created_before: Before = None) -> None:
    """Count what a source holds, and what keeping it costs there and in the bucket. Changes nothing."""
    after, before = _span(created_after, created_before)

    async def work(parts: Parts) -> Plan:
        found = await _source(parts, source)
        client = await parts.sources.open(found)
        return await plan_of(found, client, created_after=after, created_before=before, prices=parts.chosen.prices)

    found = with_parts(asked.settings(), work)
    table = Table(show_header=False, box=None)
    table.add_row("recordings", f"{found.recordings:,}")
    table.add_row("minutes", f"{found.minutes:,}")
    table.add_row("size", _size(found.bytes))
    table.add_row("a month at the source", f"${found.monthly_cost_source:,.2f}")
    table.add_row("a month in the bucket", f"${found.monthly_cost_bucket:,.2f}")
    table.add_row("takes about", _time(found.eta_seconds))
    asked.answer(asdict(found), table)


@command(app, "migrate start", example="callreel migrate start --source SR… --wait")
def start(
    asked: Asked,
    source: OfSource,
    created_after: After = None,
    created_before: Before = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is over, and show how far it is.")] = False,
) -> None:
    """Start to move. The service does the work; with --wait and no service running, this command does, and goes on with
    what it began when it is called again."""
    after, before = _span(created_after, created_before)

    async def work(parts: Parts) -> dict[str, Any]:
        found = await _source(parts, source)
        migration = await _started_before(parts, found, after, before) if wait else None
        if migration is None:
            migration = await parts.ledger.migrations.start(
                found, host_id=parts.spool.host_id, created_after=after, created_before=before, by=OPERATOR
            )
        if wait:
            migration = await _wait(parts, migration, asked)
        return migration_row(migration, parts.clock.now())

    _answer(asked, with_parts(asked.settings(), work))


@command(app, "migrate status", example="callreel migrate status MG…")
def status(
    asked: Asked,
    migration: Named,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is over, and show how far it is.")] = False,
) -> None:
    """Show how far a migration is."""

    async def work(parts: Parts) -> dict[str, Any]:
        found = await _migration(parts, migration)
        if wait:
            found = await _wait(parts, found, asked)
        return migration_row(found, parts.clock.now())

    _answer(asked, with_parts(asked.settings(), work))


@command(app, "migrate pause", example="callreel migrate pause MG…")
def pause(asked: Asked, migration: Named) -> None:
    """Take up nothing more until it is resumed; what is in hand is finished."""
    _steer(asked, migration, lambda parts, found: parts.ledger.migrations.pause(found, by=OPERATOR))


@command(app, "migrate resume", example="callreel migrate resume MG…")
def resume(asked: Asked, migration: Named) -> None:
    """Go on, and take up again what failed or could not be deleted."""
    _steer(asked, migration, lambda parts, found: parts.ledger.migrations.resume(found, by=OPERATOR))


@command(app, "migrate retry", example="callreel migrate retry MG… --recording RE…")
def retry(
    asked: Asked,
    of: Annotated[str, typer.Argument(metavar="MG…|SR…", help="A migration; or a source, for new recordings.")],
    recording: Annotated[
        list[str] | None, typer.Option(metavar="RE…", help="This one, by its SID here or there; may be repeated.")
    ] = None,
) -> None:
    """Take up again what failed or could not be deleted: all of it, or only what is named. May be repeated."""
    named = list(dict.fromkeys(recording or ()))

    async def work(parts: Parts) -> int:
        migrations = parts.ledger.migrations
        if of.startswith("SR"):
            source = await _source(parts, of)
            return await migrations.retry_strays(source, host_id=parts.spool.host_id, named=named, by=OPERATOR)
        return await migrations.retry(await _migration(parts, of), named=named, by=OPERATOR)

    retried = with_parts(asked.settings(), work)
    asked.answer({"retried": retried}, f"{retried} taken up again.")


@command(app, "migrate cancel", example="callreel migrate cancel MG…")
def cancel(asked: Asked, migration: Named) -> None:
    """End it for good. What is in the bucket stays there; no further original is deleted."""
    _steer(asked, migration, lambda parts, found: parts.ledger.migrations.cancel(found, by=OPERATOR))


@command(app, "migrate report", example="callreel migrate report MG… --format csv > moved.csv")
def report(
    asked: Asked,
    migration: Named,
    format: Annotated[str, typer.Option(metavar="json|csv", help="How to write it.")] = "json",
) -> None:
    """Write every item with its signed receipt to standard output."""
    if format not in ("json", "csv"):
        raise typer.BadParameter("--format must be json or csv")

    async def work(parts: Parts) -> None:
        found = await _migration(parts, migration)
        if format == "csv" and not asked.as_json:
            pieces = report_csv(found, ledger=parts.ledger)
        else:
            pieces = report_json(found, ledger=parts.ledger, key=parts.receipt_key, now=parts.clock.now())
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    with_parts(asked.settings(), work)


@command(app, "migrate verify", example="callreel migrate verify report.json --public-key receipts.pem")
def verify(
    asked: Asked,
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="What `migrate report` wrote, as JSON.")],
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="The key as you keep it; without it the report's own is taken."),
    ] = None,
) -> None:
    """Check every receipt of a report. Needs no installation and no network. Exit 1 when one does not hold."""
    try:
        document = json.loads(report.read_text())
        pem = public_key.read_bytes() if public_key is not None else str(document["public_key"]).encode()
        moved = [item for item in document["items"] if item["receipt"] is not None]
    except (OSError, ValueError, KeyError, TypeError) as why:
        raise InvalidParameter(f"{report} is not what `callreel migrate report` writes as JSON") from why
    forged = [str(item.get("recording_sid")) for item in moved if not _holds(item, pem)]
    words = "\n".join([*(f"{sid}: the receipt does not hold" for sid in forged), f"{len(moved)} receipts checked."])
    asked.answer({"ok": not forged, "receipts": len(moved), "forged": forged}, words)
    if forged:
        raise typer.Exit(FAILED)


def _holds(item: dict[str, Any], pem: bytes) -> bool:
    """Whether the receipt is signed, and says what stands beside it: people read that."""
    receipt = item["receipt"]
    try:
        signed = verify_receipt(receipt, pem)
    except (ReceiptForged, AttributeError):
        return False
    return receipt.get("facts") == signed and all(item.get(name) == signed.get(name) for name in _ALSO_BESIDE)


_ALSO_BESIDE = ("recording_sid", "source_recording_sid", "source_sid", "size_bytes", "sha256")


def _steer(asked: Asked, sid: str, verb: Callable[[Parts, Migration], Awaitable[Migration]]) -> None:
    async def work(parts: Parts) -> dict[str, Any]:
        return migration_row(await verb(parts, await _migration(parts, sid)), parts.clock.now())

    _answer(asked, with_parts(asked.settings(), work))


def _answer(asked: Asked, row: dict[str, Any]) -> None:
    shown = ("sid", "status", "total", "moved", "skipped", "failed", "kept", "delete_failed", "deleted_at_source")
    table = Table(show_header=False, box=None)
    for name in shown:
        table.add_row(name, str(row[name]))
    table.add_row("size", _size(row["bytes"]))
    if row["status"] == MigrationStatus.RUNNING:
        table.add_row("rate", f"{row['rate']} recordings/s")
        table.add_row("time left", _time(row["eta_seconds"]))
    for name in ("reason", "remedy"):
        if row[name]:
            table.add_row(name, row[name])
    asked.answer(row, table)
    if row["status"] == MigrationStatus.FAILED:
        raise typer.Exit(FAILED)


async def _wait(parts: Parts, migration: Migration, asked: Asked) -> Migration:
    """Stay until the migration is over. While no service does the work we do, also when one stops meanwhile."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,}  {task.fields[rate]}  {task.fields[left]}"),
        console=Console(stderr=True),
        disable=asked.as_json or not sys.stderr.isatty(),
    )

    def say(words: str) -> None:
        progress.console.print(words, highlight=False)

    async with _Shift(parts, say) as shift:
        with progress:
            task = progress.add_task("moving", total=0, rate="", left="")
            try:
                return await _watched(parts, migration, shift, progress, task)
            except asyncio.CancelledError:
                say("What is in hand is finished; the rest goes on when the same command is typed again.")
                raise


async def _watched(parts: Parts, migration: Migration, shift: _Shift, progress: Progress, task: TaskID) -> Migration:
    while migration.status is MigrationStatus.RUNNING:
        await shift.begin_if_nobody_works()
        await asyncio.sleep(LOOK_EVERY_S)
        migration = await _migration(parts, migration.sid)
        _show(progress, task, migration, parts.clock.now())
    while shift.works and await parts.ledger.calls.is_asking(migration.source_sid):
        progress.update(task, description="asking who called whom", rate="", left="")
        await asyncio.sleep(LOOK_EVERY_S)
    return migration


def _show(progress: Progress, task: TaskID, migration: Migration, now: datetime) -> None:
    rate, left_s = migration.rate_now(now), migration.eta_seconds(now)
    left = "" if left_s is None or not migration.is_listed else f"{_time(left_s)} left"
    progress.update(
        task,
        description="moving" if migration.is_listed else "listing and moving",
        total=migration.total,
        completed=migration.finished,
        rate=f"{rate:.1f}/s" if rate else "",
        left=left or (migration.reason or ""),
    )


class _Shift:
    """A worker of ours, as a context, from the moment nobody else has the spool. It ends with the context."""

    def __init__(self, parts: Parts, say: Callable[[str], None]) -> None:
        self._parts, self._say, self._stopping = parts, say, asyncio.Event()
        self._was_busy = False
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._working is not None:
            await asyncio.gather(self._working, return_exceptions=True)

    @property
    def works(self) -> bool:
        """Whether the work is ours."""
        return self._working is not None

    async def begin_if_nobody_works(self) -> None:
        """The kernel gives the spool's lock back when its holder dies, however it dies; then it is our turn.

        Raises `Misconfigured` for a clock that nobody should work by.
        """
        if self._working is not None:
            return
        try:
            self._parts.spool.lock_for_work()
        except Misconfigured:
            if not self._was_busy:
                self._was_busy = True
                self._say("The service does the work; this command looks on, and takes over should it end.")
            return
        await check_clock(self._parts.ledger.engine, self._parts.clock.now)
        if self._was_busy:
            self._say("The service has ended. The work goes on here.")
        self._working = asyncio.create_task(work_shift(self._parts, self._stopping, mend=_nothing_to_mend))


async def _nothing_to_mend() -> None:
    return None


async def _started_before(
    parts: Parts, source: Source, after: datetime | None, before: datetime | None
) -> Migration | None:
    """The same migration, where it runs already: a command that was killed is typed again."""
    page = await parts.ledger.migrations.list(source.account_sid, place=None, size=LOOKED_AT)
    for one in page.rows:
        is_same = (one.source_sid, one.created_after, one.created_before) == (source.sid, after, before)
        if is_same and one.status is MigrationStatus.RUNNING:
            return one
    return None


async def _source(parts: Parts, sid: str) -> Source:
    found = await parts.ledger.sources.find_for_work(sid)
    if found is None:
        raise NotFound(f"There is no source {sid}. See: callreel sources list")
    return found


async def _migration(parts: Parts, sid: str) -> Migration:
    found = await parts.ledger.migrations.find_for_work(sid)
    if found is None:
        raise NotFound(f"There is no migration {sid}")
    return found


def _span(after: str | None, before: str | None) -> tuple[datetime | None, datetime | None]:
    first, last = _moment("--created-after", after), _moment("--created-before", before)
    if first is not None and last is not None and first >= last:
        raise typer.BadParameter("--created-after must be before --created-before")
    return first, last


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as why:
        raise typer.BadParameter(f"{name} must be a date (YYYY-MM-DD) or an ISO 8601 date-time") from why
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "not known yet"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
