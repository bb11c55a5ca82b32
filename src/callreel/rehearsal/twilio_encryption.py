"""A recording as Twilio encrypts one: AES-256-GCM, the key wrapped with RSA-OAEP. Written from the published format."""

from __future__ import annotations

import base64
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def encrypted(media: bytes, public_key_pem: str, public_key_sid: str) -> tuple[bytes, dict[str, str]]:
    """Ciphertext with its tag behind it, and the `encryption_details` the REST API shows."""
    key = load_pem_public_key(public_key_pem.encode())
    assert isinstance(key, RSAPublicKey)
    cek, iv = os.urandom(32), os.urandom(12)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    details = {
        "encryption_public_key_sid": public_key_sid,
        "encryption_cek": base64.b64encode(key.encrypt(cek, oaep)).decode(),
        "encryption_iv": base64.b64encode(iv).decode(),
    }
    return AESGCM(cek).encrypt(iv, media, None), details
