"""The invariants of `docs/durability.md`, section 8, that a crash must not break. Each names its violations."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise

from sqlalchemy import text

from callreel.model.recording import ARROWS, OWED_EVENT, Recording, State
from callreel.model.sid import RecordingSid
from tests.stage import BUCKET, Stage

_MAY_HAVE_NO_FILE = {
    State.RECEIVING,
    State.ABSENT,
    State.DELIVERED,
    State.RELEASED,
    State.ERASED,
    State.DELETING,
    State.DELETED,
}
_GONE = {State.ERASED, State.DELETED, State.PURGED, State.DELETING}


async def violations(stage: Stage, acknowledged: dict[str, str]) -> list[str]:
    """Every violation there is now; `acknowledged` are the SIDs the client was told, with the SHA-256 it sent."""
    rows = await _rows(stage)
    found = [f"I1: {sid} is lost" for sid, sha256 in acknowledged.items() if _is_lost(stage, rows.get(sid), sha256)]
    for recording in rows.values():
        held = _in_spool(stage, recording)
        objects = _in_bucket(stage, recording)
        if recording.state in (State.DELIVERED, State.RELEASED) and objects[-1:] != [recording.blob_sha256]:
            found.append(f"I2: {recording.sid} is {recording.state} and its object is {objects}")
        if not held and recording.state not in _MAY_HAVE_NO_FILE:
            found.append(f"I3: {recording.sid} is {recording.state} without a file")
        if len(objects) > 1:
            found.append(f"I4: {recording.sid} has had {len(objects)} contents")
        found += await _ledger_violations(stage, recording)
    return found


async def _rows(stage: Stage) -> dict[str, Recording]:
    async with stage.parts.ledger.engine.connect() as connection:
        sids = list((await connection.execute(text("SELECT sid FROM recordings"))).scalars())
    found = [await stage.parts.ledger.recordings.find_for_work(RecordingSid(sid)) for sid in sids]
    return {r.sid: r for r in found if r is not None}


def _in_spool(stage: Stage, recording: Recording) -> set[str]:
    """The SHA-256 of the files that count: the media, and the blob the row names."""
    spool = stage.parts.spool
    paths = [spool.path_of(recording.sid)]
    if recording.blob_sha256 is not None:
        paths.append(spool.sealed_path_of(recording.sid, recording.blob_sha256))
    wanted = {recording.media_sha256, recording.blob_sha256}
    return {hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.exists()} & wanted  # type: ignore[return-value]


def _in_bucket(stage: Stage, recording: Recording) -> list[str]:
    return [] if recording.object_key is None else stage.s3.versions(BUCKET, recording.object_key)


def _is_lost(stage: Stage, recording: Recording | None, sha256: str) -> bool:
    if recording is None:
        return True
    if recording.state in _GONE:
        return False
    sealed_or_sent = {sha256, recording.blob_sha256}
    return not (_in_spool(stage, recording) & sealed_or_sent or set(_in_bucket(stage, recording)) & sealed_or_sent)


async def _ledger_violations(stage: Stage, recording: Recording) -> list[str]:
    lines = await stage.parts.ledger.recordings.history(stage.account_sid, recording.sid)
    owed = Counter(e.event for e in await stage.parts.ledger.outbox.list_of(stage.account_sid, recording.sid))
    wish = recording.callback
    due = {OWED_EVENT.get(State(line.to_state)) for line in lines} & set(wish.events if wish else ())
    found = [f"I8: {recording.sid} owes {due} and has {dict(owed)}"] if owed != Counter(due) else []
    states = [None, *(State(line.to_state) for line in lines)]
    for before, after in pairwise(states):
        if after not in ARROWS[before]:
            found.append(f"I16: {recording.sid} went from {before} to {after}")
    if [line.fence for line in lines] != list(range(1, len(lines) + 1)):
        found.append(f"I10: {recording.sid} has fences {[line.fence for line in lines]}")
    return found
