"""The invariants of `docs/durability.md`, section 8, that a crash must not break. Each names its violations."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from sqlalchemy import text

from callreel.errors import NotFound
from callreel.model.recording import ARROWS, OWED_EVENT, Recording, State
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
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
    return await violations_in(
        stage.parts, {k: stage.s3.versions(BUCKET, k) for k in stage.s3.keys(BUCKET)}, acknowledged
    )


async def violations_in(parts: Parts, contents: Mapping[str, Sequence[str]], acknowledged: dict[str, str]) -> list[str]:
    """As `violations`, of every account; `contents` are the SHA-256 of all that each key of the bucket has held."""
    rows = await fetch_all(parts)
    found = []
    for sid, sha256 in acknowledged.items():
        if await _is_lost(parts, contents, rows.get(sid), sha256):
            found.append(f"I1: {sid} is lost")
    for recording in rows.values():
        held = _in_spool(parts, recording)
        objects = await _objects(parts, contents, recording)
        if recording.state in (State.DELIVERED, State.RELEASED) and objects[-1:] != [recording.blob_sha256]:
            found.append(f"I2: {recording.sid} is {recording.state} and its object is {objects}")
        if not held and recording.state not in _MAY_HAVE_NO_FILE:
            found.append(f"I3: {recording.sid} is {recording.state} without a file")
        if len(objects) > 1:
            found.append(f"I4: {recording.sid} has had {len(objects)} contents")
        found += await _ledger_violations(parts, recording)
    return found


async def fetch_all(parts: Parts) -> dict[str, Recording]:
    """Every recording of the installation, by SID."""
    async with parts.ledger.engine.connect() as connection:
        sids = list((await connection.execute(text("SELECT sid FROM recordings"))).scalars())
    found = [await parts.ledger.recordings.find_for_work(RecordingSid(sid)) for sid in sids]
    return {r.sid: r for r in found if r is not None}


def _in_spool(parts: Parts, recording: Recording) -> set[str]:
    """The SHA-256 of the files that count: the media, and the blob the row names."""
    spool = parts.spool
    paths = [spool.path_of(recording.sid)]
    if recording.blob_sha256 is not None:
        paths.append(spool.sealed_path_of(recording.sid, recording.blob_sha256))
    wanted = {recording.media_sha256, recording.blob_sha256}
    return {hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.exists()} & wanted  # type: ignore[return-value]


async def _objects(parts: Parts, contents: Mapping[str, Sequence[str]], recording: Recording) -> list[str]:
    """What the recording's key has held: in its bucket, or in service storage."""
    key = recording.object_key
    if key is None:
        return []
    if recording.is_external:
        return list(contents.get(key, ()))
    try:
        return [hashlib.sha256(b"".join([piece async for piece in parts.buckets.storage.read(key)])).hexdigest()]
    except NotFound:
        return []


async def _is_lost(
    parts: Parts, contents: Mapping[str, Sequence[str]], recording: Recording | None, sha256: str
) -> bool:
    if recording is None:
        return True
    if recording.state in _GONE:
        return False
    sealed_or_sent = {sha256, recording.blob_sha256}
    kept = _in_spool(parts, recording) | set(await _objects(parts, contents, recording))
    return not kept & sealed_or_sent


async def _ledger_violations(parts: Parts, recording: Recording) -> list[str]:
    lines = await parts.ledger.recordings.history(recording.account_sid, recording.sid)
    owed = Counter(e.event for e in await parts.ledger.outbox.list_of(recording.account_sid, recording.sid))
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
