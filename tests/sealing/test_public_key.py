"""Public keys come in many shapes and are kept in one; private keys are never kept."""

from __future__ import annotations

import base64
import json
import textwrap

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st
from tests.sealing.keys import private_pem, public_pem, rsa_key

from callreel.errors import (
    CallreelError,
    PublicKeyNotRsa,
    PublicKeyUnreadable,
    PublicKeyWrongExponent,
    PublicKeyWrongLength,
)
from callreel.sealing.public_key import read_public_key

KEY = rsa_key()
PEM = public_pem(KEY)
BODY = "".join(PEM.splitlines()[1:-1])


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def integer(value: int) -> bytes:
    return element(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def made_up(modulus: int, exponent: int) -> str:
    """A SubjectPublicKeyInfo of numbers no library would make."""
    algorithm = element(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    numbers = element(0x30, integer(modulus) + integer(exponent))
    return base64.b64encode(element(0x30, algorithm + element(3, b"\0" + numbers))).decode()


MODULUS = KEY.public_key().public_numbers().n


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.strip(),
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", ""),
        PEM.replace("\n", " "),
        PEM.replace("\n", "\\n"),
        PEM.replace("\n", "\\r\\n"),
        f"\n\n  {PEM}\n",
        "\ufeff" + PEM,
        textwrap.indent(PEM, "\t"),
        BODY,
        "\n".join(textwrap.wrap(BODY, 64)),
        " ".join(textwrap.wrap(BODY, 10)),
        "\\n".join(textwrap.wrap(BODY, 64)),
    ],
)
def test_every_common_way_to_paste_a_key_gives_the_same_pem(text: str) -> None:
    assert read_public_key(text) == PEM


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_a_key_of_these_lengths_is_read_and_encrypts(bits: int) -> None:
    key = rsa_key(bits)
    read = load_pem_public_key(read_public_key(public_pem(key)).encode())
    assert isinstance(read, rsa.RSAPublicKey)
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    assert key.decrypt(read.encrypt(b"cek", oaep), oaep) == b"cek"


def public_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    "text",
    [
        public_of(ec.generate_private_key(ec.SECP256R1())),
        public_of(ec.generate_private_key(ec.SECP521R1())),
        public_of(ed25519.Ed25519PrivateKey.generate()),
        public_of(dsa.generate_private_key(2048)),
    ],
    ids=["p256", "p521", "ed25519", "dsa"],
)
def test_another_algorithm_is_refused(text: str) -> None:
    with pytest.raises(PublicKeyNotRsa):
        read_public_key(text)


@pytest.mark.parametrize("bits", [15, 1024, 2047, 2049, 8192, 40000])
def test_another_length_is_refused(bits: int) -> None:
    with pytest.raises(PublicKeyWrongLength, match=f"not {bits}"):
        read_public_key(made_up((1 << bits - 1) | 1, 65537))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 17, 65536, 65539, MODULUS - 2])
def test_another_exponent_is_refused(exponent: int) -> None:
    with pytest.raises(PublicKeyWrongExponent):
        read_public_key(made_up(MODULUS, exponent))


def test_an_even_modulus_is_refused() -> None:
    assert read_public_key(made_up(MODULUS, 65537)) == PEM
    with pytest.raises(PublicKeyUnreadable, match="even"):
        read_public_key(made_up(MODULUS - 1, 65537))


PKCS8 = private_pem(KEY).decode()
EC_KEY = ec.generate_private_key(ec.SECP256R1())
LOCK = BestAvailableEncryption(b"passphrase")
PRIVATE = {
    "pkcs8": PKCS8,
    "pkcs1": KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
    "pkcs1-encrypted": KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, LOCK).decode(),
    "pkcs8-encrypted": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, LOCK).decode(),
    "openssh": KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
    "sec1": EC_KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
    "pkcs8-ec": EC_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
}
for _name in [name for name in PRIVATE if name != "pkcs1-encrypted"]:
    PRIVATE[f"{_name}-headerless"] = "".join(PRIVATE[_name].splitlines()[1:-1])
