"""A customer's private key, for the moment a recording is opened. Never stored, never in a message."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from callreel.errors import InvalidParameter


def read_private_key(pem: bytes, passphrase: bytes | None = None) -> RSAPrivateKey:
    """The key of a PEM file. Raises `InvalidParameter` when it is not one, not RSA, or locked otherwise."""
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as why:
        raise InvalidParameter("The private key cannot be read; it must be PEM, with the right passphrase") from why
    if not isinstance(key, RSAPrivateKey):
        raise InvalidParameter("The private key is not an RSA key")
    return key
