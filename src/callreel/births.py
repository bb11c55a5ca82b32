"""How a stream of bytes becomes a recording: durable in the spool first, then its row, or nothing of either.

Below the steps and above the shelves: it joins the spool with the ledger, so that every way in keeps the same order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Generic, TypeVar

from callreel.clock import Clock
from callreel.errors import (
    AccountNotActive,
    BodyTooLarge,
    EncryptionFailed,
    IdempotencyConflict,
    NotFound,
    PublicKeyMissing,
    SealBroken,
    SidTaken,
)
from callreel.failpoints import reach
from callreel.ledger.ledger import Ledger
from callreel.ledger.moves import AlreadyBorn, Birth
from callreel.media_keys import MediaKeys, NewKey
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.public_keys import fetch_public_key
from callreel.sealing.keyring import Keyring
from callreel.sealing.twilio_format import Encryption
from callreel.spool.draft_file import Digests
from callreel.spool.spool import NOTHING, Rewrite, Spool

T = TypeVar("T")


class NothingInIt(Exception):
    """A judge raises it for a well-formed file without any media: it is noted as absent, and nothing is kept."""

    def __init__(self, facts: object) -> None:
        super().__init__()
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[T]):
    """Media that is durable in the spool and not acknowledged yet: `facts` are the judge's, `digests` the spool's.

    `state` is SPOOLED, or ABSENT for a file with nothing in it, of which nothing was kept. It lies sealed under `key`;
    or, without one, encrypted for the customer, and `details` open it.
    """

    sid: RecordingSid
    account_sid: AccountSid
    kind: RecordingKind
    settings_id: int | None
    settings: StorageSettings
    facts: T
    digests: Digests
    state: State
    key: NewKey | None
    details: dict[str, str] | None
    host_id: str

    def newborn(
        self,
        *,
        now: datetime,
        source: str,
        channels: int,
        duration_ms: int,
        media_type: str,
        start_time: datetime,
        **others: Any,
    ) -> Recording:
        """The recording this media becomes; `others` are facts of `Recording` that the way in knows besides."""
        told: dict[str, Any] = {"call_sid": None, "conference_sid": None, "track": None} | others
        return Recording(
            sid=self.sid,
            account_sid=self.account_sid,
            kind=self.kind,
            state=self.state,
            fence=1,
            host_id=self.host_id,
            source=source,
            channels=channels,
            duration_ms=duration_ms,
            media_type=media_type,
            start_time=start_time,
            date_created=now,
            date_updated=now,
            media_size_bytes=self.digests.size_bytes,
            media_sha256=self.digests.sha256,
            media_md5=self.digests.md5,
            settings=self.settings,
            settings_id=self.settings_id,
            **(self._facts_at_rest() if self.state is State.SPOOLED else {}),
            **told,
        )

    def _facts_at_rest(self) -> dict[str, Any]:
        """What opens it; or, of what is encrypted for its owner, the blob it is already."""
        if self.key is not None:
            return self.key.facts
        blob = self.digests.blob
        assert blob is not None
        return {
            "sealed_at_rest": True,
            "encryption_details": self.details,
            "blob_size_bytes": blob.size_bytes,
            "blob_sha256": blob.sha256,
            "blob_md5": blob.md5,
        }


class Births:
    """Takes media in and gives it a row: `receive`, then `bear` what `Kept.newborn` makes of it."""

    def __init__(self, *, spool: Spool, ledger: Ledger, keys: MediaKeys, keyring: Keyring, clock: Clock) -> None:
        self._spool, self._ledger, self._keys, self._keyring, self.clock = spool, ledger, keys, keyring, clock

    async def receive(
        self,
        sid: RecordingSid,
        body: AsyncIterator[bytes],
        judge: Callable[[BinaryIO, int], T],
        *,
        account_sid: AccountSid,
        kind: RecordingKind,
        announced_bytes: int | None,
        limit_bytes: int,
        rewrite: Rewrite[T] | None = None,
        encrypts: bool = False,
    ) -> Kept[T]:
        """Make a stream of bytes durable under this SID, if `judge(file, size_bytes)` returns.

        Before the body is read there must be room and a database. The bytes are sealed as they come, under a key of
        this recording's own; no plain byte reaches the disk. `rewrite` may put other bytes in place of what
        came; see `Draft.keep`. Nothing is left of a body that was not kept. Raises `SpoolFull`, `BodyTooLarge`,
        `BodyCutShort`, `SpoolFailed`, `NameTaken`, `AccountNotActive`, `DatabaseAway`, and what `judge` raises but
        `NothingInIt`.

        `encrypts`: where the settings ask for encryption and their public key works, the bytes are encrypted for it
        as they come, in place of our own sealing: the blob is written once, and nobody here can open it. Where the
        key does not work the media is sealed as ever, and the step `seal` says what is wrong; so is a video, whose
        format has no tag, and what is to be rewritten, which must be read back with proof.
        """
        if announced_bytes is not None and announced_bytes > limit_bytes:
            raise BodyTooLarge(f"The body has more than {limit_bytes} bytes. Nothing was kept.")
        files = 2 if rewrite is not None else 1  # what came and what is kept, for a moment
        self._spool.check_room((announced_bytes or 0) * files)
        settings_id, settings = await self._ledger.settings.current(account_sid, kind)
        encryption = None
        if encrypts and kind is RecordingKind.VOICE and rewrite is None and settings.encryption_enabled:
            encryption = await self._find_encryption(account_sid, settings)
        key = await self._keys.mint(account_sid, sid) if encryption is None else None
        facts: Any
        try:
            facts, digests = await self._spool.receive(
                sid,
                body,
                judge,
                key=key.key if key is not None else None,
                encryption=encryption,
                announced_bytes=announced_bytes,
                limit_bytes=limit_bytes,
                rewrite=rewrite,
            )
            state = State.SPOOLED
        except NothingInIt as nothing:
            facts, digests, state = nothing.facts, NOTHING, State.ABSENT
        return Kept(
            sid=sid,
            account_sid=account_sid,
            kind=kind,
            settings_id=settings_id,
            settings=settings,
            facts=facts,
            digests=digests,
            state=state,
            key=key,
            details=encryption.details if encryption is not None else None,
            host_id=self._spool.host_id,
        )

    async def _find_encryption(self, account_sid: AccountSid, settings: StorageSettings) -> Encryption | None:
        try:
            pem, key_sid = await fetch_public_key(account_sid, settings, ledger=self._ledger, keyring=self._keyring)
            return Encryption(pem, key_sid)
        except (PublicKeyMissing, SealBroken, EncryptionFailed, ValueError):
            return None  # the step `seal` meets the same, and can say so on the recording

    async def bear(self, birth: Birth) -> Recording:
        """Write the row of media that `receive` kept; once this returns the recording may be acknowledged.

        Returns the recording, or the one an earlier request with the same idempotency key made: then, and after
        `IdempotencyConflict`, the media is released. After `DatabaseAway` the row may exist, so the media stays;
        without a row recovery puts it in quarantine. Raises those two, `SidTaken` and `AccountNotActive` (nothing is
        kept; the account was closed meanwhile, and its key destroyed), and `NotFound` when the earlier one is gone.
        """
        newborn = birth.recording
        try:
            born = await self._ledger.bear(birth)
        except (IdempotencyConflict, SidTaken, AccountNotActive):  # a clear no: nothing was written, nothing is kept
            await self._spool.release(newborn.sid, blob_sha256=newborn.blob_sha256)
            raise
        reach("C5")
        if not isinstance(born, AlreadyBorn):
            return born
        await self._spool.release(newborn.sid, blob_sha256=newborn.blob_sha256)
        first = await self._ledger.recordings.find(newborn.account_sid, RecordingSid(born.recording_sid))
        if first is None:
            raise NotFound()
        return first
