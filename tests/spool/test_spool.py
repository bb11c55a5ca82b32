"""The spool: durable or not kept, never overwritten, given back."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from callreel.errors import (
    BlobMissing,
    BodyTooLarge,
    InvalidSid,
    Misconfigured,
    NameTaken,
    NotAudio,
    SpoolFailed,
    SpoolFull,
)
from callreel.model.sid import RecordingSid, mint_sid
from callreel.spool import spool as spool_module
from callreel.spool.spool import GATHER_BYTES, Digests, Spool

SID = RecordingSid("RE" + "1" * 32)
LIMIT = 10 << 20


def fine(file: BinaryIO, size_bytes: int) -> int:
    return size_bytes


def files(spool: Spool) -> list[str]:
    return sorted(p.name for d in (spool.tmp, spool.ready, spool.quarantine) for p in d.iterdir())


async def keep(spool: Spool, body: bytes, sid: RecordingSid = SID) -> Digests:
    async with spool.draft(sid, limit_bytes=LIMIT) as draft:
        await draft.write(body)
        _, digests = await draft.keep(fine)
    return digests


def copy(source: BinaryIO, target: BinaryIO) -> str:
    target.write(b"sealed:" + source.read())
    return "details"


# --- Receiving -------------------------------------------------------------------------------------------------------


async def test_what_is_kept_instead_is_hashed_judged_and_alone(spool: Spool) -> None:
    seen: list[Digests] = []

    def shorter(file: BinaryIO, judged: int, came: Digests) -> list[bytes]:
        seen.append(came)
        file.seek(1)
        return [file.read(3), file.read(2)]

    async with spool.draft(SID, limit_bytes=LIMIT) as draft:
        await draft.write(b"0123456789")
        judged, digests = await draft.keep(fine, shorter)
    assert spool.path_of(SID).read_bytes() == b"12345"
    assert (judged, digests.size_bytes) == (5, 5)
    assert digests.sha256 == hashlib.sha256(b"12345").hexdigest()
    assert digests.md5 == hashlib.md5(b"12345").hexdigest()
    assert seen[0].sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert files(spool) == [SID]


async def test_a_rewriting_that_fails_leaves_neither_file(spool: Spool) -> None:
    def refused(file: BinaryIO, judged: int, came: Digests) -> Iterator[bytes]:
        yield file.read(1)
        raise OSError(errno.ENOSPC, "no space")

    async with spool.draft(SID, limit_bytes=LIMIT) as draft:
        await draft.write(b"0123456789")
        with pytest.raises(SpoolFailed):
            await draft.keep(fine, refused)
    assert files(spool) == []


@pytest.mark.parametrize("size", [0, 1, GATHER_BYTES - 1, GATHER_BYTES, 3 * GATHER_BYTES + 7])
async def test_what_is_kept_is_what_came_and_is_hashed(spool: Spool, size: int) -> None:
    body = os.urandom(size)
    async with spool.draft(SID, limit_bytes=LIMIT) as draft:
        for start in range(0, size, 70_001):
            await draft.write(body[start : start + 70_001])
        judged, digests = await draft.keep(fine)
    assert spool.path_of(SID).read_bytes() == body
    assert judged == digests.size_bytes == size
    assert digests.sha256 == hashlib.sha256(body).hexdigest()
    assert digests.md5 == hashlib.md5(body).hexdigest()
    assert spool.path_of(SID).stat().st_mode & 0o777 == 0o600
    assert files(spool) == [SID]


async def test_a_draft_that_is_left_leaves_nothing(spool: Spool) -> None:
    async with spool.draft(SID, limit_bytes=LIMIT) as draft:
        await draft.write(b"x" * (GATHER_BYTES + 1))
    assert files(spool) == []


async def test_what_the_judge_refuses_is_not_kept(spool: Spool) -> None:
    def refuse(file: BinaryIO, size_bytes: int) -> None:
        raise NotAudio(f"{file.read()!r} of {size_bytes}")

    async with spool.draft(SID, limit_bytes=LIMIT) as draft:
        await draft.write(b"abc")
        with pytest.raises(NotAudio, match="b'abc' of 3"):
            await draft.keep(refuse)
    assert files(spool) == []


async def test_a_body_beyond_the_limit_is_refused_and_not_kept(spool: Spool) -> None:
    async with spool.draft(SID, limit_bytes=10) as draft:
        await draft.write(b"x" * 10)
        with pytest.raises(BodyTooLarge):
            await draft.write(b"x")
    assert files(spool) == []


async def test_a_taken_name_is_never_overwritten(spool: Spool) -> None:
    await keep(spool, b"first")
    with pytest.raises(NameTaken):
        await keep(spool, b"second")
    assert spool.path_of(SID).read_bytes() == b"first"
    assert files(spool) == [SID]


async def test_no_name_is_built_from_what_is_no_sid(spool: Spool) -> None:
    for name in ("../../etc/passwd", "RE", "RE" + "1" * 31 + "/", ""):
        with pytest.raises(InvalidSid):
            spool.draft(RecordingSid(name), limit_bytes=1)
        with pytest.raises(InvalidSid):
            spool.path_of(name)
        with pytest.raises(InvalidSid):
            spool.sealed_path_of(name, "a" * 64)


@pytest.mark.parametrize("failing", ["file", "directory"])
async def test_after_a_failed_fsync_nothing_is_kept_and_it_is_not_tried_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    real, calls = os.fsync, []

    def refuse(descriptor: int) -> None:
        is_directory = os.path.isdir(f"/proc/self/fd/{descriptor}")
        if is_directory == (failing == "directory"):
            calls.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SpoolFailed):
        await keep(spool, b"abc")
    assert len(calls) == 1
    assert files(spool) == []


async def test_a_full_disk_keeps_nothing(tmp_path: Path) -> None:
    """In a process of its own, where a file may not grow beyond 300 kB."""
    script = f"""
