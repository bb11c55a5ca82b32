"""`from callreel import decrypt_recording`: verified to the last byte, or not there."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SHA256

from callreel import decrypt_recording
from callreel.errors import InvalidParameter, SealBroken
from callreel.model.encryption_details import details_for_callback, details_for_rest
from callreel.sealing.twilio_format import encrypt
from callreel.sealing.video_format import encrypt_video
from tests.sealing.keys import another_rsa_key, private_pem, public_pem, rsa_key

KEY, KEY_SID = rsa_key(2048), "CR" + "1" * 32
MEDIA = random.Random(5).randbytes(200_000)


def sealed(media: bytes = MEDIA, *, bits: int = 2048) -> tuple[bytes, dict[str, str]]:
    target = io.BytesIO()
    details = encrypt(io.BytesIO(media), target, public_pem(rsa_key(bits)), KEY_SID)
    return target.getvalue(), details


BLOB, DETAILS = sealed()


def left_in(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_a_recording_is_opened_from_a_path_and_from_a_stream(tmp_path: Path, bits: int) -> None:
    blob, details = sealed(bits=bits)
    (tmp_path / "in.wav").write_bytes(blob)
    for source in (tmp_path / "in.wav", io.BytesIO(blob)):
        size = decrypt_recording(source, tmp_path / "out.wav", private_key=private_pem(rsa_key(bits)), details=details)
        assert size == len(MEDIA)
        assert (tmp_path / "out.wav").read_bytes() == MEDIA
    assert left_in(tmp_path) == ["in.wav", "out.wav"]
    assert (tmp_path / "out.wav").stat().st_mode & 0o777 == 0o600


def test_every_spelling_that_callreel_gives_opens_it(tmp_path: Path) -> None:
    rest, callback = details_for_rest(DETAILS), details_for_callback(DETAILS)
    assert rest is not None
    assert callback is not None
    only_rest = {name: rest[name] for name in ("encryption_public_key_sid", "encryption_cek", "encryption_iv")}
    for details in (rest, only_rest, json.loads(callback)):
        decrypt_recording(io.BytesIO(BLOB), tmp_path / "out", private_key=private_pem(KEY), details=details)
        assert (tmp_path / "out").read_bytes() == MEDIA


def test_a_video_is_opened_by_its_metadata(tmp_path: Path) -> None:
    target, media = io.BytesIO(), b"\x1a\x45\xdf\xa3" + MEDIA
    details = encrypt_video(io.BytesIO(media), target, public_pem(KEY), KEY_SID)
    decrypt_recording(
        io.BytesIO(target.getvalue()), tmp_path / "out.mkv", private_key=private_pem(KEY), details=details
    )
    assert (tmp_path / "out.mkv").read_bytes() == media


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl")
def test_openssl_unwraps_the_key(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    (tmp_path / "wrapped").write_bytes(base64.b64decode(DETAILS["encrypted_cek"]))
    modes = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")
    command = ["openssl", "pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "wrapped"]
    for mode in modes:
        command += ["-pkeyopt", mode]
    cek = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    assert AESGCM(cek).decrypt(base64.b64decode(DETAILS["iv"]), BLOB, None) == MEDIA


def test_one_flipped_bit_in_each_of_many_recordings_is_refused(tmp_path: Path) -> None:
    rng = random.Random(11)  # benchmarks/sealing.py does the same to 500
    for _ in range(60):
        blob, details = sealed(rng.randbytes(rng.randrange(1, 3000)))
        altered, bit = bytearray(blob), rng.randrange(len(blob) * 8)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken, match="does not match its tag"):
            decrypt_recording(
                io.BytesIO(bytes(altered)), tmp_path / "out.wav", private_key=private_pem(KEY), details=details
            )
        assert left_in(tmp_path) == []
        decrypt_recording(io.BytesIO(blob), tmp_path / "out.wav", private_key=private_pem(KEY), details=details)
        (tmp_path / "out.wav").unlink()


@pytest.mark.parametrize("blob", [b"", BLOB[:15], BLOB[:-1], BLOB[: len(BLOB) // 2], BLOB + b"\0", b"\0" + BLOB])
def test_what_is_cut_short_leaves_the_target_as_it_was(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "out.wav").write_bytes(b"what was there before")
    with pytest.raises(SealBroken):
        decrypt_recording(io.BytesIO(blob), tmp_path / "out.wav", private_key=private_pem(KEY), details=DETAILS)
    assert (tmp_path / "out.wav").read_bytes() == b"what was there before"
    assert left_in(tmp_path) == ["out.wav"]


def test_details_of_another_recording_and_another_key_leave_nothing(tmp_path: Path) -> None:
    _, others = sealed()
    for details, key in ((others, KEY), (DETAILS, another_rsa_key())):
        with pytest.raises(SealBroken):
            decrypt_recording(io.BytesIO(BLOB), tmp_path / "out", private_key=private_pem(key), details=details)
    with pytest.raises(InvalidParameter):
        decrypt_recording(io.BytesIO(BLOB), tmp_path / "out", private_key=b"no key", details=DETAILS)
    assert left_in(tmp_path) == []


def test_where_files_must_have_names_nothing_is_left_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_EXCL)  # what a file system without them answers: EISDIR
    with pytest.raises(SealBroken):
        decrypt_recording(io.BytesIO(BLOB[:-1]), tmp_path / "out", private_key=private_pem(KEY), details=DETAILS)
    assert left_in(tmp_path) == []
    decrypt_recording(io.BytesIO(BLOB), tmp_path / "out", private_key=private_pem(KEY), details=DETAILS)
    assert left_in(tmp_path) == ["out"]


CHILD = """
import sys, json
from callreel import decrypt_recording
key, details, target = sys.argv[1:]
decrypt_recording(sys.stdin.buffer, target, private_key=open(key, "rb").read(), details=json.loads(details))
"""


def child(tmp_path: Path, details: dict[str, str], *, memory: int = resource.RLIM_INFINITY) -> subprocess.Popen[bytes]:
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    source = Path(__file__).parent.parent / "src"
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "key.pem"), json.dumps(details), str(tmp_path / "out.wav")],
        stdin=subprocess.PIPE,
        env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"]},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )


def test_a_process_killed_half_way_leaves_no_plaintext(tmp_path: Path) -> None:
    process = child(tmp_path, DETAILS)
    assert process.stdin is not None
    process.stdin.write(BLOB[:-20])
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _has_unnamed_file(process.pid):
        time.sleep(0.02)
    assert _has_unnamed_file(process.pid), "the plaintext goes to a file without a name"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left_in(tmp_path) == ["key.pem"]


def _has_unnamed_file(pid: int) -> bool:
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(link.endswith("(deleted)") for link in links)


def test_a_recording_larger_than_memory_is_opened(tmp_path: Path) -> None:
    allowed = 768 << 20  # of address space; the interpreter and its libraries take most of it
    size = 1 << 30
    piece = bytes(1 << 20)
    cek, iv = os.urandom(32), os.urandom(12)
    wrapped = KEY.public_key().encrypt(cek, padding.OAEP(padding.MGF1(SHA256()), SHA256(), None))
    details = {
        "type": "rsa-aes",
        "encrypted_cek": base64.b64encode(wrapped).decode(),
        "iv": base64.b64encode(iv).decode(),
    }
    process = child(tmp_path, details, memory=allowed)
    assert process.stdin is not None
    encryptor = Cipher(AES(cek), GCM(iv)).encryptor()
    for _ in range(size // len(piece)):
        process.stdin.write(encryptor.update(piece))
    encryptor.finalize()
    process.stdin.write(encryptor.tag)
    process.stdin.close()
    assert process.wait(120) == 0
    assert (tmp_path / "out.wav").stat().st_size == size
    (tmp_path / "out.wav").unlink()
