"""Removals share a thread and a sync, and each is answered for itself."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callreel.spool import directory_sync
from callreel.spool.directory_sync import DirectorySync


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every directory that was synced, in order."""
    seen: list[Path] = []
    really = directory_sync.sync_directory

    def note(path: Path) -> None:
        seen.append(path)
        really(path)

    monkeypatch.setattr(directory_sync, "sync_directory", note)
    return seen


async def test_files_removed_at_the_same_time_share_one_sync(tmp_path: Path, syncs: list[Path]) -> None:
    paths = [tmp_path / str(i) for i in range(20)]
    for path in paths:
        path.touch()
    with ThreadPoolExecutor(1) as threads:
        directory = DirectorySync(tmp_path, threads)
        await asyncio.gather(*[directory.remove([path]) for path in paths])
    assert list(tmp_path.iterdir()) == []
    assert len(syncs) == 1


async def test_a_file_that_was_gone_already_costs_no_sync(tmp_path: Path, syncs: list[Path]) -> None:
    with ThreadPoolExecutor(1) as threads:
        await DirectorySync(tmp_path, threads).remove([tmp_path / "gone"])
    assert syncs == []


async def test_one_that_cannot_be_removed_fails_alone(tmp_path: Path, syncs: list[Path]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with ThreadPoolExecutor(1) as threads:
        directory = DirectorySync(tmp_path, threads)
        gone, refused = await asyncio.gather(
            directory.remove([tmp_path / "file"]), directory.remove([tmp_path / "directory"]), return_exceptions=True
        )
    assert gone is None
    assert isinstance(refused, OSError)
    assert not (tmp_path / "file").exists()
    assert len(syncs) == 1


async def test_a_mere_wait_always_syncs(tmp_path: Path, syncs: list[Path]) -> None:
    with ThreadPoolExecutor(1) as threads:
        await DirectorySync(tmp_path, threads).wait()
    assert syncs == [tmp_path]
