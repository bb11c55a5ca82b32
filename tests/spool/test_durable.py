"""The system calls that make a file durable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callreel.spool import durable
from callreel.spool.durable import (
    create_exclusively,
    free_bytes,
    make_directory,
    remove,
    rename_without_replacing,
    sync_directory,
)


def test_a_new_file_is_only_ours(tmp_path: Path) -> None:
    os.close(create_exclusively(tmp_path / "a"))
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"there")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "link"):
        with pytest.raises(FileExistsError):
            create_exclusively(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("has_renameat2", [True, False])
def test_a_taken_name_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_renameat2: bool
) -> None:
    if not has_renameat2:  # as on NFS, or another system's C library
        monkeypatch.setattr(durable, "_renameat2", None)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "taken").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        rename_without_replacing(tmp_path / "new", tmp_path / "taken")
    assert (tmp_path / "taken").read_bytes() == b"old"
    assert (tmp_path / "new").read_bytes() == b"new"
    rename_without_replacing(tmp_path / "new", tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == b"new"
    assert not (tmp_path / "new").exists()


def test_renaming_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rename_without_replacing(tmp_path / "none", tmp_path / "free")


def test_directories_are_made_with_their_parents_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync_directory", lambda path: synced.append(path) or sync_directory(path))
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_removing_twice_is_the_same_as_once(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert remove(tmp_path / "a")
    assert not remove(tmp_path / "a")


def test_free_space_is_less_than_the_whole(tmp_path: Path) -> None:
    free, total = free_bytes(tmp_path)
    assert 0 < free <= total
