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
    CTE,
    Boolean,
    Column,
    DateTime,
    Insert,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    false,
    func,
    insert,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.clock import Clock
from callreel.errors import AccountNotActive, IdempotencyConflict, Outrun, SidTaken
from callreel.ledger.account_keys import DESTROYED
from callreel.ledger.alerts import Alert, write_alerts
from callreel.ledger.audit import write_deeds
from callreel.ledger.campaigns import with_campaigns
from callreel.ledger.jobs import JobRow, route_of, write_jobs
from callreel.ledger.moved_items import ItemMove, change_items
from callreel.ledger.rooms import room_row
from callreel.ledger.tables import (
    account_keys,
    calls,
    conferences,
    idempotency_keys,
    moves,
    outbox,
    recordings,
    rooms,
    tombstones,
    video_tracks,
)
from callreel.ledger.video_tracks import track_row
from callreel.model.callback import parameters_of
from callreel.model.deed import Deed
from callreel.model.media_url import media_url_of
from callreel.model.recording import ARROWS, UNFINISHED, Job, Recording, State, next_job, owed_event
from callreel.model.room import Room
from callreel.model.video_callback import video_parameters_of

_HELD_BACK = (State.DELETING, State.ERASED)
_UNFINISHED = UNFINISHED | {State.DELIVERED, State.DELETING, State.RECEIVING}


@dataclass(frozen=True, slots=True)
class Move:
    """One step along an arrow, with the facts that became true with it."""

    recording: Recording
    to: State
    facts: dict[str, Any]
    reason: str | None
    deed: Deed | None = None

    @property
    def name(self) -> str:
        return self.recording.sid

    @property
    def shape(self) -> tuple[str, ...]:
        """The columns it sets: items of one shape are written by one statement."""
        return tuple(sorted(self.facts))


