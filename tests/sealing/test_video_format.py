"""Videos encrypted as Twilio does, opened here by hand and by OpenSSL's command line."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sealing.keys import another_rsa_key, private_pem, public_pem, rsa_key

from callreel.errors import EncryptionFailed, InvalidParameter, SealBroken
from callreel.model.encryption_details import details_for_callback, details_for_rest, envelope_of, is_envelope
from callreel.sealing.video_format import decrypt_video, encrypt_video

KEY, KEY_SID = rsa_key(), "CR" + "1" * 32
MKV = b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x88matroska"
MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(20)


def sealed(media: bytes, key=KEY) -> tuple[bytes, dict[str, str]]:  # type: ignore[no-untyped-def]
    target = io.BytesIO()
    details = encrypt_video(io.BytesIO(media), target, public_pem(key), KEY_SID)
    return target.getvalue(), details


def opened(blob: bytes, details: dict[str, str], key: bytes | None = None) -> bytes:
    target = io.BytesIO()
    decrypt_video(io.BytesIO(blob), target, key or private_pem(KEY), details)
    return target.getvalue()


def by_hand(blob: bytes, details: dict[str, str]) -> bytes:
    cek = KEY.decrypt(base64.b64decode(details["x-amz-key"], validate=True), PKCS1v15())
    decryptor = Cipher(AES(cek), CBC(base64.b64decode(details["x-amz-iv"], validate=True))).decryptor()
    padded = decryptor.update(blob) + decryptor.finalize()
    assert padded[-padded[-1] :] == bytes([padded[-1]]) * padded[-1]
    return padded[: -padded[-1]]


@settings(max_examples=20, deadline=None)
@given(rest=st.binary(max_size=100) | st.sampled_from([65535 - 24, 65536 - 24, 65537 - 24, 200_000]).map(bytes))
def test_anyone_with_the_private_key_can_open_it_without_us(rest: bytes) -> None:
    media = MKV + rest
    blob, details = sealed(media)
    assert len(blob) == (len(media) // 16 + 1) * 16
    assert details["x-amz-unencrypted-content-length"] == str(len(media))
    assert by_hand(blob, details) == media
    assert opened(blob, details) == media


def test_the_length_is_that_of_twilios_sample() -> None:
    blob, _ = sealed(MKV + bytes(746_518 - len(MKV)))
    assert len(blob) == 746_528


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl")
def test_openssl_alone_opens_it(tmp_path: Path) -> None:
    media = MKV + bytes(range(256)) * 40
    blob, details = sealed(media)
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    (tmp_path / "wrapped").write_bytes(base64.b64decode(details["x-amz-key"]))
    (tmp_path / "blob").write_bytes(blob)
    unwrap = ["openssl", "pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "wrapped", "-pkeyopt"]
    cek = subprocess.run([*unwrap, "rsa_padding_mode:pkcs1"], cwd=tmp_path, check=True, capture_output=True).stdout
    iv = base64.b64decode(details["x-amz-iv"]).hex()
    done = subprocess.run(
        ["openssl", "enc", "-d", "-aes-256-cbc", "-K", cek.hex(), "-iv", iv, "-in", "blob"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert done.stdout == media


@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_keys_wrap_as_well(bits: int) -> None:
    blob, details = sealed(MKV, rsa_key(bits))
    assert len(base64.b64decode(details["x-amz-key"])) == bits // 8
    assert opened(blob, details, private_pem(rsa_key(bits))) == MKV


def test_headers_of_a_bucket_are_read_as_they_come() -> None:
    blob, details = sealed(MP4)
    headers = {f"X-Amz-Meta-{name.title()}": value for name, value in envelope_of(details).items()}
    assert opened(blob, headers | {"Content-Type": "application/octet-stream"}) == MP4


BLOB, DETAILS = sealed(MKV + b"some sixty-four bytes of what somebody said in a video room." * 2)


@pytest.mark.parametrize(
    "blob", [b"", b"x", BLOB[:16], BLOB[:-16], BLOB[:-1], BLOB + b"\0", BLOB + BLOB[-16:], BLOB[16:]]
)
def test_a_recording_that_is_cut_or_longer_is_refused(blob: bytes) -> None:
    with pytest.raises(SealBroken):
        opened(blob, DETAILS)


@pytest.mark.parametrize("name", ["x-amz-key", "x-amz-iv"])
def test_metadata_of_another_recording_are_refused(name: str) -> None:
    _, others = sealed(MKV + b"another")
    with pytest.raises(SealBroken):
        opened(BLOB, DETAILS | {name: others[name]})


def test_another_private_key_is_refused() -> None:
    with pytest.raises(SealBroken):
        opened(BLOB, DETAILS, private_pem(another_rsa_key()))


def test_what_is_no_container_is_refused_before_much_is_written() -> None:
    blob, details = sealed(b"x" * 300_000)
    target = io.BytesIO()
    with pytest.raises(SealBroken, match="Matroska"):
        decrypt_video(io.BytesIO(blob), target, private_pem(KEY), details)
    assert target.getvalue() == b""


def test_a_bit_flipped_in_the_middle_is_not_found_for_cbc_has_no_tag() -> None:
    altered = bytearray(BLOB)
    altered[len(BLOB) // 2] ^= 1
    assert opened(bytes(altered), DETAILS) != by_hand(BLOB, DETAILS)


@pytest.mark.parametrize(
    "changed",
    [
        {"x-amz-key": "!"},
        {"x-amz-iv": "AAAA"},
        {"x-amz-iv": "ä"},
        {"x-amz-unencrypted-content-length": "-1"},
        {"x-amz-unencrypted-content-length": ""},
        {"x-amz-unencrypted-content-length": "9" * 30},
    ],
)
def test_metadata_that_cannot_be_read_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        opened(BLOB, DETAILS | changed)


def test_a_key_that_is_none_writes_nothing() -> None:
    target = io.BytesIO()
    with pytest.raises(EncryptionFailed):
        encrypt_video(io.BytesIO(MKV), target, "no key", KEY_SID)
    assert target.getvalue() == b""


def test_video_details_are_shown_in_no_voice_answer() -> None:
    assert is_envelope(DETAILS)
    assert details_for_rest(DETAILS) is None
    assert details_for_callback(DETAILS) is None
