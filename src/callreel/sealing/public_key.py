"""Reads a customer's public key: one shape out, and a reason for everything that is not one."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from callreel.errors import PublicKeyNotRsa, PublicKeyUnreadable, PublicKeyWrongExponent, PublicKeyWrongLength
from callreel.sealing.der import looks_private, read_rsa_numbers

MAX_TEXT = 16 * 1024  # characters; a 4096-bit key in PEM has 800
KEY_BITS = (2048, 3072, 4096)  # Twilio takes 2048 alone; longer ones wrap a key just as well
EXPONENT = 65537

_PEM = re.compile(
    r"(?:-----BEGIN(?P<begin>[A-Z0-9]+)-----)?(?P<body>[A-Za-z0-9+/]+={0,2})(?:-----END(?P<end>[A-Z0-9]+)-----)?"
)
# Spellings of private keys that are not Base64 of DER: PuTTY, JWK and .NET's XML.
_OTHER_PRIVATE = re.compile(r'PuTTY-User-Key-File|Private-Lines:|"(?:d|p|qi)"\s*:|<(?:D|P|InverseQ)>')


def read_public_key(text: str) -> str:
    """The key as SubjectPublicKeyInfo in PEM, always written the same way.

    Accepts PEM with its BEGIN and END lines or without, its line ends kept, lost, turned into spaces or into a
    literal `\\n`. Raises `PublicKeyNotRsa`, `PublicKeyWrongLength`, `PublicKeyWrongExponent` or, for everything
    else and for every kind of private key, `PublicKeyUnreadable`. No message repeats any of the text.
    """
    if len(text) > MAX_TEXT:
        raise PublicKeyUnreadable(f"The public key must have at most {MAX_TEXT} characters")
    flat = text.removeprefix("\ufeff").replace("\\r", "").replace("\\n", "\n")
    compact = re.sub(r"\s+", "", flat)
    if "PRIVATEKEY" in re.sub(r"[^A-Z]", "", compact.upper()) or _OTHER_PRIVATE.search(flat):
        _refuse_private_key()
    shape = _PEM.fullmatch(compact)
    if looks_private(_leading_bytes(compact if shape is None else shape["body"])):
        _refuse_private_key()
    if shape is None:
        raise PublicKeyUnreadable()
    _check_label(shape["begin"], shape["end"])
    return _normalised(_decode(shape["body"]))


def _refuse_private_key() -> NoReturn:
    raise PublicKeyUnreadable(
        "This is a private key, not a public key. Nothing was stored. Consider it exposed: "
        "make a new key pair and send its public key"
    )


def _leading_bytes(text: str) -> bytes:
    """What the text's beginning would be as Base64: also of a key that was cut short or damaged further on."""
    run = re.match(r"[A-Za-z0-9+/_-]*", text)
    whole = (run[0] if run else "").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(whole[: len(whole) // 4 * 4])


def _check_label(begin: str | None, end: str | None) -> None:
    if begin != end:
        raise PublicKeyUnreadable("The public key's BEGIN and END lines do not belong together")
    if begin == "RSAPUBLICKEY":
        raise PublicKeyUnreadable(
            "The public key is in PKCS #1; convert it with: openssl rsa -RSAPublicKey_in -pubout -in KEY"
        )
    if begin == "CERTIFICATE":
        raise PublicKeyUnreadable("This is a certificate; take its key with: openssl x509 -pubkey -noout -in FILE")
    if begin not in (None, "PUBLICKEY"):
        raise PublicKeyUnreadable()


def _decode(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as why:
        raise PublicKeyUnreadable("The public key is not valid Base64; part of it may be missing") from why


def _normalised(der: bytes) -> str:
    numbers = read_rsa_numbers(der)
    if numbers is not None:
        _check_numbers(*numbers)  # before cryptography, which has one message for all it does not like
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as why:
        raise PublicKeyUnreadable() from why
    if not isinstance(key, RSAPublicKey):
        raise PublicKeyNotRsa()
    if numbers is None:
        raise PublicKeyUnreadable()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _check_numbers(modulus: int, exponent: int) -> None:
    if modulus.bit_length() not in KEY_BITS:
        raise PublicKeyWrongLength(f"The public key must have 2048, 3072 or 4096 bits, not {modulus.bit_length()}")
    if exponent != EXPONENT:
        raise PublicKeyWrongExponent()
    if modulus % 2 == 0:
        raise PublicKeyUnreadable("The public key is damaged: its modulus is even")
