"""The examination, and what only a test can add to it: the SIDs it was told, and every content a key has had."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence

from callreel.examine.copies import spooled_copy
from callreel.examine.examine import examine
from callreel.examine.scene import Scene
from callreel.ledger.examination import Case
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from tests.stage import BUCKET, Stage

_GONE = {State.ERASED, State.DELETED, State.PURGED, State.DELETING}


def scene_of(parts: Parts, *, deep: bool = True) -> Scene:
    return Scene(
        ledger=parts.ledger,
        spool=parts.spool,
        buckets=parts.buckets,
        keyring=parts.keyring,
        clock=parts.clock,
        patience=parts.chosen.patience,
        deep=deep,
    )


async def violations(stage: Stage, acknowledged: dict[str, str]) -> list[str]:
    """Every violation there is now; `acknowledged` are the SIDs the client was told, with the SHA-256 it sent."""
    contents = {key: stage.s3.versions(BUCKET, key) for key in stage.s3.keys(BUCKET)}
    return await violations_in(stage.parts, contents, acknowledged)


async def violations_in(parts: Parts, contents: Mapping[str, Sequence[str]], acknowledged: dict[str, str]) -> list[str]:
    """As `violations`, of every account; `contents` are the SHA-256 of all that each key of the bucket has held."""
    examined = await examine(scene_of(parts))
    found = [violation.line for violation in examined.violations]
    for sid, sha256 in acknowledged.items():
        recording = await parts.ledger.recordings.find_for_work(RecordingSid(sid))
        if recording is None or await _is_lost(parts, contents, recording, sha256):
            found.append(f"I1: {sid} is lost")
    return found + [f"I4: {key} has had {len(had)} contents" for key, had in contents.items() if len(had) > 1]


async def fetch_all(parts: Parts) -> dict[str, Recording]:
    """Every recording of the installation, by SID."""
    return {case.recording.sid: case.recording async for case in _cases(parts)}


async def _cases(parts: Parts) -> AsyncIterator[Case]:
    for account in await parts.ledger.accounts.list_all():
        async for page in parts.ledger.examination.pages(account.sid):
            for case in page:
                yield case


async def _is_lost(parts: Parts, contents: Mapping[str, Sequence[str]], recording: Recording, sha256: str) -> bool:
    """Whether what was acknowledged lies neither in the spool nor in a bucket."""
    if recording.state in _GONE:
        return False
    sealed_or_sent = {sha256, recording.blob_sha256}
    if recording.state is not State.RELEASED:  # then the spool holds nothing, nor is there a key to it
        copy = await spooled_copy(recording, scene_of(parts))
        if copy.kept_bytes() is not None:
            return hashlib.sha256(copy.read(0, copy.size_bytes)).hexdigest() not in sealed_or_sent
    if recording.object_key is None:
        return True
    if not recording.is_external:
        return await parts.buckets.storage.head(recording.object_key) is None
    return contents.get(recording.object_key, [])[-1:] != [recording.blob_sha256]
