"""Fix the blob: the exact bytes, where they go, and under which key. From here on every attempt is the same."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from typing import BinaryIO, cast

from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import (
    BlobAltered,
    BlobMissing,
    EncryptionFailed,
    Final,
    InvalidDestination,
    SealBroken,
)
from callreel.failpoints import reach
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.media_keys import DESTROYED, MediaKeys
from callreel.model.delivery_failure import ENCRYPTION_INTERNAL, level_of, parking_code, refusal_code
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import RecordingKind
from callreel.public_keys import fetch_public_key
from callreel.sealing.keyring import Keyring
from callreel.sealing.twilio_format import encrypt
from callreel.sealing.video_format import encrypt_video
from callreel.spool.draft_file import Digests
from callreel.spool.spool import Spool

COPY_BYTES = 1 << 20
FORMATS = {RecordingKind.VOICE: encrypt, RecordingKind.VIDEO: encrypt_video}


async def seal(
    recording: Recording,
    *,
    spool: Spool,
    ledger: Ledger,
    keyring: Keyring,
    keys: MediaKeys,
    buckets: Buckets,
    clock: Clock,
) -> Recording:
    """Encrypt where the account asks for it, once, and fix bucket and object key in the row.

    What was encrypted as it came in (`Births.receive`) is the blob already, whatever became of its key since.

    Final, under the account's policy: no key (16105), a key that does not work (16104), a bucket URL that can no
    longer be read (16111). No other key is ever taken in its place. What is ours to mend parks the recording and
    keeps the media whatever the policy: a stored key that does not open (16106), media that is not what was
    acknowledged.
    """
    try:
        place = buckets.place_of(recording)
    except InvalidDestination as why:
        code = refusal_code(why, kind=recording.kind)
        return await _give_up(recording, State.FATAL, code, why.message, ledger=ledger, clock=clock)
    digests, details = _as_it_came(recording), recording.encryption_details
    if not recording.is_sealed and (details is not None or recording.settings.encryption_enabled):
        try:
            details, digests = await _encrypt(recording, spool=spool, ledger=ledger, keyring=keyring, keys=keys)
        except Final as why:
            code = refusal_code(why, kind=recording.kind)
            return await _give_up(recording, State.FATAL, code, why.message, ledger=ledger, clock=clock)
        except SealBroken as why:
            reason = f"key-unreadable: {why.message}"
            return await _give_up(recording, State.PARKED, ENCRYPTION_INTERNAL, reason, ledger=ledger, clock=clock)
        except (BlobMissing, BlobAltered) as why:
            reason = f"spool-corrupt: {why.message}"
            code = parking_code(recording.kind)
            return await _give_up(recording, State.PARKED, code, reason, ledger=ledger, clock=clock)
    sealed = await ledger.move(
        recording,
        State.SEALED,
        blob_size_bytes=digests.size_bytes,
        blob_sha256=digests.sha256,
        blob_md5=digests.md5,
        encryption_details=details,
        next_attempt_at=None,
        **place,
        **(DESTROYED if details is not None else {}),  # the media is not needed again, nor to be opened
    )
    reach("C8")
    if details is not None and not recording.is_sealed:
        await spool.release(recording.sid)
    return sealed


def _as_it_came(recording: Recording) -> Digests:
    """The digests of the one file the spool has of it: the media, or what was encrypted as it came in."""
    if recording.blob_sha256 is None:
        return Digests(size_bytes=recording.media_size_bytes, sha256=recording.media_sha256, md5=recording.media_md5)
    assert recording.blob_size_bytes is not None
    assert recording.blob_md5 is not None
    return Digests(size_bytes=recording.blob_size_bytes, sha256=recording.blob_sha256, md5=recording.blob_md5)


async def _encrypt(
    recording: Recording, *, spool: Spool, ledger: Ledger, keyring: Keyring, keys: MediaKeys
) -> tuple[dict[str, str], Digests]:
    if recording.encryption_details is not None:  # encrypted at its source: it moves as it is
        copying = partial(_copy_unaltered, recording, recording.encryption_details)
        return await spool.write_sealed(recording.sid, copying, key=await keys.of_media(recording))
    try:
        pem, key_sid = await fetch_public_key(recording.account_sid, recording.settings, ledger=ledger, keyring=keyring)
        encrypting = partial(_encrypt_unaltered, recording, pem, key_sid)
        return await spool.write_sealed(recording.sid, encrypting, key=await keys.of_media(recording))
    except ValueError as why:
        raise EncryptionFailed() from why


def _encrypt_unaltered(
    recording: Recording, public_key_pem: str, public_key_sid: str, source: BinaryIO, target: BinaryIO
) -> dict[str, str]:
    """Encrypt what was acknowledged. Other bytes would look as good as the right ones once they are sealed.

    Media that lies sealed at rest is proved by its tags as it is read: a second proof by hash would cost a tenth of
    the whole delivery.
    """
    if recording.sealed_at_rest:
        return FORMATS[recording.kind](source, target, public_key_pem, public_key_sid)
    reading = _HashingReader(source)
    details = FORMATS[recording.kind](cast(BinaryIO, reading), target, public_key_pem, public_key_sid)
    if reading.sha256.hexdigest() != recording.media_sha256:
        raise BlobAltered()
    return details


def _copy_unaltered(
    recording: Recording, details: dict[str, str], source: BinaryIO, target: BinaryIO
) -> dict[str, str]:
    reading = _HashingReader(source)
    shutil.copyfileobj(reading, target, COPY_BYTES)
    if reading.sha256.hexdigest() != recording.media_sha256:
        raise BlobAltered()
    return details


class _HashingReader:
    """A reader that hashes what passes through."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self.sha256 = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.sha256.update(chunk)
        return chunk


async def _give_up(recording: Recording, to: State, code: int, why: str, *, ledger: Ledger, clock: Clock) -> Recording:
    given_up = await ledger.move(recording, to, reason=why, error_code=code, last_error=why[:500])
    await ledger.alerts.raise_alert(
        Alert(
            account_sid=recording.account_sid,
            recording_sid=recording.sid,
            code=code,
            level=level_of(code),
            text=why,
            at=clock.now(),
        )
    )
    return given_up
