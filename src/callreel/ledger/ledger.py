"""The ledger: all that the database knows, and `move()`, the only way a recording changes its state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.errors import Outrun
from callreel.failpoints import reach
from callreel.ledger.account_keys import AccountKeys
from callreel.ledger.accounts import Accounts
from callreel.ledger.alerts import Alerts
from callreel.ledger.audit import Audit, write_deeds
from callreel.ledger.calls import Calls
from callreel.ledger.campaigns import Campaigns
from callreel.ledger.credentials import Credentials
from callreel.ledger.deletion_settings import DeletionChoices
from callreel.ledger.deletions import Deletions
from callreel.ledger.examination import Examination
from callreel.ledger.forgotten import Forgotten
from callreel.ledger.glances import Glances
from callreel.ledger.group_commit import GroupCommit
from callreel.ledger.heartbeats import Heartbeats
from callreel.ledger.holds import Holds
from callreel.ledger.jobs import JobRow, write_jobs
from callreel.ledger.migrations import Migrations
from callreel.ledger.moved_items import MovedItems
from callreel.ledger.moves import AlreadyBorn, Birth, Move, MoveWriter, Note, Write, check_arrow
from callreel.ledger.outbox import Outbox
from callreel.ledger.peaks import PeakShelf
from callreel.ledger.people import People
from callreel.ledger.quarantine import Quarantine
from callreel.ledger.recordings import Recordings
from callreel.ledger.retention_classes import RetentionClasses
from callreel.ledger.rooms import Rooms
from callreel.ledger.settings import SettingsBook
from callreel.ledger.sources import Sources
from callreel.ledger.tables import alerts, idempotency_keys, moves, outbox, recordings, tombstones
from callreel.ledger.usage import UsageBook
from callreel.model.deed import CALLREEL, Action, Deed
from callreel.model.recording import Recording, State

_KEYS_AT_ONCE = 10_000


class Ledger:
    """The parts of the database by name, and the moves.

    `worker_id` names this process in every ledger line; `public_url` is asked for when an event is written,
    since the port may not be known before the service listens.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock, worker_id: str, public_url: Callable[[], str]) -> None:
        self.engine = engine
        self.worker_id = worker_id
        self._clock = clock
        self.settings = SettingsBook(engine)
        self.recordings = Recordings(engine, self.settings)
        self.forgotten = Forgotten(engine, self.recordings)
        self.heartbeats = Heartbeats(engine)
        self.quarantine = Quarantine(engine)
        self.examination = Examination(engine, self.recordings)
        self.accounts = Accounts(engine)
        self.account_keys = AccountKeys(engine)
        self.credentials = Credentials(engine)
        self.deletion_settings = DeletionChoices(engine)
        self.sources = Sources(engine)
        self.migrations = Migrations(engine, clock)
        self.items = MovedItems(engine, clock)
        self.deletions = Deletions(engine, clock)
        self.holds = Holds(engine, clock)
        self.usage = UsageBook(engine, self.settings, clock)
        self.glances = Glances(engine, self.usage, clock)
        self.outbox = Outbox(engine, clock)
        self.alerts = Alerts(engine)
        self.people = People(engine)
        self.peaks = PeakShelf(engine)
        self.calls = Calls(engine, clock)
        self.campaigns = Campaigns(engine)
        self.rooms = Rooms(engine)
        self.audit = Audit(engine, clock)
        self.retention_classes = RetentionClasses(engine, clock)
        self._writer = writer = MoveWriter(clock=clock, worker_id=worker_id, public_url=public_url)
        self._commits: GroupCommit[Write] = GroupCommit(engine, writer.write, name_of=lambda item: item.name)
        self._at_once = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._quiet: dict[tuple[str, ...], GroupCommit[Move | Note]] = {}

    async def bear(self, birth: Birth) -> Recording | AlreadyBorn:
        """Write a new recording whose media is durable: its row, its call, the first line, job and event.

        Returns the recording, or `AlreadyBorn` when its idempotency key was used for the same request before.
        Raises `IdempotencyConflict` and `DatabaseAway`; after the latter it may or may not exist, and only a
        retry with the same key can tell.
        """
        check_arrow(None, birth.recording.state)
        return cast("Recording | AlreadyBorn", await self._commits.submit(birth))

    async def move(
        self, recording: Recording, to: State, *, reason: str | None = None, deed: Deed | None = None, **facts: Any
    ) -> Recording:
        """Move a recording along an arrow, with the facts that become true with it.

        One transaction: state, fence, facts, ledger line, the next job, the event owed, and the deed for the audit
        where somebody asked for the move. Raises `Outrun` when the row is no longer what `recording` says (nothing
        was written), and `DatabaseAway`.
        """
        check_arrow(recording.state, to)
        return cast(Recording, await self._submit(Move(recording, to, facts, reason, deed)))

    async def note(self, recording: Recording, **facts: Any) -> Recording:
        """Write facts that change no state, under the same guard. Raises `Outrun` and `DatabaseAway`."""
        return cast(Recording, await self._submit(Note(recording, facts)))

    async def _submit(self, item: Move | Note) -> Any:
        """Quiet items go by shape, in one round trip each: those of one step never wait for those of another."""
        if not self._writer.is_quiet(item):
            return await self._commits.submit(item)
        if item.shape not in self._quiet:
            self._quiet[item.shape] = GroupCommit(
                self._at_once, self._writer.write_quiet, name_of=lambda item: item.name
            )
        return await self._quiet[item.shape].submit(item)

    async def purge(self, recording: Recording, *, reason: str) -> None:
        """Remove the row for good, with its events and alerts, and leave a tombstone: one transaction.

        Raises `Outrun`.
        """
        check_arrow(recording.state, State.PURGED)
        now = self._clock.now()
        async with self.engine.begin() as transaction:
            gone = await transaction.execute(
                delete(recordings).where(
                    recordings.c.sid == recording.sid,
                    recordings.c.account_sid == recording.account_sid,
                    recordings.c.state == recording.state,
                    recordings.c.fence == recording.fence,
                    recordings.c.legal_hold_at.is_(None),
                )
            )
            if not gone.rowcount:
                raise Outrun(recording.sid)
            reach("C18")
            for about in (outbox, alerts):  # they tell of it: numbers, URLs, what a bucket said
                await transaction.execute(
                    delete(about).where(
                        about.c.recording_sid == recording.sid, about.c.account_sid == recording.account_sid
                    )
                )
            await transaction.execute(
                insert(tombstones).values(
                    sid=recording.sid,
                    account_sid=recording.account_sid,
                    purged_at=now,
                    reason=reason,
                    deleted_at=recording.deleted_at,
                    purge_after=recording.purge_after,
                )
            )
            await transaction.execute(
                insert(moves).values(
                    recording_sid=recording.sid,
                    account_sid=recording.account_sid,
                    from_state=recording.state,
                    to_state=State.PURGED,
                    at=now,
                    worker=self.worker_id,
                    fence=recording.fence + 1,
                    reason=reason,
                )
            )
            deed = CALLREEL.deed(Action.RECORDING_PURGED, recording.account_sid, recording.sid, reason=reason)
            await write_deeds(transaction, [deed], now=now)

    async def forget_idempotency_keys(self, *, before: datetime) -> int:
        """Remove keys that were claimed before this time, so many in each transaction. Returns how many."""
        c, gone = idempotency_keys.c, 0
        oldest = select(c.account_sid, c.key).where(c.date_created < before).limit(_KEYS_AT_ONCE)
        while True:
            async with self.engine.begin() as transaction:
                removed = await transaction.execute(
                    delete(idempotency_keys).where(tuple_(c.account_sid, c.key).in_(oldest))
                )
            gone += removed.rowcount
            if removed.rowcount < _KEYS_AT_ONCE:
                return gone

    async def remind(self, jobs: list[JobRow]) -> None:
        """Write jobs that belong to no move. For recovery, which makes up for reminders that were lost."""
        async with self.engine.begin() as transaction:
            await write_jobs(transaction, jobs, now=self._clock.now())

    def now(self) -> datetime:
        """The moment that what is written now will carry."""
        return self._clock.now()

    async def answers(self) -> None:
        """Return if the database takes a transaction now; raise `DatabaseAway` if not."""
        async with self.engine.connect() as connection:
            await connection.execute(sql("SELECT 1"))

    async def close(self) -> None:
        """Let pending commits finish, then close the pool."""
        await self._commits.drain()
        await self.items.drain()
        for commits in self._quiet.values():
            await commits.drain()
        await self.audit.drain()
        await self.glances.drain()
        await self.usage.drain()
        await self.engine.dispose()
