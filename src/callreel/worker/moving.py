"""The jobs of moving: read a migration's list, move a source's items, and wake what waited for its delivery."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from callreel.errors import Final, NotNow, SourceRedirects
from callreel.ledger.item_intake import INVENTORY, MOVE
from callreel.ledger.jobs import JobRow, route_of
from callreel.migration.inventory import take_inventory
from callreel.migration.shelves import Carry, Moving
from callreel.model.migration import Migration, MigrationStatus
from callreel.model.recording import COMPLETED, Recording, State
from callreel.parts import Parts
from callreel.worker.convoy import Convoy

log = structlog.get_logger("callreel.worker")

MOVING_STEPS = (MOVE, INVENTORY)
LIST_AGAIN_S, LIST_AGAIN_CAP_S = 0.5, 300.0
REFUSED_IN_A_ROW = 3
# Items for each delivery at once. Two would keep the wire busy; six make commits that carry three times as many rows,
# which costs a fifth less CPU an item (benchmarks, `migration`).
IN_HAND = 6
_SETTLES = COMPLETED | {State.PARKED, State.FATAL, State.ERASED, State.DELETING, State.DELETED}
REMEDY = "Mend the source (callreel sources check), then: callreel migrate resume"


class Moves:
    """What one worker process moves. Each source has one convoy at a time."""

    def __init__(self, parts: Parts, *, carry: Carry, is_stopping: Callable[[], bool]) -> None:
        self._parts, self._is_stopping = parts, is_stopping
        self._shelves = Moving(
            ledger=parts.ledger,
            spool=parts.spool,
            births=parts.births,
            buckets=parts.buckets,
            receipt_key=parts.receipt_key,
            clock=parts.clock,
            rng=parts.rng,
            carry=carry,
            max_bytes=parts.chosen.max_upload_bytes,
        )
        self._convoys: dict[str, Convoy] = {}
        self._reading: set[str] = set()
        self._refused: dict[str, int] = {}

    async def move_source(self, source_sid: str) -> None:
        """Move what is due at a source. A second job for a source under way only makes the first look again."""
        if source_sid in self._convoys:
            self._convoys[source_sid].look_again()
            return
        source = await self._parts.ledger.sources.find_for_work(source_sid)
        if source is None:
            return
        client = await self._parts.sources.open(source)
        if source_sid in self._convoys:
            self._convoys[source_sid].look_again()
            return
        convoy = self._convoys[source_sid] = Convoy(
            source,
            client,
            self._shelves,
            most=IN_HAND * self._parts.chosen.delivery_concurrency,
            is_stopping=self._is_stopping,
        )
        try:
            await convoy.run()
            while convoy.is_wanted and not self._is_stopping():
                await convoy.run()
        finally:
            del self._convoys[source_sid]

    async def read_list(self, migration_sid: str) -> None:
        """Read a migration's list on from where it was left."""
        if migration_sid in self._reading:
            return
        migration = await self._parts.ledger.migrations.find_for_work(migration_sid)
        if migration is None or migration.status is not MigrationStatus.RUNNING or migration.is_listed:
            return
        source = await self._parts.ledger.sources.find_for_work(migration.source_sid)
        if source is None:
            await self._parts.ledger.migrations.stop(
                migration.source_sid, reason="The source was removed", remedy="Cancel the migration"
            )
            return
        self._reading.add(migration_sid)
        try:
            client = await self._parts.sources.open(source)
            await take_inventory(migration, source, client, ledger=self._parts.ledger, is_stopping=self._is_stopping)
            self._refused.pop(migration_sid, None)
        except (NotNow, Final) as why:
            await self._read_later(migration, why)
        finally:
            self._reading.discard(migration_sid)

    async def wake(self, recording: Recording | None) -> None:
        """A recording came to the end of its delivery under a job of its own: its item goes on."""
        if recording is None or recording.source_sid is None or recording.state not in _SETTLES:
            return
        for source_sid in await self._parts.ledger.items.wake([recording.sid]):
            if source_sid in self._convoys:
                self._convoys[source_sid].look_again()
            else:
                await self._parts.ledger.remind([JobRow(route_of(MOVE, self._parts.spool.host_id), source_sid)])

    async def _read_later(self, migration: Migration, why: NotNow | Final) -> None:
        """The list goes on later from the same page; a source that refuses again and again is believed."""
        ledger = self._parts.ledger
        refused = isinstance(why, Final | SourceRedirects)
        times = self._refused[migration.sid] = self._refused.get(migration.sid, 0) + 1
        if refused and times >= REFUSED_IN_A_ROW:
            del self._refused[migration.sid]
            await ledger.migrations.stop(migration.source_sid, reason=why.message, remedy=REMEDY)
            log.warning("the source refuses to be listed", source=migration.source_sid, reason=why.message)
            return
        await ledger.migrations.explain(migration.source_sid, reason=why.message)
        at = self._parts.clock.now() + timedelta(seconds=min(LIST_AGAIN_CAP_S, LIST_AGAIN_S * 2.0 ** min(times, 16)))
        await ledger.remind([JobRow(route_of(INVENTORY, migration.host_id), migration.sid, at)])
