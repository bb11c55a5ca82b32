"""Migrations: what was asked for, how far the source's list has been read, and the counts of what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Update, cast, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.errors import MigrationRunning, NotFound, Outrun, StateConflict
from callreel.ledger.audit import write_deeds
from callreel.ledger.idempotency import claim_key
from callreel.ledger.item_intake import INVENTORY, MOVE, TakenIn, take_in, taken_up_again
from callreel.ledger.item_retry import retry_items
from callreel.ledger.jobs import JobRow, route_of, write_jobs
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.sources import Once
from callreel.ledger.tables import migration_items, migrations
from callreel.model.deed import CALLREEL, Action, Actor, Deed
from callreel.model.migration import LIVE, Migration, MigrationStatus
from callreel.model.moved_item import ItemState
from callreel.model.sid import AccountSid, mint_sid
from callreel.model.source import Source, SourcePage

m = migrations.c
_S = MigrationStatus
FINISHED_SUM = m.skipped + m.failed + m.kept + m.deleted_at_source + m.delete_failed


class Migrations:
    """The migrations of all accounts, one account at a time; workers look at those of their host."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    async def start(
        self,
        source: Source,
        *,
        host_id: str,
        created_after: datetime | None,
        created_before: datetime | None,
        by: Actor = CALLREEL,
        once: Once | None = None,
    ) -> Migration:
        """Write a new migration, the reminder to read the source's list, and who asked for it: one transaction.

        A repeated request gets the migration the first made. Raises `MigrationRunning` when the source has one that is
        running or paused, and `IdempotencyConflict`.
        """
        now = self._clock.now()
        sid = mint_sid("MG")
        row: dict[str, Any] = {
            "sid": sid,
            "account_sid": source.account_sid,
            "source_sid": source.sid,
            "host_id": host_id,
            "status": _S.RUNNING,
            "created_after": created_after,
            "created_before": created_before,
            "passes": 0,
            "found_in_pass": 0,
            "is_listed": False,
            "rate": 0.0,
            "date_created": now,
            "date_updated": now,
            **dict.fromkeys(_COUNTS, 0),
        }
        deed = by.deed(Action.MIGRATION_STARTED, source.account_sid, sid, source=source.sid)
        try:
            async with self._engine.begin() as transaction:
                earlier = await claim_key(
                    transaction,
                    source.account_sid,
                    once.key if once else None,
                    request_hash=once.request_hash if once else "",
                    resource_sid=sid,
                    now=now,
                )
                if earlier is None:
                    await transaction.execute(insert(migrations).values(row))
                    await write_jobs(transaction, [JobRow(route_of(INVENTORY, host_id), sid)], now=now)
                    await write_deeds(transaction, [deed], now=now)
        except IntegrityError as why:
            raise MigrationRunning(
                f"A migration of {source.sid} is running or paused; wait for it (callreel migrate status MG… --wait), "
                "resume it or cancel it first"
            ) from why
        return await self.fetch(source.account_sid, earlier or sid)

    async def fetch(self, account_sid: AccountSid, sid: str) -> Migration:
        """A migration of an account. Raises `NotFound`."""
        found = await self.find_for_work(sid)
        if found is None or found.account_sid != account_sid:
            raise NotFound()
        return found

    async def find_for_work(self, sid: str) -> Migration | None:
        """The migration a job names, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(migrations).where(m.sid == sid))).mappings().one_or_none()
        return None if row is None else _read(row)

    async def list(self, account_sid: AccountSid, *, place: Place | None, size: int) -> Page[Migration]:
        """One page of an account's migrations, newest first."""
        query = at_place(
            select(migrations).where(m.account_sid == account_sid), m.date_created, m.sid, place=place, size=size
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_read(row) for row in rows], place=place, size=size)

    async def fetched_by_step(
        self, account_sid: AccountSid, sid: str, *, since: datetime, until: datetime, step_s: int
    ) -> Mapping[int, int]:
        """How many items of a migration were fetched in each step of time from `since` on; steps without any are not
        in it. Reads each item fetched meanwhile once."""
        i = migration_items.c
        step = cast(func.floor(func.extract("epoch", i.fetched_at - since) / step_s), Integer).label("step")
        query = (
            select(step, func.count())
            .where(i.account_sid == account_sid, i.migration_sid == sid, i.fetched_at.between(since, until))
            .group_by(step)
        )
        async with self._engine.connect() as connection:
            return {int(n): int(count) for n, count in await connection.execute(query)}

    async def is_live_for(self, source_sid: str) -> bool:
        """Whether a source has a migration that is running or paused."""
        query = select(exists().where(m.source_sid == source_sid, m.status.in_(LIVE)))
        async with self._engine.connect() as connection:
            return bool((await connection.execute(query)).scalar_one())

    async def list_unread(self, host_id: str) -> Sequence[str]:
        """Running migrations whose list has not been read to its end. For recovery."""
        query = select(m.sid).where(m.host_id == host_id, m.status == _S.RUNNING, m.is_listed.is_(False))
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def keep_page(self, migration: Migration, source: Source, page: SourcePage) -> Migration:
        """Write a page of the source's list: its items, where the list goes on, and the reminder to move them.

        One transaction, so that a page is counted once however often it is read. Raises `Outrun` when the migration
        was paused, canceled or read on by somebody else meanwhile; then nothing was written.
        """
        now = self._clock.now()
        async with self._engine.begin() as transaction:
            here = (
                await transaction.execute(
                    select(m.status, m.cursor, m.passes).where(m.sid == migration.sid).with_for_update()
                )
            ).one()
            if tuple(here) != (_S.RUNNING, migration.cursor, migration.passes):
                raise Outrun(migration.sid)
            taken = await take_in(
                transaction,
                source,
                page.recordings,
                host_id=migration.host_id,
                migration_sid=migration.sid,
                kept_sources={},
                now=now,
            )
            await transaction.execute(
                update(migrations)
                .where(m.sid == migration.sid)
                .values(**_after_a_page(migration, page, taken), date_updated=now)
            )
            await transaction.execute(ended_if_done(migration.sid, now))
            if taken.new or taken.adopted:
                await write_jobs(transaction, [JobRow(route_of(MOVE, migration.host_id), source.sid)], now=now)
        return await self._again(migration)

    async def begin_list_anew(self, migration: Migration) -> Migration:
        """Read the list from its beginning: its next page can no longer be had."""
        return await self._change(migration, None, cursor=None, found_in_pass=migration.found_in_pass + 1)

    async def note_rate(self, sids: Sequence[str], rate: float) -> None:
        """Keep how many items a second go through of late, for whoever asks."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(migrations).where(m.sid.in_(sids)).values(rate=rate, rate_at=self._clock.now())
            )

    async def pause(self, migration: Migration, *, by: Actor = CALLREEL) -> Migration:
        """Take up nothing more until it is resumed. Raises `StateConflict` when it has ended."""
        if migration.status is _S.PAUSED:
            return migration
        _must_be(migration, _S.RUNNING, verb="paused")
        deed = by.deed(Action.MIGRATION_PAUSED, migration.account_sid, migration.sid)
        return await self._change(migration, deed, status=_S.PAUSED)

    async def cancel(self, migration: Migration, *, by: Actor = CALLREEL) -> Migration:
        """End it: what is in its bucket stays there, no further original is deleted. Raises `StateConflict`."""
        if migration.status is _S.CANCELED:
            return migration
        _must_be(migration, _S.RUNNING, _S.PAUSED, _S.FAILED, verb="canceled")
        deed = by.deed(Action.MIGRATION_CANCELED, migration.account_sid, migration.sid)
        return await self._change(migration, deed, status=_S.CANCELED, date_ended=self._clock.now())

    async def stop(self, source_sid: str, *, reason: str, remedy: str | None) -> None:
        """The outside refuses: end a source's running migration as failed, to be resumed when that is mended."""
        now = self._clock.now()
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(migrations)
                .where(m.source_sid == source_sid, m.status == _S.RUNNING)
                .values(status=_S.FAILED, reason=reason[:500], remedy=remedy, date_updated=now, date_ended=now)
            )

    async def explain(self, source_sid: str, *, reason: str | None, remedy: str | None = None) -> None:
        """Say why a source's running migration does not get on, or that it does again."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(migrations)
                .where(m.source_sid == source_sid, m.status == _S.RUNNING, m.reason.is_distinct_from(reason))
                .values(reason=reason, remedy=remedy, date_updated=self._clock.now())
            )

    async def resume(self, migration: Migration, *, by: Actor = CALLREEL) -> Migration:
        """Go on, and take up again what failed: its items, its list and its reminders in one transaction.

        Raises `StateConflict` for one that was canceled, `MigrationRunning` when the source has another by now.
        """
        _must_be(migration, _S.RUNNING, _S.PAUSED, _S.FAILED, _S.COMPLETED, verb="resumed")
        now = self._clock.now()
        failed = (ItemState.FAILED, ItemState.DELETE_FAILED)
        i = migration_items.c
        try:
            async with self._engine.begin() as transaction:
                await transaction.execute(
                    update(migration_items)
                    .where(i.migration_sid == migration.sid, i.state.in_(failed))
                    .values(**taken_up_again(now))
                )
                await transaction.execute(
                    update(migrations)
                    .where(m.sid == migration.sid)
                    .values(
                        status=_S.RUNNING,
                        reason=None,
                        remedy=None,
                        failed=0,
                        delete_failed=0,
                        moved=m.moved - m.delete_failed,
                        date_ended=None,
                        date_updated=now,
                    )
                )
                await _recount_bytes(transaction, migration.sid)
                await transaction.execute(ended_if_done(migration.sid, now))
                await write_jobs(
                    transaction,
                    [
                        JobRow(route_of(INVENTORY, migration.host_id), migration.sid),
                        JobRow(route_of(MOVE, migration.host_id), migration.source_sid),
                    ],
                    now=now,
                )
                deed = by.deed(Action.MIGRATION_RESUMED, migration.account_sid, migration.sid)
                await write_deeds(transaction, [deed], now=now)
        except IntegrityError as why:
            raise MigrationRunning(f"Another migration of {migration.source_sid} is running or paused") from why
        return await self._again(migration)

    async def retry(self, migration: Migration, *, named: Collection[str] = (), by: Actor = CALLREEL) -> int:
        """Take up again what failed of a migration, or what is named: see `retry_items`. Returns how many.

        Raises `NotFound` for a recording that is not of it, and `StateConflict` when nothing goes on in it.
        """
        if migration.status is _S.FAILED:
            raise StateConflict(
                "The migration was stopped by its source. Resume it (callreel migrate resume): that takes up again "
                "everything that failed"
            )
        _must_be(migration, _S.RUNNING, _S.PAUSED, _S.COMPLETED, verb="taken up again; start a new one")
        return await self._retry(
            migration.account_sid, migration.source_sid, migration.sid, migration.host_id, named=named, by=by
        )

    async def retry_strays(
        self, source: Source, *, host_id: str, named: Collection[str] = (), by: Actor = CALLREEL
    ) -> int:
        """The same for what the poller and the webhook took up, which belongs to no migration."""
        return await self._retry(source.account_sid, source.sid, None, host_id, named=named, by=by)

    async def _retry(
        self,
        account_sid: AccountSid,
        source_sid: str,
        migration_sid: str | None,
        host_id: str,
        *,
        named: Collection[str],
        by: Actor,
    ) -> int:
        now = self._clock.now()
        try:
            async with self._engine.begin() as transaction:
                sids = await retry_items(transaction, account_sid, source_sid, migration_sid, named=named, now=now)
                if sids:
                    await write_jobs(transaction, [JobRow(route_of(MOVE, host_id), source_sid)], now=now)
                    told = {"recordings": sids if len(sids) <= MOST_TOLD else len(sids)}
                    deed = by.deed(Action.MOVES_RETRIED, account_sid, migration_sid or source_sid, **told)
                    await write_deeds(transaction, [deed], now=now)
        except IntegrityError as why:  # another one was started in that moment
            raise MigrationRunning(f"Another migration of {source_sid} is running or paused") from why
        return len(sids)

    async def _change(self, migration: Migration, deed: Deed | None, **values: Any) -> Migration:
        now = self._clock.now()
        async with self._engine.begin() as transaction:
            changed = await transaction.execute(
                update(migrations)
                .where(m.sid == migration.sid, m.status == migration.status)
                .values(**values, date_updated=now)
            )
            if not changed.rowcount:
                raise Outrun(migration.sid)
            await write_deeds(transaction, [deed] if deed is not None else [], now=now)
        return await self._again(migration)

    async def _again(self, migration: Migration) -> Migration:
        found = await self.find_for_work(migration.sid)
        assert found is not None
        return found


def ended_if_done(sid: str, now: datetime) -> Update:
    """Complete a migration whose list has been read and whose every item is finished."""
    return (
        update(migrations)
        .where(m.sid == sid, m.status == _S.RUNNING, m.is_listed, m.total <= FINISHED_SUM)
        .values(status=_S.COMPLETED, date_ended=now, date_updated=now)
    )


def _after_a_page(migration: Migration, page: SourcePage, taken: TakenIn) -> dict[str, Any]:
    """What a page changes. The list is read again until a whole pass finds nothing new: it may change meanwhile."""
    found = migration.found_in_pass + taken.new
    counts: dict[str, Any] = {"total": m.total + taken.new + taken.adopted}
    if page.next_page is not None:
        return counts | {"cursor": page.next_page, "found_in_pass": found}
    return counts | {
        "cursor": None,
        "passes": migration.passes + 1,
        "found_in_pass": 0,
        "is_listed": found == 0 or migration.passes + 1 >= MOST_PASSES,
    }


async def _recount_bytes(transaction: Any, sid: str) -> None:
    """What is settled again counts again; only sums that take from many rows are made anew."""
    i = migration_items.c
    settled = (ItemState.LINK_CLEARED, ItemState.KEPT)
    total = (
        select(func.coalesce(func.sum(i.media_size_bytes), 0))
        .where(i.migration_sid == sid, i.state.in_(settled))
        .scalar_subquery()
    )
    await transaction.execute(update(migrations).where(m.sid == sid).values(bytes=total))


def _must_be(migration: Migration, *among: MigrationStatus, verb: str) -> None:
    if migration.status not in among:
        raise StateConflict(f"The migration is {migration.status} and cannot be {verb}")


MOST_TOLD = 20  # recordings the audit names one by one
MOST_PASSES = 5  # a list that never stands still is read no more often; the poller finds what is new
_COUNTS = ("total", "moved", "kept", "skipped", "failed", "deleted_at_source", "delete_failed", "bytes")


def _read(row: Any) -> Migration:
    facts = dict(row)
    facts["status"] = _S(facts["status"])
    return Migration(**facts)
