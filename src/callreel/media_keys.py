"""The key of each recording's media at rest: made when it comes, wrapped by its account's key, gone when it is deleted.

Above the shelves and below the steps: it joins the ledger's account keys with the key ring. What a row keeps is the
recording's key, encrypted with AES-256-GCM under the key of its account, bound to account and recording; the key of
the account is sealed by the master key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callreel.at_rest.segments import KEY_BYTES, FileKey
from callreel.clock import Clock
from callreel.errors import AccountNotActive, SealBroken
from callreel.ledger.account_keys import DESTROYED as KEY_DESTROYED
from callreel.ledger.ledger import Ledger
from callreel.model.recording import Recording
from callreel.model.sid import AccountSid, RecordingSid
from callreel.sealing.keyring import Keyring

REMEMBERED_S = 60.0  # another process may go on opening with a key for so long after it was destroyed
_MOST_REMEMBERED = 1024
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, repr=False)
class NewKey:
    """The key of a recording that is coming in, and what its row has to keep of it."""

    key: FileKey
    wrapped: bytes

    @property
    def facts(self) -> dict[str, Any]:
        """For the recording's birth."""
        return {"sealed_at_rest": True, "media_key_wrapped": self.wrapped}


DESTROYED: dict[str, Any] = {"media_key_wrapped": None}
"""The fact to move a recording with when nothing of its media is to be opened ever again."""


class MediaKeys:
    """Makes and opens the keys of recordings. An account's key is made when it is first needed."""

    def __init__(self, *, ledger: Ledger, keyring: Keyring, clock: Clock) -> None:
        self._ledger, self._keyring, self._clock = ledger, keyring, clock
        self._remembered: dict[str, tuple[float, AESGCM]] = {}

    async def mint(self, account_sid: AccountSid, sid: RecordingSid) -> NewKey:
        """A new key for a new recording.

        Raises `AccountNotActive` where the account's key was destroyed, `SealBroken` and `DatabaseAway`.
        """
        wrapping = await self._of_account(account_sid, is_new=True)
        if wrapping is None:
            raise AccountNotActive()
        secret, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE_BYTES)
        wrapped = nonce + wrapping.encrypt(nonce, secret, _bound(account_sid, sid))
        return NewKey(FileKey(secret, sid.encode()), wrapped)

    async def of_media(self, recording: Recording) -> FileKey | None:
        """What opens the media; None where it lies as it came, taken in before media was sealed.

        Raises `SealBroken` when the key is destroyed or does not open, and `DatabaseAway`.
        """
        if not recording.sealed_at_rest:
            return None
        if recording.media_key_wrapped is None:
            raise SealBroken(f"The key of {recording.sid} was destroyed; its media cannot be opened any more")
        wrapping = await self._of_account(recording.account_sid)
        if wrapping is None:
            raise SealBroken(f"The key of the account of {recording.sid} is gone; its media cannot be opened any more")
        wrapped = recording.media_key_wrapped
        try:
            secret = wrapping.decrypt(
                wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _bound(recording.account_sid, recording.sid)
            )
        except (InvalidTag, ValueError) as why:
            raise SealBroken(f"The key of {recording.sid} does not open under its account's key") from why
        return FileKey(secret, recording.sid.encode())

    async def of_blob(self, recording: Recording) -> FileKey | None:
        """What opens the file of the blob; None for ciphertext of the customer's own, which is not sealed twice."""
        return None if recording.encryption_details is not None else await self.of_media(recording)

    def forget(self, account_sid: AccountSid) -> None:
        """The account's key was destroyed: do not use it from memory either."""
        self._remembered.pop(account_sid, None)

    async def _of_account(self, account_sid: AccountSid, *, is_new: bool = False) -> AESGCM | None:
        """The account's key, made where it `is_new`; None where it was destroyed or never was."""
        known = self._remembered.get(account_sid)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        place = {"table": "account_keys", "row": account_sid, "account": account_sid}
        sealed = await self._ledger.account_keys.find(account_sid)
        if sealed is None and is_new:
            minted = self._keyring.seal(os.urandom(KEY_BYTES), **place)
            sealed = await self._ledger.account_keys.keep(account_sid, minted, now=self._clock.now())
        if sealed is None or sealed == KEY_DESTROYED:
            return None
        wrapping = AESGCM(self._keyring.open(sealed, **place))
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[account_sid] = (self._clock.monotonic() + REMEMBERED_S, wrapping)
        return wrapping


def _bound(account_sid: str, sid: str) -> bytes:
    return f"callreel media key\0{account_sid}\0{sid}".encode()