@dataclass(frozen=True, slots=True)
class Note:
    """Facts that change without a move, guarded like one."""

    recording: Recording
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        return self.recording.sid

    @property
    def shape(self) -> tuple[str, ...]:
        return tuple(sorted(self.facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A recording whose media is durable in the spool, with the call or room and the key it came under.

    `item` is the step that an item of a source takes with it.
    """

    recording: Recording
    call: dict[str, Any] | None = None
    conference: dict[str, Any] | None = None
    room: Room | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    alerts: tuple[Alert, ...] = ()
    item: ItemMove | None = None

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

    events: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)


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
                groups[item.shape].append((i, item))
        for shape, members in groups.items():
            changed = await self._change(transaction, shape, [item for _, item in members], now)
            for i, item in members:
                if item.name not in changed:
                    results[i] = Outrun(item.name)
                    continue
                results[i] = moved = _as_moved(item, now)
                if isinstance(item, Move):
                    self._entail(moved, after, now)
                    after.deeds += [item.deed] if item.deed else []
        if after.events:
            await transaction.execute(_EVENT, after.events)
        await write_jobs(transaction, after.jobs, now=now)
        await write_deeds(transaction, after.deeds, now=now)
        return [results[i] for i in range(len(items))]

    def is_quiet(self, item: Move | Note) -> bool:
        """Whether the item changes its row and nothing else but the ledger: no job, no event owed and no deed."""
        if isinstance(item, Note):
            return True
        if item.deed is not None:
            return False
        due_at = item.facts.get("next_attempt_at", item.recording.next_attempt_at)
        return owed_event(item.recording, item.to) is None and _job_after(item.recording, item.to, due_at) is None

    async def write_quiet(self, connection: AsyncConnection, items: Sequence[Move | Note]) -> list[Any]:
        """As `write`, for quiet items of one shape, in a single statement: it is its own transaction."""
        now = self._clock.now()
        moved = await self._change(connection, items[0].shape, items, now)
        return [_as_moved(item, now) if item.name in moved else Outrun(item.name) for item in items]

    async def _change(
        self, connection: AsyncConnection, shape: tuple[str, ...], items: Sequence[Move | Note], now: datetime
    ) -> set[str]:
        """Change the rows that are as their movers saw them, each with its ledger line; the SIDs of those."""
        to = [item.to if isinstance(item, Move) else item.recording.state for item in items]
        values: dict[str, Any] = {
            "sids": [item.recording.sid for item in items],
            "accounts": [item.recording.account_sid for item in items],
            "states": [item.recording.state for item in items],
            "fences": [item.recording.fence for item in items],
            "to_states": to,
            "to_fences": [item.recording.fence + isinstance(item, Move) for item in items],
            "unfinished_flags": [state in _UNFINISHED for state in to],
            "line_flags": [isinstance(item, Move) for item in items],
            "reasons": [item.reason if isinstance(item, Move) else None for item in items],
            "moment": now,
            "worker": self._worker_id,
        }
        for column in shape:
            values[f"new_{column}"] = [item.facts[column] for item in items]
        return set((await connection.execute(_guarded_update(shape), values)).scalars())

    def _entail(self, recording: Recording, after: _Consequences, now: datetime) -> None:
        """Note down the event and the job that a recording owes and asks for in its new state."""
        self._owe(recording, after, now)
        job = _job_after(recording, recording.state, recording.next_attempt_at)
        if job is not None:
            after.jobs.append(JobRow(route_of(job.step, recording.host_id), recording.sid, job.at))

    def _owe(self, recording: Recording, after: _Consequences, now: datetime) -> None:
        event, wish = owed_event(recording, recording.state), recording.callback
        if event is None or wish is None:
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

    def _first_lines(self, born: list[Recording], now: datetime) -> dict[str, Any]:
        return {
            "sids": [recording.sid for recording in born],
            "accounts": [recording.account_sid for recording in born],
            "states": [recording.state for recording in born],
            "fences": [recording.fence for recording in born],
            "moment": now,
            "worker": self._worker_id,
        }

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
        births = await _refuse(transaction, births, results)
        taken = await _claim_keys(transaction, births, results, now)
        born = [(i, birth) for i, birth in births if i not in taken]
        if not born:
            return
        if met := [birth.call for _, birth in born if birth.call]:
            named = await with_campaigns(transaction, met, now=now)
            await transaction.execute(upsert(calls).on_conflict_do_nothing(), named)
        if met := [birth.conference for _, birth in born if birth.conference]:
            await transaction.execute(upsert(conferences).on_conflict_do_nothing(), met)
        if entered := [room_row(birth.room) for _, birth in born if birth.room]:
            await transaction.execute(upsert(rooms).on_conflict_do_nothing(), entered)
        await transaction.execute(_BIRTH, [_row(b.recording) for _, b in born])
        await transaction.execute(_FIRST_LINES, self._first_lines([b.recording for _, b in born], now))
        if tracks := [row for _, birth in born if (row := track_row(birth.recording))]:
            await transaction.execute(insert(video_tracks), tracks)
        await write_alerts(transaction, [alert for _, birth in born for alert in birth.alerts])
        await change_items(transaction, [birth.item for _, birth in born if birth.item], now)
        for i, birth in born:
            self._entail(birth.recording, after, now)
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
                select(idempotency_keys.c.request_hash, idempotency_keys.c.resource_sid).where(
                    idempotency_keys.c.account_sid == key["account_sid"], idempotency_keys.c.key == key["key"]
                )
            )
        ).one()
        results[i] = (
            AlreadyBorn(first.resource_sid) if first.request_hash == birth.request_hash else IdempotencyConflict()
        )
    return repeated


async def _refuse(
    transaction: AsyncConnection, births: list[tuple[int, Birth]], results: dict[int, Any]
) -> list[tuple[int, Birth]]:
    """The births without those under a SID that was a recording once, which is never used again; and without those
    whose account was closed, and its key destroyed, while their media came in.

    The keys that are left cannot be destroyed until this transaction is over.
    """
    sealed = {birth.recording.account_sid for _, birth in births if birth.recording.media_key_wrapped is not None}
    given = {"sids": [birth.recording.sid for _, birth in births], "accounts": sorted(sealed)}
    found = (await transaction.execute(_BEFORE_BIRTH, given)).all()
    buried = {row.name for row in found if row.is_buried}
    keyless = sealed - {row.name for row in found if not row.is_buried}
    for i, birth in births:
        if birth.recording.sid in buried:
            results[i] = SidTaken(birth.recording.sid)
        elif birth.recording.media_key_wrapped is not None and birth.recording.account_sid in keyless:
            results[i] = AccountNotActive()
    return [(i, birth) for i, birth in births if i not in results]


def check_arrow(came_from: State | None, to: State) -> None:
    """Refuse a move that is not on the map: a fault of ours, never of the caller."""
    if to not in ARROWS[came_from]:
        raise AssertionError(f"no arrow leads from {came_from} to {to}")


_EVENT = upsert(outbox).on_conflict_do_nothing(index_elements=["recording_sid", "event"])

_FACTS = {c.name for c in recordings.columns}


def _job_after(recording: Recording, state: State, due_at: datetime | None) -> Job | None:
    """The job to write when a recording enters this state.

    None also where the worker that carries it goes on at once under the job it has.
    """
    job = next_job(state, settings=recording.settings, next_attempt_at=due_at)
    return None if job is None or (recording.carried and job.at is None) else job


def _as_moved(item: Move | Note, now: datetime) -> Recording:
    """The recording as it is after the write."""
    before = item.recording
    if isinstance(item, Note):
        return before.changed(date_updated=now, **item.facts)
    return before.changed(state=item.to, fence=before.fence + 1, date_updated=now, **item.facts)


def _unnested(columns: list[tuple[str, Column[Any]]], name: str) -> CTE:
    """Arrays given as parameters, as rows: one statement for any number of them."""
    arrays = [bindparam(given, type_=ARRAY(column.type)) for given, column in columns]
    return select(
        func.unnest(*arrays).table_valued(*[c for _, c in columns], name=f"{name}_rows").render_derived()
    ).cte(name)


def _lines_of(rows: Select[Any]) -> Insert:
    names = ["recording_sid", "account_sid", "from_state", "to_state", "fence", "reason", "at", "worker"]
    return insert(moves).from_select(names, rows)


def _insert_of_first_lines() -> Insert:
    given = _unnested(
        [
            ("sids", Column("sid", Text)),
            ("accounts", Column("account_sid", Text)),
            ("states", Column("state", Text)),
            ("fences", Column("fence", Integer)),
        ],
        "born",
    )
    c = given.c
    return _lines_of(select(c.sid, c.account_sid, null(), c.state, c.fence, null(), _MOMENT, _WORKER))


_MOMENT = bindparam("moment", type_=DateTime(timezone=True))
_WORKER = bindparam("worker", type_=Text)
_FIRST_LINES = _insert_of_first_lines()
_BIRTH = insert(recordings)
_KEYS_HELD = (
    select(account_keys.c.account_sid)
    .where(
        account_keys.c.account_sid == any_(bindparam("accounts", type_=ARRAY(Text))),
        account_keys.c.key_sealed != DESTROYED,
    )
    .order_by(account_keys.c.account_sid)
    .with_for_update(key_share=True, read=True)
    .cte("held")
)
_BEFORE_BIRTH = union_all(
    select(tombstones.c.sid.label("name"), true().label("is_buried")).where(
        tombstones.c.sid == any_(bindparam("sids", type_=ARRAY(Text)))
    ),
    select(_KEYS_HELD.c.account_sid, false()),
)


@lru_cache(maxsize=256)
def _guarded_update(shape: tuple[str, ...]) -> Select[Any]:
    """One statement for any number of rows: each is changed, and gets its ledger line, only if state and fence are
    what its mover saw. Returns the SIDs of those that were.
    """
    unknown = set(shape) - _FACTS
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
        ("line_flags", Column("has_line", Boolean)),
        ("reasons", Column("reason", Text)),
    ]
    given = _unnested([*fixed, *[(f"new_{n}", Column(f"new_{n}", recordings.c[n].type)) for n in shape]], "given")
    moved = (
        update(recordings)
        .where(
            recordings.c.sid == given.c.sid,
            recordings.c.account_sid == given.c.account_sid,
            recordings.c.state == given.c.state,
            recordings.c.fence == given.c.fence,
            # A hold placed a moment ago stops what was decided before it.
            or_(recordings.c.legal_hold_at.is_(None), given.c.to_state.not_in(_HELD_BACK)),
        )
        .values(
            state=given.c.to_state,
            fence=given.c.to_fence,
            unfinished=given.c.unfinished,
            date_updated=_MOMENT,
            **{name: given.c[f"new_{name}"] for name in shape},
        )
        .returning(recordings.c.sid)
        .cte("moved")
    )
    c = given.c
    lines = _lines_of(
        select(c.sid, c.account_sid, c.state, c.to_state, c.to_fence, c.reason, _MOMENT, _WORKER)
        .join_from(given, moved, moved.c.sid == c.sid)
        .where(c.has_line)
    ).cte("lines")
    return select(moved.c.sid).add_cte(lines)


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
