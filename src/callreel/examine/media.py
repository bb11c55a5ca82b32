"""I1, I2, I3, I14: whether the media of a recording is where its state says it is."""

from __future__ import annotations

from datetime import timedelta

from callreel.examine.copies import Is, look_in_bucket, look_in_spool
from callreel.examine.finding import Finding, Note, Violation
from callreel.examine.scene import Scene
from callreel.ledger.examination import Case
from callreel.model.recording import COMPLETED, Recording, State

MUST_BE_SPOOLED = frozenset({State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING, State.PARKED, State.FATAL})
PLAIN_MAY_STAY = timedelta(minutes=20)  # twice the time between two rounds of recovery, which removes it


async def spooled(case: Case, scene: Scene) -> list[Finding]:
    """I3: a recording that no bucket has proved to hold is in the spool; I1: and its bytes are those acknowledged."""
    recording = case.recording
    if recording.state not in MUST_BE_SPOOLED:
        return []
    look = await look_in_spool(recording, scene)
    if look.found is Is.UNSEEN:
        return [Note(invariant="I3", subject=recording.host_id, text=look.text)]
    if look.found is Is.MISSING:
        return [Violation(invariant="I3", subject=recording.sid, text=f"is {recording.state} and {look.text}")]
    if look.found is Is.ALTERED:
        return [Violation(invariant="I1", subject=recording.sid, text=f"is {recording.state} and {look.text}")]
    return []


async def delivered(case: Case, scene: Scene) -> list[Finding]:
    """I2: what was delivered lies in its bucket, whole. What the key may not see is noted."""
    recording = case.recording
    if recording.state not in COMPLETED:
        return []
    look = await look_in_bucket(recording, scene)
    if look.found is Is.UNSEEN:
        return [Note(invariant="I2", subject=_place(recording), text=look.text)]
    if look.found is not Is.WHOLE:
        return [Violation(invariant="I2", subject=recording.sid, text=f"is {recording.state} and {look.text}")]
    return []


async def plaintext(case: Case, scene: Scene) -> list[Finding]:
    """I14: of what was encrypted nothing plain stays, neither in the spool nor as the object."""
    recording = case.recording
    if recording.encryption_details is None or recording.blob_sha256 is None:
        return []
    came_encrypted = recording.source_sid is not None  # what its source had encrypted moves as it is
    if recording.blob_sha256 == recording.media_sha256 and not came_encrypted:
        return [Violation(invariant="I14", subject=recording.sid, text="asks for encryption and its blob is the media")]
    if recording.host_id != scene.spool.host_id or not scene.spool.path_of(recording.sid).exists():
        return []
    if scene.clock.now() - recording.date_updated < PLAIN_MAY_STAY:
        text = "sealed a moment ago, its plain file still there; recovery removes it"
        return [Note(invariant="I14", subject=recording.host_id, text=text)]
    return [Violation(invariant="I14", subject=recording.sid, text="is encrypted and its plain file is in the spool")]


def _place(recording: Recording) -> str:
    return f"{recording.account_sid} {recording.bucket or 'service storage'}"
