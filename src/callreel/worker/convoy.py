"""Moves the items of one source, many at a time, until none is due: the work behind one `move` job.

The rows say what is to be done; here is only who has what in hand. A convoy that is killed leaves rows that the next
one goes on with.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from callreel.errors import (
    CallreelError,
    DatabaseAway,
    Outrun,
    SourceRedirects,
    SourceUnauthorized,
    SpoolFailed,
    SpoolFull,
)
from callreel.ledger.item_intake import MOVE
from callreel.ledger.jobs import JobRow, route_of
from callreel.migration.fetch import SOURCE_IS_AWAY
from callreel.migration.move import SourceAway, move, wait_for_source
from callreel.migration.shelves import Moving
from callreel.migration.stay import stay
from callreel.model.moved_item import FINISHED, ItemState, MovedItem
from callreel.model.source import Source
from callreel.model.storage_settings import RecordingKind
from callreel.source.twilio_account import TwilioAccount

log = structlog.get_logger("callreel.worker")

AHEAD = 2  # items looked up for each that may be in hand; more of them would outlive a pause
AWAY_IN_A_ROW = 8  # so many items without an answer: the source is away, and no item is blamed for it
REFUSED_IN_A_ROW = 3  # one odd answer is an accident on the way; so many, and nothing else, are meant
AWAY_BASE_S, AWAY_CAP_S = 1.0, 60.0
STORAGE_OFF_S = 60.0
UNDELIVERED_MOST = 500  # what may wait in the spool for its bucket before nothing more is fetched
CROWDED_S = 5.0
RATE_EVERY_S = 2.0
LOOK_EVERY_S = 1.0
REFUSED_S = 60.0
CLOCK_S = 30.0
CLOCK_DISTRUSTED = "The clock of this machine jumped and is distrusted: nothing is moved, and no original is deleted"
CLOCK_REMEDY = "Set the clock right, then: callreel clock confirm. The migration goes on by itself"
STORAGE_OFF = "External storage is off: recordings stay at the source. Switch it on and they are moved"
CROWDED = "The bucket does not take what was fetched; nothing more is fetched until it does"


class Stopped(Exception):
    """Nothing more can be moved now; `again_s` says when to look again, None when somebody has to act first."""

    def __init__(self, again_s: float | None) -> None:
        super().__init__()
        self.again_s = again_s


class Convoy:
    """One source's items under way. `run` once; `look_again` when more may be due."""

    def __init__(
        self, source: Source, client: TwilioAccount, shelves: Moving, *, most: int, is_stopping: Callable[[], bool]
    ) -> None:
        self._source, self._client, self._shelves, self._most = source, client, shelves, most
        self._is_stopping = is_stopping
        self._hands: dict[asyncio.Task[None], str] = {}
        self._next: deque[MovedItem] = deque()
        self._away = self._refused = 0
        self._stumbled = False
        self._stop: Stopped | None = None
        self._clock_seen_at: float | None = None
        self._finished, self._rate_from = 0, shelves.clock.monotonic()
        self._migrations: set[str] = set()
        self._wanted = True
        self._explained_nothing = self._is_off = self._rests = False

    def look_again(self) -> None:
        """More may be due: do not end without another look."""
        self._wanted = True

    @property
    def is_wanted(self) -> bool:
        """Whether somebody asked for another look after the last one."""
        return self._wanted

    async def run(self) -> None:
        """Move what is due until nothing is, then leave a reminder for what is due later. Raises `DatabaseAway`."""
        self._stop, self._clock_seen_at = None, None
        await self._look_at_clock()
        await self._look_at_storage()
        try:
            while not self._is_stopping() and self._stop is None:
                await self._fill()
                if not self._hands and not self._wanted:
                    break
                if self._hands:
                    await asyncio.wait(self._hands, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                await self._note_rate()
                await self._look_at_clock()
        finally:
            if self._hands:  # what is in hand is finished, also when a stop was asked for
                await asyncio.gather(*self._hands, return_exceptions=True)
        self._next.clear()
        self._wanted = False
        await self._remind(self._stop.again_s if self._stop is not None else None)

    async def _look_at_clock(self) -> None:
        """By a clock that is distrusted nothing is moved: dates of proofs and intents would say nothing."""
        now = self._shelves.clock.monotonic()
        if self._clock_seen_at is not None and now - self._clock_seen_at < CLOCK_S:
            return
        self._clock_seen_at = now
        ledger, host_id = self._shelves.ledger, self._shelves.spool.host_id
        if not await ledger.heartbeats.is_trusted(host_id):
            self._stop = Stopped(CLOCK_S)
            await ledger.migrations.explain(self._source.sid, reason=CLOCK_DISTRUSTED, remedy=CLOCK_REMEDY)

    async def _look_at_storage(self) -> None:
        """Whether there is a bucket to move to. What rested at the source while there was none is due now."""
        ledger, source = self._shelves.ledger, self._source
        _, settings = await ledger.settings.current(source.account_sid, RecordingKind.VOICE)
        self._is_off = not settings.aws_storage_enabled
        self._rests = self._is_off and await ledger.items.has_resting(source.sid)
        if self._is_off:
            await ledger.migrations.explain(source.sid, reason=STORAGE_OFF)
        else:
            await ledger.items.wake_resting(source.sid)

    async def _fill(self) -> None:
        """Put items into free hands. Raises nothing but `DatabaseAway`."""
        if len(self._hands) >= self._most:
            return
        if not self._next and (self._wanted or len(self._hands) <= self._most // 2):
            await self._look()
        while self._next and len(self._hands) < self._most:
            item = self._next.popleft()
            if item.recording_sid in self._hands.values():
                continue
            task = asyncio.create_task(self._take(item))
            self._hands[task] = item.recording_sid
            task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._hands.pop(task, None)
        if not task.cancelled() and (why := task.exception()) is not None:
            self._stop = self._stop or Stopped(CROWDED_S)
            if not isinstance(why, DatabaseAway):
                log.error("moving failed unexpectedly", source=self._source.sid, exc_info=why)

    async def _look(self) -> None:
        self._wanted = False
        ledger, host_id = self._shelves.ledger, self._shelves.spool.host_id
        found = await ledger.items.list_due(
            self._source.sid, host_id, limit=AHEAD * self._most, but=list(self._hands.values())
        )
        if await self._is_crowded(found):
            found = [item for item in found if item.state is not ItemState.LISTED]
            await ledger.migrations.explain(self._source.sid, reason=CROWDED)
            if not found and not self._hands:
                self._stop = Stopped(CROWDED_S)
        elif found and not self._is_off and not self._explained_nothing:
            self._explained_nothing = True
            await ledger.migrations.explain(self._source.sid, reason=None)
        self._next.extend(found)
        if found:
            self._wanted = True

    async def _is_crowded(self, found: Sequence[MovedItem]) -> bool:
        """Whether so much waits for its bucket that nothing more may be fetched; what was fetched goes on."""
        if not self._stumbled or self._is_off or all(item.state is not ItemState.LISTED for item in found):
            return False
        waiting = await self._shelves.ledger.items.count_undelivered(self._source.sid, self._shelves.spool.host_id)
        return waiting >= UNDELIVERED_MOST

    async def _take(self, item: MovedItem) -> None:
        try:
            if self._is_off and item.state is ItemState.LISTED:
                await stay(item, source=self._client, shelves=self._shelves)
                self._rests = True
                return
            moved = await move(item, source=self._client, shelves=self._shelves)
        except Outrun:
            return
        except SourceAway as why:
            await self._count_away(why.reason)
            return
        except (SourceUnauthorized, SourceRedirects) as why:
            await self._count_refusal(item, why)
            return
        except SOURCE_IS_AWAY as why:  # while it was only looked at
            await wait_for_source(item, why, shelves=self._shelves)
            await self._count_away(why.message)
            return
        except (SpoolFull, SpoolFailed) as why:
            self._stop = Stopped(CROWDED_S)
            await self._shelves.ledger.migrations.explain(self._source.sid, reason=why.message)
            return
        if self._away or self._refused:
            self._away = self._refused = 0
            await self._shelves.ledger.migrations.explain(self._source.sid, reason=None)
        if moved.migration_sid is not None:
            self._migrations.add(moved.migration_sid)
        if moved.state in FINISHED:
            self._finished += 1
        elif moved.state is ItemState.FETCHED:
            self._stumbled = True

    async def _count_away(self, reason: str) -> None:
        self._away += 1
        if self._away < AWAY_IN_A_ROW:
            return
        steps = self._away - AWAY_IN_A_ROW
        self._stop = Stopped(min(AWAY_CAP_S, AWAY_BASE_S * 2.0 ** min(steps, 16)))
        await self._shelves.ledger.migrations.explain(self._source.sid, reason=reason)

    async def _count_refusal(self, item: MovedItem, why: CallreelError) -> None:
        """The source will have nothing to do with this credential, or is somebody else: no item would fare better."""
        self._refused += 1
        try:
            await wait_for_source(item, why, shelves=self._shelves)
        except Outrun:
            return
        if self._refused < REFUSED_IN_A_ROW or self._stop is not None:
            return
        self._stop = Stopped(REFUSED_S)
        remedy = "Mend the source (callreel sources check), then: callreel migrate resume"
        await self._shelves.ledger.migrations.stop(self._source.sid, reason=why.message, remedy=remedy)
        log.warning("the source refuses; nothing was deleted", source=self._source.sid, reason=why.message)

    async def _note_rate(self) -> None:
        now = self._shelves.clock.monotonic()
        passed_s = now - self._rate_from
        if passed_s < RATE_EVERY_S or not self._migrations:
            return
        rate, self._finished, self._rate_from = self._finished / passed_s, 0, now
        await self._shelves.ledger.migrations.note_rate(sorted(self._migrations), rate)

    async def _remind(self, again_s: float | None) -> None:
        ledger, host_id, now = self._shelves.ledger, self._shelves.spool.host_id, self._shelves.clock.now()
        at = await ledger.items.next_due_at(self._source.sid, host_id)
        if self._rests:
            later = now + timedelta(seconds=STORAGE_OFF_S)
            at = later if at is None else min(at, later)
        if at is None:
            return
        if again_s is not None:
            at = max(at, now + timedelta(seconds=again_s))
        await ledger.remind([JobRow(route_of(MOVE, host_id), self._source.sid, max(at, now))])
