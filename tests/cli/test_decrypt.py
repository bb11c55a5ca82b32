from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from callreel.sealing.twilio_format import encrypt
from tests.cli.conftest import Callreel, document

AUDIO = b"RIFF" + bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Case:
    """An encrypted recording with its details and the key that opens it."""

    def __init__(self, home: Path, key: rsa.RSAPrivateKey, callreel: Callreel) -> None:
        self._home, self._callreel = home, callreel
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        sealed = io.BytesIO()
        self.details = encrypt(io.BytesIO(AUDIO), sealed, public, "CR" + "1" * 32)
        (home / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (home / "call.sealed").write_bytes(sealed.getvalue())
        (home / "details.json").write_text(json.dumps(self.details))
        self.sealed, self.out = home / "call.sealed", home / "out" / "call.wav"
        self.out.parent.mkdir()

    def decrypt(self, *more: str) -> Result:
        files = ("--private-key", "key.pem", "--recording", "call.sealed", "--details", "details.json")
        return self._callreel("decrypt", *files, "-o", str(self.out), "--json", *more)

    def left(self) -> list[str]:
        return [path.name for path in self.out.parent.iterdir()]


@pytest.fixture
def case(tmp_path: Path, key: rsa.RSAPrivateKey, callreel: Callreel) -> Case:
    return Case(tmp_path, key, callreel)


def test_a_recording_is_opened_and_its_tag_verified(case: Case) -> None:
    assert document(case.decrypt()) == {"output": str(case.out), "bytes": len(AUDIO), "verified": True}
    assert case.out.read_bytes() == AUDIO
    assert case.left() == ["call.wav"]


def test_a_whole_recording_resource_will_do_for_details(case: Case, tmp_path: Path) -> None:
    (tmp_path / "details.json").write_text(json.dumps({"sid": "RE…", "encryption_details": case.details}))
    document(case.decrypt())
    assert case.out.read_bytes() == AUDIO


@pytest.mark.parametrize("at", [0, -1])
def test_one_changed_bit_leaves_nothing_behind(case: Case, at: int) -> None:
    sealed = bytearray(case.sealed.read_bytes())
    sealed[at] ^= 1
    case.sealed.write_bytes(sealed)
    refused = case.decrypt()
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "tag" in refused.stderr
    assert case.left() == []


def test_one_flipped_bit_anywhere_is_refused(case: Case, pytestconfig: pytest.Config) -> None:
    rng, sealed = random.Random(7), case.sealed.read_bytes()
    for _ in range(pytestconfig.getoption("flips")):
        bit, altered = rng.randrange(len(sealed) * 8), bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        case.sealed.write_bytes(altered)
        refused = case.decrypt()
        assert (refused.exit_code, refused.stdout, case.left()) == (1, "", []), f"bit {bit}"


def test_a_file_that_is_there_is_not_replaced_unless_forced(case: Case) -> None:
    case.out.write_bytes(b"mine")
    assert case.decrypt().exit_code == 1
    assert case.out.read_bytes() == b"mine"
    document(case.decrypt("--force"))
    assert case.out.read_bytes() == AUDIO


def test_a_failure_leaves_the_file_that_was_there(case: Case) -> None:
    case.out.write_bytes(b"mine")
    case.sealed.write_bytes(b"too short")
    assert case.decrypt("--force").exit_code == 1
    assert case.out.read_bytes() == b"mine"
    assert case.left() == ["call.wav"]


@pytest.mark.parametrize("left", [0, 15, 16, 1000, -1])
def test_what_was_cut_short_leaves_nothing_behind(case: Case, left: int) -> None:
    case.sealed.write_bytes(case.sealed.read_bytes()[:left])
    refused = case.decrypt()
    assert (refused.exit_code, refused.stdout, case.left()) == (1, "", [])
    assert "cut short" in refused.stderr


@pytest.mark.parametrize("names", [["encrypted_cek"], ["iv"], ["encrypted_cek", "iv"]])
def test_details_that_name_another_recordings_key_leave_nothing_behind(
    case: Case, tmp_path: Path, names: list[str]
) -> None:
    public = load_pem_private_key((tmp_path / "key.pem").read_bytes(), None).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    others = encrypt(io.BytesIO(AUDIO), io.BytesIO(), pem, "CR" + "1" * 32)
    (tmp_path / "details.json").write_text(json.dumps(case.details | {name: others[name] for name in names}))
    refused = case.decrypt()
    assert (refused.exit_code, refused.stdout, case.left()) == (1, "", [])
    assert "the details are another's" in refused.stderr


def test_a_missing_file_is_wrong_usage(case: Case) -> None:
    case.sealed.unlink()
    assert case.decrypt().exit_code == 2