import asyncio, resource, signal
from pathlib import Path
from callreel.errors import SpoolFailed
from callreel.spool.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

async def main():
    spool = Spool(Path({str(tmp_path / "spool")!r}))
    spool.open()
    try:
        async with spool.draft({SID!r}, limit_bytes=1 << 30) as draft:
            for _ in range(10):
                await draft.write(b"x" * 100_000)
            await draft.keep(lambda file, size: None)
    except SpoolFailed as why:
        print(type(why.__cause__).__name__, list(spool.tmp.iterdir()), list(spool.ready.iterdir()))
    spool.close()
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("OSError [] []\n", "")


async def test_a_request_that_is_cancelled_while_it_is_kept_leaves_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slowly(file: BinaryIO, size_bytes: int) -> None:
        reached.set()
        go_on.wait(10)

    async def receive() -> None:
        async with spool.draft(SID, limit_bytes=LIMIT) as draft:
            await draft.write(b"abc")
            await draft.keep(slowly)

    request = asyncio.create_task(receive())
    await asyncio.to_thread(reached.wait, 10)
    request.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert files(spool) == []


async def test_many_drafts_share_directory_syncs_and_all_are_durable(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callreel.spool import directory_sync

    synced: list[Path] = []
    real = directory_sync.sync_directory
    monkeypatch.setattr(directory_sync, "sync_directory", lambda path: synced.append(path) or real(path))
    sids = [RecordingSid(mint_sid("RE")) for _ in range(40)]
    await asyncio.gather(*(keep(spool, b"x", sid) for sid in sids))
    assert files(spool) == sorted(sids)
    assert 1 <= len(synced) < 40


def test_no_room_is_said_before_the_body(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "free_bytes", lambda path: (2_000_000_000, 100_000_000_000))
    spool.check_room(900_000_000)
    with pytest.raises(SpoolFull):
        spool.check_room(1_000_000_000)


def test_a_small_disk_keeps_a_twentieth_free(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "free_bytes", lambda path: (100, 1000))
    spool.check_room(50)
    with pytest.raises(SpoolFull):
        spool.check_room(51)


# --- Sealing ---------------------------------------------------------------------------------------------------------


async def test_ciphertext_lies_beside_the_media_under_a_name_of_its_own(spool: Spool) -> None:
    await keep(spool, b"abc")
    details, digests = await spool.write_sealed(SID, copy)
    blob = spool.blob(SID, sealed=True, size_bytes=digests.size_bytes, sha256=digests.sha256, md5=digests.md5)
    assert details == "details"
    assert blob.read(0, 100) == b"sealed:abc"
    assert digests.sha256 == hashlib.sha256(b"sealed:abc").hexdigest()
    assert spool.path_of(SID).read_bytes() == b"abc"
    assert list(spool.tmp.iterdir()) == []


async def test_a_second_sealing_does_not_touch_the_first(spool: Spool) -> None:
    def another(source: BinaryIO, target: BinaryIO) -> None:
        target.write(b"another:" + source.read())

    await keep(spool, b"abc")
    _, first = await spool.write_sealed(SID, copy)
    await spool.write_sealed(SID, another)
    assert spool.sealed_path_of(SID, first.sha256).read_bytes() == b"sealed:abc"


async def test_sealing_nothing_says_so(spool: Spool) -> None:
    with pytest.raises(BlobMissing):
        await spool.write_sealed(SID, copy)
    assert files(spool) == []


async def test_a_sealing_that_fails_leaves_the_media_alone(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: BinaryIO, target: BinaryIO) -> None:
        target.write(b"half")
        raise ValueError("no")

    await keep(spool, b"abc")
    with pytest.raises(ValueError, match="no"):
        await spool.write_sealed(SID, fail)
    assert files(spool) == [SID]

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SpoolFailed):
        await spool.write_sealed(SID, copy)
    assert files(spool) == [SID]


