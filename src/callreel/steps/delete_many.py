"""Work off a deletion of many things, gradually, and go on where a worker that died left it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from callreel.clock import Clock
from callreel.errors import LegalHold, NotFound, RecordingNotFinished
from callreel.ledger.deletions import DELETE_MANY
from callreel.ledger.jobs import JobRow
from callreel.ledger.ledger import Ledger
from callreel.model.deed import Actor
from callreel.model.deletion import Deletion, DeletionItem, DeletionKind, DeletionStatus
from callreel.model.recording import Recording
from callreel.removals import GONE, delete_recording, remove_call_logs, remove_recording

BATCH = 200
TURN_S = 5.0  # then the rest is asked for anew, so that a stop never waits for a long deletion


async def delete_many(sid: str, *, ledger: Ledger, clock: Clock) -> bool:
    """Delete what is due, batch by batch, for one turn. False when there is more, for which a job was written.

    1. move the recordings of a batch, each by itself and guarded as ever
    2. write down the outcomes 3. when nothing is due any more, complete the deletion

    Killed between 1 and 2, the next turn finds recordings that this very deletion moved, and counts them as deleted.
    """
    deletion = await ledger.deletions.find_for_work(sid)
    if deletion is None or deletion.status is not DeletionStatus.RUNNING:
        return True
    began = clock.monotonic()
    while items := await ledger.deletions.list_due(sid, limit=BATCH):
        await ledger.deletions.record(sid, await _delete_batch(deletion, items, ledger))
        if clock.monotonic() - began > TURN_S:
            await ledger.remind([JobRow(DELETE_MANY, sid)])
            return False
    await ledger.deletions.finish(deletion)
    return True


async def _delete_batch(deletion: Deletion, items: Sequence[DeletionItem], ledger: Ledger) -> dict[int, str | None]:
    """What became of each item, by position. Recordings first: the call logs of the same batch wait for them."""
    by = Actor(deletion.asked_by or "callreel")
    reason = f"{deletion.kind} deletion {deletion.sid}"
    named = [item for item in items if not item.subject_sid.startswith("CA")]
    found = await ledger.recordings.find_all(deletion.account_sid, [item.subject_sid for item in named])
    whys = await asyncio.gather(
        *(_delete_one(deletion, found.get(item.subject_sid), ledger=ledger, by=by, reason=reason) for item in named)
    )
    outcomes = {item.position: why for item, why in zip(named, whys, strict=True)}
    calls = {item.subject_sid: item.position for item in items if item.subject_sid.startswith("CA")}
    if calls:
        done = await remove_call_logs(
            deletion.account_sid,
            list(calls),
            ledger=ledger,
            by=by,
            reason=reason,
            with_objects=deletion.removes_objects,
        )
        outcomes |= {calls[sid]: None if why is None else why.message for sid, why in done.items()}
    return outcomes


async def _delete_one(
    deletion: Deletion, recording: Recording | None, *, ledger: Ledger, by: Actor, reason: str
) -> str | None:
    """None when it is deleted, else the reason why not."""
    if recording is None:
        return "It is gone already, with its metadata"
    try:
        if recording.state in GONE:
            return None if await _was_ours(recording, reason, ledger) else "It was deleted before"
        if deletion.kind is DeletionKind.RECORDINGS:
            await delete_recording(recording, ledger=ledger, by=by, reason=reason)
        else:
            await remove_recording(recording, ledger=ledger, by=by, reason=reason)
    except NotFound:  # another turn of this deletion was quicker, or somebody else
        return None if await _was_ours(recording, reason, ledger) else "It was deleted meanwhile"
    except (LegalHold, RecordingNotFinished) as why:
        return why.message
    return None


async def _was_ours(recording: Recording, reason: str, ledger: Ledger) -> bool:
    history = await ledger.recordings.history(recording.account_sid, recording.sid)
    return any(line.reason == reason for line in history)
