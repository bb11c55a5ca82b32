"""The key an installation signs its receipts with: Ed25519, so that anybody can check them with the public half."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from callreel.errors import InvalidParameter, ReceiptForged

KEY_ID_DIGITS = 16


class ReceiptKey:
    """Signs. `secret` is the 32 bytes of the private key, kept sealed with the installation's other secrets."""

    def __init__(self, secret: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(secret)
        self.public_pem = self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.id = _id_of(self._private.public_key())

    def sign(self, document: str) -> str:
        """Base64 of the signature over the document's UTF-8 bytes."""
        return base64.b64encode(self._private.sign(document.encode())).decode()


def verify_signature(document: str, signature: str, public_pem: bytes) -> str:
    """Check a signature without any installation; returns the id of the key.

    Raises `ReceiptForged` when the document is not what was signed, `InvalidParameter` for what is no such key.
    """
    try:
        key = load_pem_public_key(public_pem)
    except ValueError as why:
        raise InvalidParameter("The public key is not one in PEM") from why
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidParameter("The public key is not an Ed25519 key")
    try:
        key.verify(base64.b64decode(signature, validate=True), document.encode())
    except (InvalidSignature, ValueError) as why:
        raise ReceiptForged() from why
    return _id_of(key)


def _id_of(key: Ed25519PublicKey) -> str:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:KEY_ID_DIGITS]
