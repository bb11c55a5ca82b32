"""The little of DER it takes to tell kinds of keys apart. Everything else is left to `cryptography`."""

from __future__ import annotations

_SEQUENCE, _INTEGER, _BIT_STRING, _OCTET_STRING = 0x30, 0x02, 0x03, 0x04
_RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d010101")  # 1.2.840.113549.1.1.1
_OPENSSH = b"openssh-key-v1\0"


def looks_private(der: bytes) -> bool:
    """Whether this is, or begins like, a private key: PKCS #1, SEC 1, PKCS #8 plain or encrypted, OpenSSH, PKCS #12.

    All but OpenSSH's are sequences that begin with a small version number; an encrypted one is an algorithm
    followed by an octet string, where a public key has a bit string.
    """
    if der.startswith(_OPENSSH):
        return True
    try:
        tag, _, inside = _header(der, 0)
        first, length, value = _header(der, inside)
        if tag != _SEQUENCE:
            return False
        if first == _INTEGER:
            return length == 1 and der[value : value + 1] in (b"\0", b"\1", b"\3")
        return first == _SEQUENCE and _header(der, value + length)[0] == _OCTET_STRING
    except ValueError:
        return False


def read_rsa_numbers(der: bytes) -> tuple[int, int] | None:
    """Modulus and exponent of an RSA SubjectPublicKeyInfo; None if it is not one."""
    try:
        info, rest = _take(der, _SEQUENCE)
        algorithm, info_rest = _take(info, _SEQUENCE)
        bits, after = _take(info_rest, _BIT_STRING)
        if rest or after or not algorithm.startswith(_RSA_ENCRYPTION) or bits[:1] != b"\0":
            return None
        numbers, after = _take(bits[1:], _SEQUENCE)
        modulus, exponent_part = _take(numbers, _INTEGER)
        exponent, end = _take(exponent_part, _INTEGER)
    except ValueError:
        return None
    if after or end:
        return None
    return int.from_bytes(modulus, "big", signed=True), int.from_bytes(exponent, "big", signed=True)


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the element data begins with, and what follows it. Raises ValueError."""
    found, length, start = _header(data, 0)
    if found != tag or start + length > len(data):
        raise ValueError("another element was expected")
    return data[start : start + length], data[start + length :]


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, length and where the content begins. Raises ValueError when the data ends before."""
    if at + 2 > len(data):
        raise ValueError("cut short")
    tag, length = data[at], data[at + 1]
    if length < 0x80:
        return tag, length, at + 2
    size = length & 0x7F
    digits = data[at + 2 : at + 2 + size]
    if not 1 <= size <= 4 or len(digits) < size:
        raise ValueError("cut short, or longer than any key")
    return tag, int.from_bytes(digits, "big"), at + 2 + size
