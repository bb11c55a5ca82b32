"""Seals the secrets we have to use again, so that a copy of the database alone opens none of them.

Envelope: each value is encrypted with a data key of its own, and the data key with a master key. Both are bound to
the table, row and account the value belongs to; moved elsewhere, it does not open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callreel.errors import SealBroken
from callreel.sealing.master_key import ID_BYTES, MasterKey

# A sealed value, version 1:
#   magic and version  4   b"CRS" 0x01
#   master key id      8
#   wrap nonce        12
#   wrapped data key  48   AES-256-GCM under the master key
#   nonce             12
#   ciphertext and tag     AES-256-GCM under the data key
_MAGIC = b"CRS\x01"
_NONCE = 12
_WRAPPED = 32 + 16
_ID_AT = len(_MAGIC)
_WRAP_AT = _ID_AT + ID_BYTES
_BODY_AT = _WRAP_AT + _NONCE + _WRAPPED
_SHORTEST = _BODY_AT + _NONCE + 16


Changed = Callable[[], Sequence[MasterKey] | None]


class Keyring:
    """The master key that seals, and those that still open what was sealed before a rotation."""

    def __init__(
        self, current: MasterKey, previous: Sequence[MasterKey] = (), *, changed: Changed | None = None
    ) -> None:
        """`changed` gives the keys of now, the one that seals first, when they are others than it gave last."""
        self._changed = changed
        self._take([current, *previous])

    def __repr__(self) -> str:
        return f"Keyring(current={self._current.id.hex()}, keys={len(self._keys)})"

    @property
    def current_id(self) -> bytes:
        """The id of the master key that seals now."""
        self.look_again()
        return self._current.id

    def look_again(self) -> None:
        """Take the keys of now where a rotation has changed them."""
        if self._changed is not None and (keys := self._changed()):
            self._take(keys)

    def _take(self, keys: Sequence[MasterKey]) -> None:
        self._current, self._keys = keys[0], {key.id: key for key in keys}

    def seal(self, plaintext: bytes, *, table: str, row: str, account: str) -> bytes:
        """Encrypt under a new data key. Sealing the same value twice gives different bytes."""
        place = _place(table, row, account)
        data_key = AESGCM.generate_key(bit_length=256)
        nonce = os.urandom(_NONCE)
        body = nonce + AESGCM(data_key).encrypt(nonce, plaintext, _MAGIC + place)
        return self._wrap(data_key, place) + body

    def open(self, sealed: bytes, *, table: str, row: str, account: str) -> bytes:
        """The plaintext, exactly as it was sealed for this table, row and account. Raises `SealBroken`."""
        place = _place(table, row, account)
        return _open_body(sealed, self._unwrap(sealed, place), place)

    def rewrap(self, sealed: bytes, *, table: str, row: str, account: str) -> bytes:
        """The same value under the current master key; its ciphertext stays, only the data key is wrapped anew.

        Raises `SealBroken` for a value that does not open: what is broken is not made to look fresh.
        """
        place = _place(table, row, account)
        data_key = self._unwrap(sealed, place)
        _open_body(sealed, data_key, place)
        return self._wrap(data_key, place) + sealed[_BODY_AT:]

    def needs_rewrap(self, sealed: bytes) -> bool:
        """Whether another master key than the current one sealed this. Raises `SealBroken` if nothing sealed it."""
        return _key_id(sealed) != self.current_id

    def _wrap(self, data_key: bytes, place: bytes) -> bytes:
        self.look_again()  # what is sealed from now on must not need a key that is being retired
        current, nonce = self._current, os.urandom(_NONCE)
        head = _MAGIC + current.id
        return head + nonce + AESGCM(current.secret).encrypt(nonce, data_key, head + place)

    def _unwrap(self, sealed: bytes, place: bytes) -> bytes:
        key_id = _key_id(sealed)
        master = self._keys.get(key_id)
        if master is None:  # perhaps one that a rotation has just brought
            self.look_again()
            master = self._keys.get(key_id)
        if master is None:
            raise SealBroken(
                f"A sealed secret needs the master key with id {key_id.hex()}, which this installation was not given"
            )
        nonce, wrapped = sealed[_WRAP_AT : _WRAP_AT + _NONCE], sealed[_WRAP_AT + _NONCE : _BODY_AT]
        try:
            return AESGCM(master.secret).decrypt(nonce, wrapped, _MAGIC + key_id + place)
        except InvalidTag as why:
            raise SealBroken() from why


def _open_body(sealed: bytes, data_key: bytes, place: bytes) -> bytes:
    nonce, body = sealed[_BODY_AT : _BODY_AT + _NONCE], sealed[_BODY_AT + _NONCE :]
    try:
        return AESGCM(data_key).decrypt(nonce, body, _MAGIC + place)
    except InvalidTag as why:
        raise SealBroken() from why


def _key_id(sealed: bytes) -> bytes:
    if len(sealed) < _SHORTEST or not sealed.startswith(_MAGIC):
        raise SealBroken("A sealed secret is cut short or of an unknown version")
    return sealed[_ID_AT:_WRAP_AT]


def _place(table: str, row: str, account: str) -> bytes:
    """Each part with its length before it, so that no two places are written alike."""
    parts = [part.encode() for part in (table, row, account)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
