"""The master key: given, kept, or made once."""

from __future__ import annotations

import base64
import multiprocessing
import os
from pathlib import Path

import pytest

from callreel.errors import Misconfigured
from callreel.sealing.master_key import MasterKey, load_master_key, parse_master_key

SECRET = bytes(range(224, 256))  # its Base64 has both signs that differ in the URL-safe alphabet


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET).decode(),
        SECRET.hex(),
        SECRET.hex().upper(),
        f"  {SECRET.hex()}\n",
    ],
)
def test_a_given_key_is_read_in_hex_or_base64_and_no_file_is_made(text: str, tmp_path: Path) -> None:
    assert load_master_key(tmp_path, text).secret == SECRET
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", " ", "hunter2", SECRET.hex()[:-1], SECRET.hex() + "0", "é" * 43, "A" * 44, "x" * 64]
)
def test_a_key_of_another_shape_is_refused_without_echo(text: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        parse_master_key(text)
    assert not text.strip() or text.strip() not in refused.value.message


def test_a_missing_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    made = load_master_key(tmp_path / "data", None)
    path = tmp_path / "data" / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]
    assert load_master_key(tmp_path / "data", None) == made
    assert len(set(made.secret)) > 8


def test_two_installations_have_different_keys(tmp_path: Path) -> None:
    assert load_master_key(tmp_path / "a", None) != load_master_key(tmp_path / "b", None)


def test_a_loose_umask_does_not_open_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_master_key(tmp_path, None)
    finally:
        os.umask(before)
    assert (tmp_path / "master.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620])
def test_a_file_others_can_open_is_refused(mode: int, tmp_path: Path) -> None:
    load_master_key(tmp_path, None)
    (tmp_path / "master.key").chmod(mode)
    with pytest.raises(Misconfigured, match="chmod 600"):
        load_master_key(tmp_path, None)


@pytest.mark.parametrize("content", [b"", b"\n", b"AAAA", b"\xff" * 40, b"A" * 5000])
def test_a_damaged_file_is_refused_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match="backup"):
        load_master_key(tmp_path, None)
    assert path.read_bytes() == content


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "master.key").mkdir(mode=0o700)
    with pytest.raises(Misconfigured):
        load_master_key(tmp_path, None)


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Misconfigured):
        load_master_key(tmp_path / "data", None)


def _load(path: Path, _: int) -> bytes:
    return load_master_key(path, None).secret


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.starmap(_load, [(tmp_path, n) for n in range(16)])
    assert len(set(keys)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_ids_tell_keys_apart_without_telling_the_key() -> None:
    key, other = MasterKey(SECRET), MasterKey.mint()
    assert key.id == MasterKey(SECRET).id != other.id
    assert key.id not in key.secret
    with pytest.raises(Misconfigured):
        MasterKey(b"short")
