"""Make up for whatever was interrupted: compare the spool with the ledger, and the ledger with the queue."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import islice

from callreel.clock import Clock
from callreel.errors import Outrun
from callreel.ledger.jobs import JobRow, route_of
from callreel.ledger.ledger import Ledger
from callreel.ledger.settings import TAKE_UP
from callreel.model.recording import Recording, State, next_job
from callreel.spool.spool import Spool
from callreel.spool.survey import Found, discard, put_in_quarantine, survey_ready, survey_tmp

BATCH = 500  # files looked up in the ledger at once
ORPHAN_AGE_S = 3600.0  # no request lasts as long: what is older and unknown was never acknowledged
_AT_WORK = frozenset(
    {State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING, State.DELIVERED, State.FATAL, State.DELETING}
)
_LEFT_THE_SPOOL = frozenset({State.RELEASED, State.ERASED, State.DELETED, State.PURGED, State.ABSENT})


@dataclass(slots=True)
class Recovered:
    """What was done, by name."""

    reminded: list[str] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)


async def recover(
    *,
    ledger: Ledger,
    spool: Spool,
    clock: Clock,
    live_jobs: set[str],
    live_tellings: set[str],
    is_start: bool,
) -> Recovered:
    """Bring ledger, spool and queue together again. Idempotent, and safe to be killed at any point.

    At start nobody else works on this spool, so an UPLOADING row has lost its worker and waits again, due now.
    `live_jobs` are the recordings the queue still holds a step for, `live_tellings` those it holds a callback for;
    every other that asks for one gets one. So do accounts whose held video is to be taken up again.
    """
    done = Recovered()
    jobs: list[JobRow] = []
    for recording in await ledger.recordings.list_of_host(spool.host_id, _AT_WORK):
        if is_start and recording.state is State.UPLOADING:
            await _take_back(recording, ledger, clock, done)
        elif recording.sid not in live_jobs:
            _remind(recording, jobs, done)
    jobs += [JobRow("notify", sid) for sid in await ledger.outbox.list_due_recordings() if sid not in live_tellings]
    stale = await ledger.recordings.accounts_with_stale_video()
    jobs += [JobRow(TAKE_UP, account_sid) for account_sid in stale if account_sid not in live_jobs]
    if jobs:
        await ledger.remind(jobs)
    files = survey_ready(spool, now_s=clock.now().timestamp())
    while batch := list(islice(files, BATCH)):
        await _tidy_ready(batch, ledger, spool, done, is_start=is_start)
    for found in survey_tmp(spool, now_s=clock.now().timestamp()):
        if found.age_s > ORPHAN_AGE_S:  # C1, C2: no acknowledgement was sent
            await _discard(spool, found, done)
    return done


async def _take_back(recording: Recording, ledger: Ledger, clock: Clock, done: Recovered) -> None:
    try:
        await ledger.move(
            recording, State.WAITING, reason="the worker that had it is gone", next_attempt_at=clock.now()
        )
    except Outrun:
        return
    done.taken_back.append(recording.sid)


def _remind(recording: Recording, jobs: list[JobRow], done: Recovered) -> None:
    job = next_job(recording.state, settings=recording.settings, next_attempt_at=recording.next_attempt_at)
    if job is not None:
        jobs.append(JobRow(route_of(job.step, recording.host_id), recording.sid, job.at))
        done.reminded.append(recording.sid)


async def _tidy_ready(batch: list[Found], ledger: Ledger, spool: Spool, done: Recovered, *, is_start: bool) -> None:
    """Files whose row says they may go, and files that have no row at all."""
    rows = await ledger.recordings.find_all_for_recovery([found.sid for found in batch if found.sid])
    buried = await ledger.recordings.buried([found.sid for found in batch if found.sid and found.sid not in rows])
    for found in batch:
        recording = rows.get(found.sid) if found.sid else None
        if recording is not None:
            if recording.state in _LEFT_THE_SPOOL or _is_leftover(
                found, recording, spool, is_start=is_start
            ):  # C8, C14
                await _discard(spool, found, done)
        elif found.sid in buried:  # its owner had it deleted long ago
            await _discard(spool, found, done)
        elif found.age_s > ORPHAN_AGE_S:  # C4: the client was told to send it again
            await asyncio.to_thread(put_in_quarantine, spool, found)
            done.quarantined.append(found.path.name)


def _is_leftover(found: Found, recording: Recording, spool: Spool, *, is_start: bool) -> bool:
    """The plain file of an encrypted recording, or ciphertext that was never committed (C7).

    Before a recording is sealed its ciphertext may be one that is being committed right now, except at start.
    """
    if recording.blob_sha256 is None:
        return found.is_sealed and is_start
    if recording.encryption_details is None:
        return found.is_sealed
    return found.path != spool.sealed_path_of(recording.sid, recording.blob_sha256)


async def _discard(spool: Spool, found: Found, done: Recovered) -> None:
    await asyncio.to_thread(discard, spool, found)
    done.discarded.append(found.path.name)
