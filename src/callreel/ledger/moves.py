"""The one place that writes a recording's state.

A move checks its arrow, is guarded by state and fence, and writes in the same transaction the ledger line,
the next job and the event it owes. A birth is the move from nothing. Moves of many recordings share commits.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    DateTime,
    Insert,
    Integer,
    Text,
    Update,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.clock import Clock
from callreel.errors import IdempotencyConflict, Outrun
from callreel.ledger.alerts import Alert, write_alerts
from callreel.ledger.jobs import JobRow, route_of, write_jobs
from callreel.ledger.rooms import room_row
from callreel.ledger.tables import (
    calls,
    conferences,
    idempotency_keys,
    moves,
    outbox,
    recordings,
    rooms,
    video_tracks,
)
from callreel.ledger.video_tracks import track_row
from callreel.model.callback import parameters_of
from callreel.model.media_url import media_url_of
from callreel.model.recording import ARROWS, OWED_EVENT, UNFINISHED, VIDEO_OWED_EVENT, Recording, State, next_job
from callreel.model.room import Room
from callreel.model.video_callback import video_parameters_of

_UNFINISHED = UNFINISHED | {State.DELIVERED, State.DELETING, State.RECEIVING}
SILENT_SOURCE = "Trunking"  # Elastic SIP Trunking recordings have no status callbacks


@dataclass(frozen=True, slots=True)
class Move:
    """One step along an arrow, with the facts that became true with it."""

    recording: Recording
    to: State
    facts: dict[str, Any]
    reason: str | None

    @property
    def name(self) -> str:
        return self.recording.sid


@dataclass(frozen=True, slots=True)
class Note:
    """Facts that change without a move, guarded like one."""

    recording: Recording
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        return self.recording.sid


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A recording whose media is durable in the spool, with the call or room and the key it came under."""

    recording: Recording
    call: dict[str, Any] | None = None
    conference: dict[str, Any] | None = None
    room: Room | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    alerts: tuple[Alert, ...] = ()

    @property
    def name(self) -> str:
        # Two births under one key must not share a transaction: the second has to see the first.
        return self.idempotency_key or self.recording.sid


@dataclass(frozen=True, slots=True)
class AlreadyBorn:
    """This key was used before for the same request; the answer is the recording of then."""

    recording_sid: str


Write = Move | Note | Birth