PRIVATE |= {
    "one-line": PKCS8.replace("\n", " "),
    "literal-newlines": PKCS8.replace("\n", "\\n"),
    "newlines-removed": PKCS8.replace("\n", ""),
    "crlf": PKCS8.replace("\n", "\r\n"),
    "lower-case-label": PKCS8.replace("PRIVATE KEY", "private key"),
    "mangled-label": PKCS8.replace("-----BEGIN PRIVATE KEY-----", "-- BEGIN  PRIVATE\nKEY --"),
    "public-label": PKCS8.replace("PRIVATE", "PUBLIC"),
    "cut-short": PKCS8[:300],
    "cut-short-headerless": PRIVATE["pkcs1-headerless"][:101],
    "url-safe-base64": PRIVATE["pkcs8-headerless"].replace("+", "-").replace("/", "_"),
    "no-padding": PRIVATE["pkcs8-headerless"].rstrip("="),
    "after-a-public-key": PEM + PKCS8,
    "before-a-public-key": PKCS8 + PEM,
    "pkcs12": base64.b64encode(pkcs12.serialize_key_and_certificates(b"x", KEY, None, None, LOCK)).decode(),
    "pgp": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQPG\n-----END PGP PRIVATE KEY BLOCK-----",
    "putty": "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPrivate-Lines: 14\nAAAA",
    "jwk": json.dumps({"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "c2VjcmV0"}),
    "xml": "<RSAKeyValue><Modulus>AQAB</Modulus><D>c2VjcmV0</D></RSAKeyValue>",
}


@pytest.mark.parametrize("text", PRIVATE.values(), ids=PRIVATE.keys())
def test_a_private_key_is_refused_by_name_and_never_echoed(text: str) -> None:
    with pytest.raises(PublicKeyUnreadable) as refused:
        read_public_key(text)
    told = refused.value.message
    assert "private key" in told
    assert "Nothing was stored" in told
    assert "exposed" in told
    for start in range(0, max(1, len(text) - 12), 12):
        assert text[start : start + 12] not in told
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "X.509"),
        (" \n", "X.509"),
        ("hello", "Base64"),
        ("ключ", "X.509"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ== me@host", "X.509"),
        (PEM.replace("-----END PUBLIC KEY-----", ""), "belong together"),
        (PEM.replace("-----BEGIN PUBLIC KEY-----", ""), "belong together"),
        (PEM.replace("END PUBLIC", "END RSA PUBLIC"), "belong together"),
        (PEM.replace("PUBLIC KEY", "CERTIFICATE"), "certificate"),
        (PEM.replace("PUBLIC KEY", "X509 CRL"), "X.509"),
        (PEM + PEM, "X.509"),
        (BODY[:-3], "Base64"),
        (BODY[:-4], "X.509"),
        (BODY[4:], "X.509"),
        (BODY + "AAAA", "X.509"),
        (base64.b64encode(base64.b64decode(BODY) + b"\0").decode(), "X.509"),
        (KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(), "PKCS #1"),
        ("".join(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode().splitlines()[1:-1]), "X.509"),
        ("A" * 16 * 1024, "X.509"),
        ("A" * (16 * 1024 + 1), "at most"),
        ("-----BEGIN PUBLIC KEY-----" * 1_000_000, "at most"),
    ],
)
def test_what_is_no_public_key_is_unreadable(text: str, reason: str) -> None:
    with pytest.raises(PublicKeyUnreadable, match=reason):
        read_public_key(text)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.b64encode(raw).decode()))
def test_noise_is_always_refused_with_one_of_our_errors(text: str) -> None:
    with pytest.raises(CallreelError):
        read_public_key(text)


@given(st.data())
def test_a_damaged_key_never_raises_anything_but_our_errors(data: st.DataObject) -> None:
    der = bytearray(base64.b64decode(BODY))
    at = data.draw(st.integers(0, 40))
    der[at] = data.draw(st.integers(0, 255))
    try:
        assert load_pem_public_key(read_public_key(base64.b64encode(der).decode()).encode())
    except CallreelError:
        return
