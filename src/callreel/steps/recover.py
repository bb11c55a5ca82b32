"""Make up for whatever was interrupted: compare the spool with the ledger, and the ledger with the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from callreel.clock import Clock
from callreel.errors import Outrun
from callreel.ledger.jobs import JobRow, route_of
from callreel.ledger.ledger import Ledger
from callreel.ledger.settings import TAKE_UP
from callreel.model.patience import CAP_S
from callreel.model.recording import Recording, State, next_job
from callreel.spool.spool import Spool
from callreel.spool.survey import Found, discard, put_in_quarantine, survey_quarantine, survey_ready, survey_tmp

BATCH = 500  # files looked up in the ledger at once
NAMED = 1000  # so many are remembered by name; of the others, how many
ORPHAN_AGE_S = 3600.0  # no request lasts as long: what is older and unknown was never acknowledged
_AT_WORK = frozenset(
    {State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING, State.DELIVERED, State.FATAL, State.DELETING}
)
_LEFT_THE_SPOOL = frozenset({State.RELEASED, State.ERASED, State.DELETED, State.PURGED, State.ABSENT})


class Names(list[str]):
    """The first names of many, and how many there were."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        super().__init__(names)
        self.total = len(names)

    def add(self, name: str) -> None:
        self.total += 1
        if len(self) < NAMED:
            self.append(name)


@dataclass(slots=True)
class Recovered:
    """What was done, or would be, by name."""

    reminded: Names = field(default_factory=Names)
    brought_forward: Names = field(default_factory=Names)
    taken_back: Names = field(default_factory=Names)
    discarded: Names = field(default_factory=Names)
    quarantined: Names = field(default_factory=Names)

    def __bool__(self) -> bool:
        return any((self.reminded, self.brought_forward, self.taken_back, self.discarded, self.quarantined))


@dataclass(frozen=True, slots=True)
class TakeBack:
    """An UPLOADING row whose worker is gone: it waits again, due now."""

    recording: Recording


@dataclass(frozen=True, slots=True)
class BringForward:
    """A row that waits longer than any back-off, since the wall clock went back: due now."""

    recording: Recording


@dataclass(frozen=True, slots=True)
class Remind:
    """Somebody asks for a job and has none."""

    job: JobRow


@dataclass(frozen=True, slots=True)
class Discard:
    """A file whose bytes are nobody's, or lie elsewhere."""

    found: Found


@dataclass(frozen=True, slots=True)
class PutAside:
    """A file nobody can explain."""

    found: Found


