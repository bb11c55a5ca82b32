"""Recordings encrypted as Twilio does, opened here by hand with the primitives of `cryptography`."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import tempfile

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sealing.keys import another_rsa_key, private_pem, public_pem, rsa_key

from callreel.errors import EncryptionFailed, InvalidParameter, SealBroken
from callreel.sealing.twilio_format import Encryption, decrypt, encrypt

KEY_SID = "CR" + "1" * 32
KEY = rsa_key()


def some_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class Meter(io.BytesIO):
    """A file that remembers the largest single read or write."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(content)
        self.largest = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0, "the whole file was asked for"
        self.largest = max(self.largest, size)
        return super().read(size)

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        self.largest = max(self.largest, len(data))
        return super().write(data)


class Dribble(io.BytesIO):
    """A file that gives a few bytes at a time, as a pipe does."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


def sealed(media: bytes) -> tuple[bytes, dict[str, str]]:
    target = io.BytesIO()
    details = encrypt(io.BytesIO(media), target, public_pem(KEY), KEY_SID)
    return target.getvalue(), details


def opened(blob: bytes, details: dict[str, str], key: bytes | None = None) -> bytes:
    target = io.BytesIO()
    decrypt(io.BytesIO(blob), target, key or private_pem(KEY), details)
    return target.getvalue()


def by_hand(blob: bytes, details: dict[str, str]) -> bytes:
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    cek = KEY.decrypt(base64.b64decode(details["encrypted_cek"], validate=True), oaep)
    assert len(cek) == 32
    return AESGCM(cek).decrypt(base64.b64decode(details["iv"], validate=True), blob, None)


@settings(max_examples=30, deadline=None)
@given(media=st.binary(max_size=300) | st.sampled_from([65535, 65536, 65537, 131072, 200_000]).map(bytes))
def test_anyone_with_the_private_key_can_open_it_without_us(media: bytes) -> None:
    blob, details = sealed(media)
    assert len(blob) == len(media) + 16
    assert by_hand(blob, details) == media
    assert opened(blob, details) == media


def test_details_have_the_callbacks_spelling_and_the_documented_lengths() -> None:
    _, details = sealed(b"media")
    assert list(details) == ["type", "public_key_sid", "encrypted_cek", "iv"]
    assert details["type"] == "rsa-aes"
    assert details["public_key_sid"] == KEY_SID
    assert len(details["encrypted_cek"]) == 344
    assert len(details["iv"]) == 16
    assert json.loads(json.dumps(details)) == details


def test_every_recording_has_its_own_key_and_iv() -> None:
    (one, details), (two, others) = sealed(b"media"), sealed(b"media")
    assert one != two
    assert details["iv"] != others["iv"]
    assert details["encrypted_cek"] != others["encrypted_cek"]


def test_a_long_recording_passes_in_small_pieces() -> None:
    media = bytes(range(256)) * 4096 * 3
    source, target, back = Meter(media), Meter(), Meter()
    details = encrypt(source, target, public_pem(KEY), KEY_SID)
    source_again = Meter(target.getvalue())
    decrypt(source_again, back, private_pem(KEY), details)
    assert back.getvalue() == media
    assert max(file.largest for file in (source, target, source_again, back)) <= 64 * 1024 + 16


@settings(max_examples=30, deadline=None)
@given(
    media=st.binary(min_size=1, max_size=300) | st.sampled_from([65535, 65537, 200_000]).map(some_bytes),
    cuts=st.lists(st.integers(1, 70_000), max_size=5),
    start=st.integers(0, 200_000),
    size=st.integers(1, 70_000),
)
def test_any_place_of_what_was_written_reads_back_as_it_was(
    media: bytes, cuts: list[int], start: int, size: int
) -> None:
    encryption, rest = Encryption(public_pem(KEY), KEY_SID), media
    with tempfile.TemporaryFile(buffering=0) as file:
        for cut in [*cuts, len(media)]:
            for piece in encryption.update(rest[:cut]):
                file.write(piece)
            rest = rest[cut:]
        file.write(encryption.finish())
        back = encryption.read_back(file.fileno(), len(media))
        back.seek(start)
        assert back.read(size) == media[start : start + size]
        back.seek(-min(7, len(media)), os.SEEK_END)
        assert (back.read(), back.read()) == (media[-7:], b"")
        back.seek(0)
        assert back.read(1) + back.read() == media
        file.seek(0)
        assert by_hand(file.read(), encryption.details) == media


def test_a_source_that_gives_little_at_a_time_is_read_to_its_end() -> None:
    media = bytes(range(256))
    target, back = io.BytesIO(), io.BytesIO()
    details = encrypt(Dribble(media), target, public_pem(KEY), KEY_SID)
    decrypt(Dribble(target.getvalue()), back, private_pem(KEY), details)
    assert back.getvalue() == media


@pytest.mark.parametrize(
    "spelling",
    [
        ("encryption_public_key_sid", "encryption_cek", "encryption_iv"),
        ("encryption_public_key_sid", "encryption_cek", "iv"),
        ("public_key_sid", "encrypted_cek", "iv"),
    ],
)
def test_all_of_twilios_spellings_are_read(spelling: tuple[str, str, str]) -> None:
    blob, details = sealed(b"media")
    values = (details["public_key_sid"], details["encrypted_cek"], details["iv"])
    respelled = dict(zip(spelling, values, strict=True))
    assert opened(blob, respelled) == b"media"
    assert opened(blob, respelled | {"type": "rsa-aes"}) == b"media"


def test_the_union_of_all_spellings_is_read() -> None:
    blob, details = sealed(b"media")
    union = details | {"encryption_cek": details["encrypted_cek"], "encryption_iv": details["iv"]}
    assert opened(blob, union) == b"media"


BLOB, DETAILS = sealed(b"forty-two bytes of a recording, or nearly.")


@settings(deadline=None, max_examples=60)
@given(bit=st.integers(0, len(BLOB) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    altered = bytearray(BLOB)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidTag):
        by_hand(bytes(altered), DETAILS)
    with pytest.raises(SealBroken):
        opened(bytes(altered), DETAILS)


@pytest.mark.parametrize("blob", [b"", b"x", BLOB[:15], BLOB[:16], BLOB[:-1], BLOB[1:], BLOB + b"\0", BLOB[:-16]])
def test_a_recording_that_is_cut_or_longer_is_refused(blob: bytes) -> None:
    with pytest.raises(SealBroken):
        opened(blob, DETAILS)


@pytest.mark.parametrize("name", ["encrypted_cek", "iv"])
def test_details_of_another_recording_are_refused(name: str) -> None:
    _, others = sealed(b"another")
    with pytest.raises(SealBroken):
        opened(BLOB, DETAILS | {name: others[name]})


def test_another_private_key_is_refused() -> None:
    with pytest.raises(SealBroken, match="another key pair"):
        opened(BLOB, DETAILS, private_pem(another_rsa_key()))


def test_a_wrapped_key_of_the_wrong_size_is_refused() -> None:
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    short = base64.b64encode(KEY.public_key().encrypt(b"k" * 16, oaep)).decode()
    with pytest.raises(SealBroken, match="256 bits"):
        opened(BLOB, DETAILS | {"encrypted_cek": short})


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"type": "rsa-aes"},
        DETAILS | {"type": "other"},
        DETAILS | {"iv": ""},
        DETAILS | {"iv": "?"},
        DETAILS | {"iv": "AAAA"},
        DETAILS | {"encrypted_cek": "ü"},
        {"encrypted_cek": DETAILS["encrypted_cek"]},
    ],
)
def test_unusable_details_are_refused(details: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        opened(BLOB, details)


def test_an_unreadable_private_key_is_refused() -> None:
    for key in (b"nonsense", public_pem(KEY).encode()):
        with pytest.raises(InvalidParameter):
            opened(BLOB, DETAILS, key)


def test_a_locked_private_key_opens_with_its_passphrase_only() -> None:
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    target = io.BytesIO()
    decrypt(io.BytesIO(BLOB), target, locked, DETAILS, passphrase=b"open sesame")
    assert target.getvalue().startswith(b"forty-two")
    for passphrase in (None, b"wrong"):
        with pytest.raises(InvalidParameter):
            decrypt(io.BytesIO(BLOB), io.BytesIO(), locked, DETAILS, passphrase=passphrase)


@pytest.mark.parametrize("pem", ["", "nonsense", private_pem(KEY).decode()])
def test_a_public_key_that_does_not_work_writes_nothing(pem: str) -> None:
    target = io.BytesIO()
    with pytest.raises(EncryptionFailed):
        encrypt(io.BytesIO(b"media"), target, pem, KEY_SID)
    assert target.getvalue() == b""
