"""Fix the blob: the exact bytes, where they go, and under which key. From here on every attempt is the same."""

from __future__ import annotations

from functools import partial

from callreel.buckets import Buckets
from callreel.errors import BlobMissing, EncryptionFailed, Final, InvalidDestination, PublicKeyMissing
from callreel.failpoints import reach
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.model.credential import CredentialKind
from callreel.model.delivery_failure import refusal_code
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import RecordingKind
from callreel.sealing.keyring import Keyring
from callreel.sealing.twilio_format import encrypt
from callreel.spool.spool import Digests, Spool


async def seal(recording: Recording, *, spool: Spool, ledger: Ledger, keyring: Keyring, buckets: Buckets) -> Recording:
    """Encrypt where the account asks for it, once, and fix bucket and object key in the row.

    A key that is missing or does not work is final (16104, 16105); a bucket URL that can no longer be read is
    too (16111). The media is kept in each case, as the account's policy says.
    """
    try:
        place = buckets.place_of(recording)
    except InvalidDestination as why:
        return await _refuse(recording, ledger, why)
    digests = Digests(size_bytes=recording.media_size_bytes, sha256=recording.media_sha256, md5=recording.media_md5)
    details: dict[str, str] | None = None
    if recording.settings.encryption_enabled:
        try:
            details, digests = await _encrypt(recording, spool=spool, ledger=ledger, keyring=keyring)
        except Final as why:
            return await _refuse(recording, ledger, why)
        except BlobMissing as why:
            return await ledger.move(recording, State.PARKED, reason=f"spool-corrupt: {why.message}")
    sealed = await ledger.move(
        recording,
        State.SEALED,
        blob_size_bytes=digests.size_bytes,
        blob_sha256=digests.sha256,
        blob_md5=digests.md5,
        encryption_details=details,
        **place,
    )
    reach("C8")
    if details is not None:
        await spool.release_plain(recording.sid)
    return sealed


async def _encrypt(
    recording: Recording, *, spool: Spool, ledger: Ledger, keyring: Keyring
) -> tuple[dict[str, str], Digests]:
    key_sid = recording.settings.encryption_key_sid
    if key_sid is None:
        raise PublicKeyMissing("Encryption is on and EncryptionKeySid is not set")
    sealed = await ledger.credentials.find_sealed(recording.account_sid, CredentialKind.PUBLIC_KEY, key_sid)
    if sealed is None:
        raise PublicKeyMissing(f"The public key {key_sid} no longer exists")
    pem = keyring.open(sealed, table="credentials", row=key_sid, account=recording.account_sid).decode()
    try:
        return await spool.write_sealed(recording.sid, partial(encrypt, public_key_pem=pem, public_key_sid=key_sid))
    except ValueError as why:
        raise EncryptionFailed() from why


async def _refuse(recording: Recording, ledger: Ledger, why: Final | InvalidDestination) -> Recording:
    code = refusal_code(why, kind=recording.kind)
    refused = await ledger.move(
        recording, State.FATAL, reason=why.message, error_code=code, last_error=why.message[:500]
    )
    if refused.kind is RecordingKind.VIDEO:  # held, and its resource has no error code that would say so
        await ledger.alerts.raise_alert(
            Alert(
                account_sid=refused.account_sid,
                recording_sid=refused.sid,
                code=code,
                level="warning",
                text=why.message,
                at=refused.date_updated,
            )
        )
    return refused