Deed = TakeBack | BringForward | Remind | Discard | PutAside


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What recovery works on. `routes` are the queues of the steps that need this spool.

    `is_start`: nobody else works on this spool, so that whoever has something in hand there is gone.
    """

    ledger: Ledger
    spool: Spool
    clock: Clock
    routes: Sequence[str]
    is_start: bool
    longest_wait_s: float = CAP_S


async def recover(recovery: Recovery) -> Recovered:
    """Bring ledger, spool and queue together again. Idempotent, and safe to be killed at any point.

    At start an UPLOADING row has lost its worker and waits again, due now. Every row that asks for a job and has none
    gets one, and so does every event owed; so do accounts whose held video is to be taken up again.
    """
    done = Recovered()
    await _write_down_quarantine(recovery)
    async for deeds in plan(recovery):
        await _do(deeds, recovery, done)
    return done


async def foresee(recovery: Recovery) -> Recovered:
    """What `recover` would do. Changes nothing."""
    would = Recovered()
    async for deeds in plan(recovery):
        for deed in deeds:
            _note(deed, would)
    return would


async def plan(recovery: Recovery) -> AsyncIterator[Sequence[Deed]]:
    """What there is to do, so much at a time. Looks and changes nothing."""
    ledger, spool, now = recovery.ledger, recovery.spool, recovery.clock.now()
    also = frozenset({State.UPLOADING}) if recovery.is_start else frozenset[State]()
    async for recordings in ledger.forgotten.recordings(spool.host_id, _AT_WORK, recovery.routes, also=also):
        yield [deed for recording in recordings if (deed := _of_a_row(recording, recovery, now)) is not None]
    async for sids in ledger.forgotten.tellings():
        yield [Remind(JobRow("notify", sid)) for sid in sids]
    stale = await ledger.recordings.accounts_with_stale_video()
    yield [Remind(JobRow(TAKE_UP, sid)) for sid in await ledger.forgotten.without_job([TAKE_UP], stale)]
    files = survey_ready(spool, now_s=now.timestamp())
    while batch := await asyncio.to_thread(lambda: list(islice(files, BATCH))):
        yield await _of_files(batch, recovery)
    drafts = survey_tmp(spool, now_s=now.timestamp())
    while batch := await asyncio.to_thread(lambda: list(islice(drafts, BATCH))):
        yield [Discard(found) for found in batch if found.age_s > ORPHAN_AGE_S]  # C1, C2: nobody was told


def _of_a_row(recording: Recording, recovery: Recovery, now: datetime) -> Deed | None:
    if recovery.is_start and recording.state is State.UPLOADING:
        return TakeBack(recording)
    job = next_job(recording.state, settings=recording.settings, next_attempt_at=recording.next_attempt_at)
    if job is None:
        return None
    longest = timedelta(seconds=2 * recovery.longest_wait_s)
    if recording.state is State.WAITING and job.at is not None and job.at - now > longest:
        return BringForward(recording)
    return Remind(JobRow(route_of(job.step, recording.host_id), recording.sid, job.at))


async def _of_files(batch: Sequence[Found], recovery: Recovery) -> Sequence[Deed]:
    """Files whose row says they may go, and files that have no row at all."""
    ledger, deeds = recovery.ledger, list[Deed]()
    rows = await ledger.recordings.find_all_for_recovery([found.sid for found in batch if found.sid])
    buried = await ledger.recordings.buried([found.sid for found in batch if found.sid and found.sid not in rows])
    for found in batch:
        recording = rows.get(found.sid) if found.sid else None
        if recording is not None:
            if recording.state in _LEFT_THE_SPOOL or _is_leftover(found, recording, recovery):  # C8, C14
                deeds.append(Discard(found))
        elif found.sid in buried:  # its owner had it deleted long ago
            deeds.append(Discard(found))
        elif found.age_s > ORPHAN_AGE_S:  # C4: the client was told to send it again
            deeds.append(PutAside(found))
    return deeds


def _is_leftover(found: Found, recording: Recording, recovery: Recovery) -> bool:
    """The plain file of an encrypted recording, or ciphertext that was never committed (C7).

    Before a recording is sealed its ciphertext may be one that is being committed right now, except at start.
    """
    if recording.blob_sha256 is None:
        return found.is_sealed and recovery.is_start
    if recording.encryption_details is None:
        return found.is_sealed
    return found.path != recovery.spool.sealed_path_of(recording.sid, recording.blob_sha256)


async def _do(deeds: Sequence[Deed], recovery: Recovery, done: Recovered) -> None:
    reminders = [deed.job for deed in deeds if isinstance(deed, Remind)]
    if reminders:
        await recovery.ledger.remind(reminders)
    moved = [deed for deed in deeds if isinstance(deed, TakeBack | BringForward)]
    outcomes = await asyncio.gather(*(_move(deed, recovery) for deed in moved))
    outrun = {id(deed) for deed, was_moved in zip(moved, outcomes, strict=True) if not was_moved}
    for deed in deeds:
        if isinstance(deed, Discard):
            await asyncio.to_thread(discard, recovery.spool, deed.found)
        elif isinstance(deed, PutAside):
            await _put_aside(deed.found, recovery)
        if id(deed) not in outrun:
            _note(deed, done)


async def _move(deed: TakeBack | BringForward, recovery: Recovery) -> bool:
    """False when somebody else moved the recording meanwhile."""
    ledger, now = recovery.ledger, recovery.clock.now()
    try:
        if isinstance(deed, TakeBack):
            await ledger.move(
                deed.recording, State.WAITING, reason="the worker that had it is gone", next_attempt_at=now
            )
        else:
            recording = await ledger.note(deed.recording, next_attempt_at=now)
            await ledger.remind([JobRow(route_of("deliver", recording.host_id), recording.sid)])
    except Outrun:
        return False
    return True


async def _put_aside(found: Found, recovery: Recovery) -> None:
    target = await asyncio.to_thread(put_in_quarantine, recovery.spool, found)
    await recovery.ledger.quarantine.keep(
        recovery.spool.host_id, [(target.name, found.size_bytes)], now=recovery.clock.now()
    )


async def _write_down_quarantine(recovery: Recovery) -> None:
    """Files in quarantine that the ledger does not know: put aside by a recovery that died before it wrote so."""
    files = survey_quarantine(recovery.spool, now_s=recovery.clock.now().timestamp())
    while batch := await asyncio.to_thread(lambda: list(islice(files, BATCH))):
        kept = [(found.path.name, found.size_bytes) for found in batch]
        await recovery.ledger.quarantine.keep(recovery.spool.host_id, kept, now=recovery.clock.now())


def _note(deed: Deed, done: Recovered) -> None:
    match deed:
        case TakeBack(recording):
            done.taken_back.add(recording.sid)
        case BringForward(recording):
            done.brought_forward.add(recording.sid)
        case Remind(job) if job.route not in ("notify", TAKE_UP):
            done.reminded.add(job.subject)
        case Discard(found):
            done.discarded.add(found.path.name)
        case PutAside(found):
            done.quarantined.add(found.path.name)