@dataclass
class _Consequences:
    """What the moves of one transaction entail."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)


class MoveWriter:
    """Writes a batch of moves, notes and births inside one transaction; see `GroupCommit`."""

    def __init__(self, *, clock: Clock, worker_id: str, public_url: Callable[[], str]) -> None:
        self._clock, self._worker_id, self._public_url = clock, worker_id, public_url

    async def write(self, transaction: AsyncConnection, items: Sequence[Write]) -> list[Any]:
        """One result for each item: the recording as it is now, `AlreadyBorn`, or the error for its caller."""
        now = self._clock.now()
        after = _Consequences()
        results: dict[int, Any] = {}
        births = [(i, item) for i, item in enumerate(items) if isinstance(item, Birth)]
        if births:
            await self._write_births(transaction, births, results, after, now)
        groups: dict[tuple[str, ...], list[tuple[int, Move | Note]]] = defaultdict(list)
        for i, item in enumerate(items):
            if not isinstance(item, Birth):
                groups[tuple(sorted(item.facts))].append((i, item))
        for columns, members in groups.items():
            await self._write_moves(transaction, columns, members, results, after, now)
        if after.lines:
            await transaction.execute(_LINES, {name: [line[name] for line in after.lines] for name in _LINE})
        if after.events:
            await transaction.execute(_EVENT, after.events)
        await write_jobs(transaction, after.jobs, now=now)
        return [results[i] for i in range(len(items))]

    async def _write_moves(
        self,
        transaction: AsyncConnection,
        columns: tuple[str, ...],
        members: list[tuple[int, Move | Note]],
        results: dict[int, Any],
        after: _Consequences,
        now: datetime,
    ) -> None:
        to = [m.to if isinstance(m, Move) else m.recording.state for _, m in members]
        fences = [m.recording.fence + 1 if isinstance(m, Move) else m.recording.fence for _, m in members]
        values: dict[str, Any] = {
            "sids": [m.recording.sid for _, m in members],
            "accounts": [m.recording.account_sid for _, m in members],
            "states": [m.recording.state for _, m in members],
            "fences": [m.recording.fence for _, m in members],
            "to_states": to,
            "to_fences": fences,
            "unfinished_flags": [state in _UNFINISHED for state in to],
            "moments": [now] * len(members),
        }
        for column in columns:
            values[f"new_{column}"] = [m.facts[column] for _, m in members]
        moved = set((await transaction.execute(_guarded_update(columns), values)).scalars())
        for i, item in members:
            recording = item.recording
            if recording.sid not in moved:
                results[i] = Outrun(recording.sid)
                continue
            results[i] = self._follow(item, after, now)

    def _follow(self, item: Move | Note, after: _Consequences, now: datetime) -> Recording:
        """The recording as it is after the write; notes down what a move entails."""
        if isinstance(item, Note):
            return item.recording.changed(date_updated=now, **item.facts)
        before = item.recording
        moved = before.changed(state=item.to, fence=before.fence + 1, date_updated=now, **item.facts)
        self._entail(before.state, moved, after, now, reason=item.reason)
        return moved

    def _entail(
        self, came_from: State | None, recording: Recording, after: _Consequences, now: datetime, *, reason: str | None
    ) -> None:
        after.lines.append(
            {
                "recording_sid": recording.sid,
                "account_sid": recording.account_sid,
                "from_state": came_from,
                "to_state": recording.state,
                "at": now,
                "worker": self._worker_id,
                "fence": recording.fence,
                "reason": reason,
            }
        )
        self._owe(recording, after, now)
        job = next_job(recording.state, settings=recording.settings, next_attempt_at=recording.next_attempt_at)
        if job is None or (recording.carried and job.at is None):
            return  # nothing to remind of, or the worker that carries it goes on at once under the job it has
        after.jobs.append(JobRow(route_of(job.step, recording.host_id), recording.sid, job.at))

    def _owe(self, recording: Recording, after: _Consequences, now: datetime) -> None:
        owed = OWED_EVENT if recording.video is None else VIDEO_OWED_EVENT
        event, wish = owed.get(recording.state), recording.callback
        if event is None or wish is None or event not in wish.events or recording.source == SILENT_SOURCE:
            return
        after.events.append(
            {
                "id": str(uuid.uuid4()),
                "account_sid": recording.account_sid,
                "recording_sid": recording.sid,
                "event": event,
                "url": wish.url,
                "method": wish.method,
                "parameters": self._told(recording, event, now),
                "date_created": now,
            }
        )
        after.jobs.append(JobRow("notify", recording.sid))

    def _told(self, recording: Recording, event: str, now: datetime) -> list[tuple[str, str]]:
        if recording.video is not None:
            return video_parameters_of(recording, event, at=now)
        return parameters_of(recording, event, recording_url=media_url_of(recording, self._public_url()))

    async def _write_births(
        self,
        transaction: AsyncConnection,
        births: list[tuple[int, Birth]],
        results: dict[int, Any],
        after: _Consequences,
        now: datetime,
    ) -> None:
        taken = await _claim_keys(transaction, births, results, now)
        born = [(i, birth) for i, birth in births if i not in taken]
        if not born:
            return
        if met := [birth.call for _, birth in born if birth.call]:
            await transaction.execute(upsert(calls).on_conflict_do_nothing(), met)
        if met := [birth.conference for _, birth in born if birth.conference]:
            await transaction.execute(upsert(conferences).on_conflict_do_nothing(), met)
        if entered := [room_row(birth.room) for _, birth in born if birth.room]:
            await transaction.execute(upsert(rooms).on_conflict_do_nothing(), entered)
        await transaction.execute(insert(recordings), [_row(b.recording) for _, b in born])
        if tracks := [row for _, birth in born if (row := track_row(birth.recording))]:
            await transaction.execute(insert(video_tracks), tracks)
        await write_alerts(transaction, [alert for _, birth in born for alert in birth.alerts])
        for i, birth in born:
            self._entail(None, birth.recording, after, now, reason=None)
            results[i] = birth.recording


async def _claim_keys(
    transaction: AsyncConnection, births: list[tuple[int, Birth]], results: dict[int, Any], now: datetime
) -> set[int]:
    """Claim idempotency keys; those claimed before are answered from the first request. Returns their indexes."""
    repeated: set[int] = set()
    for i, birth in births:
        if birth.idempotency_key is None:
            continue
        key = {"account_sid": birth.recording.account_sid, "key": birth.idempotency_key}
        claimed = await transaction.execute(
            upsert(idempotency_keys)
            .on_conflict_do_nothing()
            .values(request_hash=birth.request_hash, resource_sid=birth.recording.sid, date_created=now, **key)
        )
        if claimed.rowcount:
            continue
        repeated.add(i)
        first = (
            await transaction.execute(
                select(idempotency_keys.c.request_hash, idempotency_keys.c.resource_sid).filter_by(**key)
            )
        ).one()
        results[i] = (
            AlreadyBorn(first.resource_sid) if first.request_hash == birth.request_hash else IdempotencyConflict()
        )
    return repeated


def check_arrow(came_from: State | None, to: State) -> None:
    """Refuse a move that is not on the map: a fault of ours, never of the caller."""
    if to not in ARROWS[came_from]:
        raise AssertionError(f"no arrow leads from {came_from} to {to}")


_EVENT = upsert(outbox).on_conflict_do_nothing(index_elements=["recording_sid", "event"])

_LINE = tuple(c.name for c in moves.columns if c.name != "id")
_FACTS = {c.name for c in recordings.columns}


def _insert_of_lines() -> Insert:
    """One statement for any number of ledger lines: an INSERT for each cost PostgreSQL five times as much."""
    columns: list[Column[Any]] = [Column(name, moves.c[name].type) for name in _LINE]
    given = func.unnest(*[bindparam(c.name, type_=ARRAY(c.type)) for c in columns]).table_valued(*columns, name="given")
    return insert(moves).from_select(_LINE, select(*given.render_derived().columns))


_LINES = _insert_of_lines()


@lru_cache(maxsize=256)
def _guarded_update(columns: tuple[str, ...]) -> Update:
    """One statement for any number of rows: each is changed only if state and fence are what its mover saw."""
    unknown = set(columns) - _FACTS
    if unknown:
        raise AssertionError(f"recordings have no {unknown}")
    fixed: list[tuple[str, Column[Any]]] = [
        ("sids", Column("sid", Text)),
        ("accounts", Column("account_sid", Text)),
        ("states", Column("state", Text)),
        ("fences", Column("fence", Integer)),
        ("to_states", Column("to_state", Text)),
        ("to_fences", Column("to_fence", Integer)),
        ("unfinished_flags", Column("unfinished", Boolean)),
        ("moments", Column("moment", DateTime(timezone=True))),
    ]
    chosen: list[tuple[str, Column[Any]]] = [
        (f"new_{name}", Column(f"new_{name}", recordings.c[name].type)) for name in columns
    ]
    given = (
        func.unnest(*[bindparam(name, type_=ARRAY(column.type)) for name, column in fixed + chosen])
        .table_valued(*[column for _, column in fixed + chosen], name="given")
        .render_derived()
    )
    return (
        update(recordings)
        .where(
            recordings.c.sid == given.c.sid,
            recordings.c.account_sid == given.c.account_sid,
            recordings.c.state == given.c.state,
            recordings.c.fence == given.c.fence,
        )
        .values(
            state=given.c.to_state,
            fence=given.c.to_fence,
            unfinished=given.c.unfinished,
            date_updated=given.c.moment,
            **{name: given.c[f"new_{name}"] for name in columns},
        )
        .returning(recordings.c.sid)
    )


def _row(recording: Recording) -> dict[str, Any]:
    wish = recording.callback
    row = {
        name: getattr(recording, name)
        for name in _FACTS - {"callback_url", "callback_method", "callback_events", "unfinished"}
    }
    row |= {
        "unfinished": recording.state in _UNFINISHED,
        "callback_url": wish.url if wish else None,
        "callback_method": wish.method if wish else None,
        "callback_events": list(wish.events) if wish else None,
    }
    return row
