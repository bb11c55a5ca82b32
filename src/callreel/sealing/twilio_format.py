"""Twilio's voice recording encryption: AES-256-GCM under a fresh key, that key under the customer's RSA key.

The file is the ciphertext followed by the 16-byte tag, without a header; what opens it is in the details.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from callreel.errors import EncryptionFailed, InvalidParameter, SealBroken
from callreel.model.encryption_details import VOICE
from callreel.sealing.private_key import read_private_key
from callreel.sealing.reading_back import CiphertextReader

ALGORITHM = VOICE
CEK_BYTES = 32
IV_BYTES = 12
TAG_BYTES = 16
_CHUNK = 64 * 1024

# REST, the callback and Twilio's guide spell the same details differently.
_CEK_NAMES = ("encrypted_cek", "encryption_cek")
_IV_NAMES = ("iv", "encryption_iv")


class Encryption:
    """One recording being encrypted: write what `update` gives, then what `finish` gives, once.

    Key and IV are its own, so it is never used for other bytes than the ones it was begun for. `details` open what it
    made, in the callback's spelling: `type`, `public_key_sid`, `encrypted_cek`, `iv`. Raises `EncryptionFailed` when
    the public key cannot be used.
    """

    def __init__(self, public_key_pem: str, public_key_sid: str) -> None:
        cek, iv = os.urandom(CEK_BYTES), os.urandom(IV_BYTES)
        self.details = {
            "type": ALGORITHM,
            "public_key_sid": public_key_sid,
            "encrypted_cek": base64.b64encode(_wrap(cek, public_key_pem)).decode("ascii"),
            "iv": base64.b64encode(iv).decode("ascii"),
        }
        self._cek, self._iv = cek, iv
        self._encryptor = Cipher(AES(cek), GCM(iv)).encryptor()

    def update(self, plain: bytes) -> Iterator[bytes]:
        """The ciphertext of these bytes, 64 KiB at a time: larger pieces cost six times as much in fresh memory."""
        view = memoryview(plain)
        for start in range(0, len(view), _CHUNK):
            yield self._encryptor.update(view[start : start + _CHUNK])

    def finish(self) -> bytes:
        """What ends the file: its tag."""
        return self._encryptor.finalize() + self._encryptor.tag

    def read_back(self, descriptor: int, size_bytes: int) -> CiphertextReader:
        """The first so many bytes of the media, as a file, from what was written to `descriptor` just now.

        **Nothing is verified**: it is for looking at a file while it is ours alone, before anything is promised.
        """
        return CiphertextReader(descriptor, self._cek, self._iv, size_bytes)


def encrypt(source: BinaryIO, target: BinaryIO, public_key_pem: str, public_key_sid: str) -> dict[str, str]:
    """Encrypt everything from source into target, 64 KiB at a time, and return the details that open it.

    Key and IV are new at each call, so the output of a try that failed must not be mixed with another's. Raises
    `EncryptionFailed` when the public key cannot be used; then nothing was written.
    """
    encryption = Encryption(public_key_pem, public_key_sid)
    while chunk := source.read(_CHUNK):
        for piece in encryption.update(chunk):
            target.write(piece)
    target.write(encryption.finish())
    return encryption.details


def decrypt(
    source: BinaryIO,
    target: BinaryIO,
    private_key_pem: bytes,
    details: Mapping[str, str],
    *,
    passphrase: bytes | None = None,
) -> None:
    """Decrypt everything from source into target, 64 KiB at a time, and check the tag at the end.

    **What is in target counts only once this has returned**: before, it is unverified, and after an error the
    caller must throw it away. `details` may have any of Twilio's three spellings. Raises `InvalidParameter`
    for details or a private key that cannot be read, `SealBroken` when key and recording do not belong
    together or a bit of the recording changed.
    """
    cek = _unwrap(_field(details, _CEK_NAMES), private_key_pem, passphrase)
    iv = _field(details, _IV_NAMES)
    if len(iv) != IV_BYTES:
        raise InvalidParameter(f"The details' IV has {len(iv)} bytes instead of {IV_BYTES}")
    decryptor = Cipher(AES(cek), GCM(iv)).decryptor()
    held = b""  # the last 16 bytes read so far may be the tag
    while chunk := source.read(_CHUNK):
        held += chunk
        target.write(decryptor.update(held[:-TAG_BYTES]))
        held = held[-TAG_BYTES:]
    if len(held) < TAG_BYTES:
        raise SealBroken("The recording is shorter than its tag; it was cut short")
    try:
        target.write(decryptor.finalize_with_tag(held))
    except InvalidTag as why:
        raise SealBroken(
            "The recording does not match its tag: it was altered or cut short, or the details are another's"
        ) from why


def _oaep() -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)


def _wrap(cek: bytes, public_key_pem: str) -> bytes:
    try:
        key = load_pem_public_key(public_key_pem.encode())
        if not isinstance(key, RSAPublicKey):
            raise EncryptionFailed("The public key of the settings is not an RSA key")
        return key.encrypt(cek, _oaep())
    except (ValueError, UnsupportedAlgorithm) as why:
        raise EncryptionFailed() from why


def _unwrap(wrapped: bytes, private_key_pem: bytes, passphrase: bytes | None) -> bytes:
    key = read_private_key(private_key_pem, passphrase)
    try:
        cek = key.decrypt(wrapped, _oaep())
    except ValueError as why:
        raise SealBroken("The recording was encrypted for another key pair than this private key's") from why
    if len(cek) != CEK_BYTES:
        raise SealBroken("The recording's key does not have 256 bits")
    return cek


def _field(details: Mapping[str, str], names: tuple[str, ...]) -> bytes:
    if details.get("type", ALGORITHM) != ALGORITHM:
        raise InvalidParameter(f"The details are of another type than {ALGORITHM}")
    for name in names:
        if details.get(name):
            try:
                return base64.b64decode(details[name], validate=True)
            except (binascii.Error, ValueError) as why:
                raise InvalidParameter(f"The details' {name} is not Base64") from why
    raise InvalidParameter(f"The details have no {' or '.join(names)}")