# --- Reading and giving back -----------------------------------------------------------------------------------------


async def test_a_blob_that_is_gone_is_missing_and_one_that_cannot_be_read_is_not(spool: Spool) -> None:
    digests = await keep(spool, b"abc")
    blob = spool.blob(SID, sealed=False, size_bytes=3, sha256=digests.sha256, md5=digests.md5)
    assert (blob.read(1, 5), blob.read(3, 5)) == (b"bc", b"")
    blob.path.unlink()
    with pytest.raises(BlobMissing):
        blob.read(0, 1)
    blob.path.mkdir()  # reading a directory fails as reading a broken disk does
    with pytest.raises(SpoolFailed):
        blob.read(0, 1)


async def test_releasing_twice_is_the_same_as_once(spool: Spool) -> None:
    await keep(spool, b"abc")
    _, sealed = await spool.write_sealed(SID, copy)
    other = RecordingSid(mint_sid("RE"))
    await keep(spool, b"other", other)
    for _ in range(2):
        await spool.release(SID, blob_sha256=sealed.sha256)
        assert files(spool) == [other]


async def test_a_disk_that_will_not_let_go_says_so(spool: Spool) -> None:
    spool.path_of(SID).mkdir()  # unlink of a directory is refused
    with pytest.raises(SpoolFailed):
        await spool.release(SID)


# --- The directory ---------------------------------------------------------------------------------------------------


def test_the_name_of_a_spool_stays(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        spool = Spool(tmp_path / "spool")
        spool.open()
        names.add(spool.host_id)
        spool.close()
    assert len(names) == 1
    assert len(names.pop()) == 12


def test_a_damaged_name_is_not_taken_for_another_host(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "host-id").write_text("")
    spool = Spool(tmp_path / "spool")
    with pytest.raises(Misconfigured, match="host-id"):
        spool.open()
    spool.close()


def test_two_processes_that_open_a_new_spool_agree_on_its_name(tmp_path: Path) -> None:
    spools = [Spool(tmp_path / "spool") for _ in range(8)]
    threads = [threading.Thread(target=spool.open) for spool in spools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({spool.host_id for spool in spools}) == 1
    assert spools[0].host_id
    assert sorted(p.name for p in (tmp_path / "spool").iterdir()) == ["host-id", "quarantine", "ready", "tmp"]
    for spool in spools:
        spool.close()


def test_a_spool_that_cannot_be_made_is_a_misconfiguration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "spool")
    with pytest.raises(Misconfigured, match="cannot be used"):
        spool.open()
    spool.close()


def test_one_worker_works_on_a_spool(tmp_path: Path, spool: Spool) -> None:
    spool.lock_for_work()
    second = Spool(spool.root)
    second.open()
    with pytest.raises(Misconfigured, match=f"pid {os.getpid()}"):
        second.lock_for_work()
    spool.close()
    second.lock_for_work()
    second.close()
