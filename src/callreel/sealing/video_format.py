"""Twilio's video recording encryption: the envelope of Amazon's S3 encryption client, version 1.

AES-256-CBC with PKCS #7 padding under a fresh key, that key under the customer's RSA key by PKCS #1 v1.5; what
opens it are metadata of the object. **CBC has no tag**: whoever can write to the bucket can change a recording so
that it still opens, with some blocks garbled. Decrypting therefore checks all there is to check (length, padding,
container), which finds what is cut short and what belongs to another key, not every change. The proof that the
object is what was sealed is the SHA-256 in the ledger, which `callreel check --deep` compares.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from callreel.errors import EncryptionFailed, InvalidParameter, SealBroken
from callreel.model.encryption_details import VIDEO, envelope_of
from callreel.sealing.private_key import read_private_key

KEY_BYTES = 32
IV_BYTES = BLOCK_BYTES = 16
_CHUNK = 64 * 1024

_EBML = b"\x1a\x45\xdf\xa3"  # Matroska and WebM
_HEAD_BYTES = 12


def encrypt_video(source: BinaryIO, target: BinaryIO, public_key_pem: str, public_key_sid: str) -> dict[str, str]:
    """Encrypt everything from source into target, 64 KiB at a time, and return the details that open it.

    The details are the object's four metadata (without `x-amz-meta-`), `type` and `public_key_sid`. Key and IV
    are new at each call. Raises `EncryptionFailed` when the public key cannot be used; then nothing was written.
    """
    key, iv = os.urandom(KEY_BYTES), os.urandom(IV_BYTES)
    wrapped = _wrap(key, public_key_pem)
    encryptor, padder = Cipher(AES(key), CBC(iv)).encryptor(), PKCS7(BLOCK_BYTES * 8).padder()
    size_bytes = 0
    while chunk := source.read(_CHUNK):
        size_bytes += len(chunk)
        target.write(encryptor.update(padder.update(chunk)))
    target.write(encryptor.update(padder.finalize()) + encryptor.finalize())
    return {
        "type": VIDEO,
        "public_key_sid": public_key_sid,
        "x-amz-key": base64.b64encode(wrapped).decode("ascii"),
        "x-amz-iv": base64.b64encode(iv).decode("ascii"),
        "x-amz-matdesc": "{}",
        "x-amz-unencrypted-content-length": str(size_bytes),
    }


def decrypt_video(
    source: BinaryIO,
    target: BinaryIO,
    private_key_pem: bytes,
    details: Mapping[str, str],
    *,
    passphrase: bytes | None = None,
) -> None:
    """Decrypt everything from source into target, 64 KiB at a time, and check what can be checked at the end.

    **What is in target counts only once this has returned.** `details` are the object's metadata, with or without
    `x-amz-meta-`. Raises `InvalidParameter` for details or a private key that cannot be read, `SealBroken` when
    key and recording do not belong together, the length is not the one the metadata names, the padding is wrong
    or what comes out is no Matroska, WebM or MP4 file.
    """
    envelope = envelope_of(details)
    iv, expected = _bytes_of(envelope, "x-amz-iv"), _length_of(envelope)
    if len(iv) != IV_BYTES:
        raise InvalidParameter(f"The metadata's x-amz-iv has {len(iv)} bytes instead of {IV_BYTES}")
    key = _unwrap(_bytes_of(envelope, "x-amz-key"), private_key_pem, passphrase)
    decryptor, unpadder = Cipher(AES(key), CBC(iv)).decryptor(), PKCS7(BLOCK_BYTES * 8).unpadder()
    head, size_bytes = b"", 0
    try:
        while chunk := source.read(_CHUNK):
            plain = unpadder.update(decryptor.update(chunk))
            if len(head) < _HEAD_BYTES:
                head = (head + plain)[:_HEAD_BYTES]
                _check_container(head)
            size_bytes += len(plain)
            target.write(plain)
        last = unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError as why:
        raise SealBroken("The recording was altered or cut short, or the metadata are another's") from why
    head, size_bytes = (head + last)[:_HEAD_BYTES], size_bytes + len(last)
    target.write(last)
    if size_bytes != expected:
        raise SealBroken(f"The recording has {size_bytes} bytes, and its metadata name {expected}")
    if len(head) < _HEAD_BYTES or not _is_container(head):
        raise SealBroken(_NO_CONTAINER)


_NO_CONTAINER = "What comes out is no Matroska, WebM or MP4 file: the recording or its metadata were altered"


def _check_container(head: bytes) -> None:
    """Stop at once when it is clear that this is not a recording: nothing large is written in vain."""
    if len(head) == _HEAD_BYTES and not _is_container(head):
        raise SealBroken(_NO_CONTAINER)


def _is_container(head: bytes) -> bool:
    return head.startswith(_EBML) or head[4:8] == b"ftyp"


def _wrap(key: bytes, public_key_pem: str) -> bytes:
    try:
        public = load_pem_public_key(public_key_pem.encode())
        if not isinstance(public, RSAPublicKey):
            raise EncryptionFailed("The public key of the settings is not an RSA key")
        # PKCS #1 v1.5 because Twilio's video decrypters unwrap with it; voice has OAEP.
        return public.encrypt(key, PKCS1v15())
    except (ValueError, UnsupportedAlgorithm) as why:
        raise EncryptionFailed() from why


def _unwrap(wrapped: bytes, private_key_pem: bytes, passphrase: bytes | None) -> bytes:
    private = read_private_key(private_key_pem, passphrase)
    try:
        # With a wrong key OpenSSL gives random bytes rather than an error (implicit rejection): the length, and
        # in the end the padding and the container, tell.
        key = private.decrypt(wrapped, PKCS1v15())
    except ValueError as why:
        raise SealBroken("The recording was encrypted for another key pair than this private key's") from why
    if len(key) != KEY_BYTES:
        raise SealBroken("The recording was encrypted for another key pair than this private key's")
    return key


def _bytes_of(envelope: Mapping[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(envelope[name], validate=True)
    except KeyError as why:
        raise InvalidParameter(f"The metadata have no {name}") from why
    except (binascii.Error, ValueError) as why:
        raise InvalidParameter(f"The metadata's {name} is not Base64") from why


def _length_of(envelope: Mapping[str, str]) -> int:
    text = envelope.get("x-amz-unencrypted-content-length", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidParameter("The metadata have no x-amz-unencrypted-content-length that is a number")
    return int(text)
