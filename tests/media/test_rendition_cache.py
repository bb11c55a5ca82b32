"""Renditions are encoded once, read while they grow, and leave nothing behind when they must not stay."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callreel.errors import (
    BlobAltered,
    InvalidSid,
    Misconfigured,
    NotFound,
    PromiseBroken,
    RangeNotSatisfiable,
    RenditionUnavailable,
)
from callreel.media.mp3 import Mp3Rendition, serve_mp3
from callreel.media.rendition_cache import ENCODERS, RenditionCache
from callreel.media.wav import inspect_wav_file
from callreel.rehearsal.speech import speech

CHUNK = 1000
PLENTY = 1 << 30


def sid(number: int) -> str:
    return f"RE{number:032x}"


class Paced:
    """A rendition whose chunks come when the test lets them. Counts how often it is encoded."""

    def __init__(self, chunks: int = 10, *, free: bool = False, ends_with: Exception | None = None) -> None:
        self.body = b"".join(bytes([65 + n % 26]) * CHUNK for n in range(chunks))
        self.size_bytes = len(self.body)
        self.encodings = 0
        self.given = 0
        self.ended = threading.Event()
        self._ends_with = ends_with
        self._allowed = threading.Semaphore(chunks + 1 if free else 0)

    def allow(self, chunks: int) -> None:
        self._allowed.release(chunks)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        self.encodings += 1
        try:
            for at in range(0, self.size_bytes, CHUNK):
                assert self._allowed.acquire(timeout=20), "the test never let this chunk through"
                self.given += 1
                yield self.body[at : at + CHUNK]
            if self._ends_with is not None:
                raise self._ends_with
        finally:
            self.ended.set()


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[RenditionCache]:
    opened = RenditionCache(tmp_path / "cache", PLENTY)
    opened.prepare()
    yield opened
    await opened.close()


def files(root: Path) -> list[str]:
    return sorted(p.name for folder in ("kept", "tmp") for p in (root / "cache" / folder).iterdir())


def open_descriptors(root: Path) -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass
    return [target for target in found if target.startswith((f"{root}/cache/kept", f"{root}/cache/tmp"))]


async def read(cache, of, rendition, start=0, stop=None, variant="mono.mp3") -> bytes:
    async with cache.open(of, variant, rendition) as lease:
        return b"".join([chunk async for chunk in lease.chunks(start, stop)])


async def settled(cache: RenditionCache) -> None:
    """Until no encoding is under way."""
    while cache._running:
        await asyncio.wait([r.task for r in cache._running])
        await asyncio.sleep(0)


def mp3(path: Path, seconds: float, seed: int = 1) -> Mp3Rendition:
    path.write_bytes(speech(seconds, seed=seed))
    return serve_mp3(path, inspect_wav_file(path))


async def test_a_real_mp3_is_the_same_through_the_cache_and_from_the_file(cache, tmp_path):
    rendition = mp3(tmp_path / "a.wav", 40)
    whole = b"".join(rendition.chunks())
    assert await read(cache, sid(1), rendition) == whole
    await settled(cache)
    assert files(tmp_path) == [f"{sid(1)}.mono.mp3"]
    (tmp_path / "a.wav").unlink()
    assert await read(cache, sid(1), rendition) == whole
    assert await read(cache, sid(1), rendition, 1000, 70_000) == whole[1000:70_000]


async def test_forty_readers_of_overlapping_ranges_share_one_encoding(cache, tmp_path):
    rendition, sound = Paced(50), mp3(tmp_path / "a.wav", 30)
    whole = b"".join(sound.chunks())
    ranges = [(n * 700, 50_000 - n * 300) for n in range(40)]
    readers = [asyncio.create_task(read(cache, sid(1), rendition, *r)) for r in ranges]
    real = [asyncio.create_task(read(cache, sid(2), sound, n * 100, n * 100 + 60_000)) for n in range(40)]
    rendition.allow(50)
    assert await asyncio.gather(*readers) == [rendition.body[start:stop] for start, stop in ranges]
    assert rendition.encodings == 1
    assert await asyncio.gather(*real) == [whole[n * 100 : n * 100 + 60_000] for n in range(40)]


async def test_the_first_bytes_come_while_the_rest_is_encoded(cache):
    rendition = Paced(10)
    async with cache.open(sid(1), "mono.mp3", rendition) as lease:
        chunks = lease.chunks()
        rendition.allow(1)
        assert await anext(chunks) == rendition.body[:CHUNK]
        assert rendition.given == 1
        rendition.allow(9)
        assert b"".join([c async for c in chunks]) == rendition.body[CHUNK:]


async def test_a_range_far_ahead_waits_for_the_encoder(cache):
    rendition = Paced(10)
    reader = asyncio.create_task(read(cache, sid(1), rendition, 8500, 9500))
    rendition.allow(9)
    async with cache.open(sid(1), "mono.mp3", rendition) as lease:
        async for _ in lease.chunks(8000, 8001):
            pass
        assert not reader.done()
        rendition.allow(1)
        assert await reader == rendition.body[8500:9500]


async def test_a_range_ends_without_waiting_for_what_lies_behind_it(cache):
    rendition = Paced(10)
    rendition.allow(3)
    assert await read(cache, sid(1), rendition, 500, 2500) == rendition.body[500:2500]
    rendition.allow(10)
    await settled(cache)


async def test_a_lease_alone_encodes_nothing(cache, tmp_path):
    rendition = Paced(10)
    async with cache.open(sid(1), "mono.mp3", rendition) as lease:
        assert lease.size_bytes == 10 * CHUNK
        assert [c async for c in lease.chunks(5, 5)] == []
    assert (rendition.encodings, files(tmp_path)) == (0, [])


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 10_001), (10_001, None)])
async def test_a_range_outside_is_refused_at_once(cache, start, stop):
    async with cache.open(sid(1), "mono.mp3", Paced(10)) as lease:
        with pytest.raises(RangeNotSatisfiable):
            lease.chunks(start, stop)


async def test_an_empty_rendition_needs_no_encoding(cache):
    rendition = Paced(0)
    assert await read(cache, sid(1), rendition) == b""
    assert rendition.encodings == 0


async def test_a_cancelled_reader_does_not_stop_what_others_wait_for(cache):
    rendition = Paced(10)
    first = asyncio.create_task(read(cache, sid(1), rendition))
    second = asyncio.create_task(read(cache, sid(1), rendition))
    rendition.allow(2)
    await read(cache, sid(1), rendition, 0, 10)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    rendition.allow(8)
    assert await second == rendition.body
    assert rendition.encodings == 1


async def test_the_last_reader_leaving_stops_the_encoding_and_nothing_stays(cache, tmp_path):
    rendition = Paced(100)
    readers = [asyncio.create_task(read(cache, sid(1), rendition)) for _ in range(3)]
    rendition.allow(2)
    await read(cache, sid(1), rendition, 0, CHUNK + 1)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    rendition.allow(1)
    await settled(cache)
    assert rendition.ended.is_set()
    assert rendition.given <= 3
    assert files(tmp_path) == []
    assert open_descriptors(tmp_path) == []


async def test_who_comes_after_a_stopped_encoding_gets_a_new_one(cache):
    rendition, again = Paced(10), Paced(10, free=True)
    rendition.allow(1)
    await read(cache, sid(1), rendition, 0, 10)
    assert await read(cache, sid(1), again) == again.body
    rendition.allow(9)
    await settled(cache)
    assert (rendition.encodings, again.encodings) == (1, 1)


async def test_only_so_many_encodings_run_at_a_time(cache):
    renditions = [Paced(2) for _ in range(6)]
    readers = [asyncio.create_task(read(cache, sid(n), r)) for n, r in enumerate(renditions)]
    begun: list[Paced] = []
    while not all(r.done() for r in readers):
        begun = [r for r in renditions if r.encodings and not r.ended.is_set()]
        assert len(begun) <= ENCODERS
        for rendition in begun:
            rendition.allow(2)
        await asyncio.sleep(0)
    assert [await r for r in readers] == [r.body for r in renditions]


async def test_a_reader_who_gives_up_in_the_queue_never_costs_an_encoding(cache, tmp_path):
    busy = [Paced(1) for _ in range(ENCODERS)]
    working = [asyncio.create_task(read(cache, sid(n), r)) for n, r in enumerate(busy)]
    while not all(r.encodings for r in busy):
        await asyncio.sleep(0)
    queued = Paced(5)
    waiting = asyncio.create_task(read(cache, sid(99), queued))
    while not any(r.name.startswith(sid(99)) for r in cache._running):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    for rendition in busy:
        rendition.allow(1)
    await asyncio.gather(*working)
    await settled(cache)
    assert queued.encodings == 0


@pytest.mark.parametrize("error", [BlobAltered("short"), ZeroDivisionError("a bug")])
async def test_an_encoders_error_reaches_all_readers_and_leaves_nothing(cache, tmp_path, error):
    rendition = Paced(5, ends_with=error)
    rendition.size_bytes += 1  # so that all have to wait for the byte that never comes
    readers = [asyncio.create_task(read(cache, sid(1), rendition, n)) for n in range(20)]
    rendition.allow(6)
    assert await asyncio.gather(*readers, return_exceptions=True) == [error] * 20
    await settled(cache)
    assert (files(tmp_path), open_descriptors(tmp_path)) == ([], [])
    again = Paced(5, free=True)
    assert await read(cache, sid(1), again) == again.body


async def test_a_rendition_shorter_than_announced_is_a_broken_promise(cache, tmp_path):
    announced = Paced(6)
    announced.chunks = Paced(5, free=True).chunks
    with pytest.raises(PromiseBroken, match="has 5000 bytes; 6000 were announced"):
        await read(cache, sid(1), announced)
    await settled(cache)
    assert files(tmp_path) == []


async def test_a_rendition_longer_than_announced_is_not_kept(cache, tmp_path):
    announced = Paced(4)
    announced.chunks = Paced(5, free=True).chunks
    await read(cache, sid(1), announced)
    await settled(cache)
    assert files(tmp_path) == []


async def test_a_file_that_shrank_since_fails_every_reader(cache, tmp_path):
    rendition = mp3(tmp_path / "a.wav", 30)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:100_000])
    for _ in range(2):
        with pytest.raises(BlobAltered):
            await read(cache, sid(1), rendition)
    await settled(cache)
    assert files(tmp_path) == []


async def test_the_least_recently_used_renditions_make_room(tmp_path):
    cache = RenditionCache(tmp_path / "cache", 3 * 10 * CHUNK)
    cache.prepare()
    for n in (1, 2, 3):
        await read(cache, sid(n), Paced(10, free=True))
    await settled(cache)
    await read(cache, sid(1), Paced(10), 0, 5)  # from the file: a Paced that allows nothing would hang
    await read(cache, sid(4), Paced(10, free=True))
    await settled(cache)
    assert files(tmp_path) == [f"{sid(n)}.mono.mp3" for n in (1, 3, 4)]
    assert cache.kept_bytes == 30 * CHUNK
    await cache.close()


async def test_a_rendition_beyond_the_limit_is_served_and_evicts_nobody(tmp_path):
    cache = RenditionCache(tmp_path / "cache", 15 * CHUNK)
    cache.prepare()
    await read(cache, sid(1), Paced(10, free=True))
    big = Paced(16, free=True)
    async with cache.open(sid(2), "mono.mp3", big) as lease:
        assert b"".join([c async for c in lease.chunks()]) == big.body
        await settled(cache)
        assert b"".join([c async for c in lease.chunks(100)]) == big.body[100:]
    assert (files(tmp_path), cache.kept_bytes) == ([f"{sid(1)}.mono.mp3"], 10 * CHUNK)
    assert open_descriptors(tmp_path) == []
    await cache.close()


async def test_a_reader_keeps_reading_what_is_evicted_under_it(tmp_path):
    cache = RenditionCache(tmp_path / "cache", 10 * CHUNK)
    cache.prepare()
    rendition = Paced(10, free=True)
    async with cache.open(sid(1), "mono.mp3", rendition) as lease:
        chunks = lease.chunks(0, 100)
        await anext(chunks)
        await settled(cache)
        await read(cache, sid(2), Paced(10, free=True))
        await settled(cache)
        assert files(tmp_path) == [f"{sid(2)}.mono.mp3"]
        assert b"".join([c async for c in lease.chunks()]) == rendition.body
    await cache.close()


async def test_forget_removes_every_variant_of_one_recording_alone(cache, tmp_path):
    for of, variant in ((1, "mono.mp3"), (1, "dual.mp3"), (2, "mono.mp3")):
        await read(cache, sid(of), Paced(10, free=True), variant=variant)
    await settled(cache)
    assert cache.kept_sids() == {sid(1), sid(2)}
    await cache.forget(sid(1))
    assert files(tmp_path) == [f"{sid(2)}.mono.mp3"]
    assert (cache.kept_sids(), cache.kept_bytes) == ({sid(2)}, 10 * CHUNK)
    await cache.forget(sid(1))


async def test_forget_during_an_encoding_leaves_nothing_and_tells_the_readers(cache, tmp_path):
    rendition = Paced(100)
    readers = [asyncio.create_task(read(cache, sid(1), rendition)) for _ in range(5)]
    rendition.allow(3)
    await read(cache, sid(1), rendition, 0, 2 * CHUNK + 1)
    forgetting = asyncio.create_task(cache.forget(sid(1)))
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(o) for o in outcomes] == [NotFound] * 5
    rendition.allow(1)
    await forgetting
    assert rendition.ended.is_set()
    assert (files(tmp_path), open_descriptors(tmp_path)) == ([], [])


async def test_forget_reaches_an_encoding_whose_last_reader_left(cache, tmp_path):
    rendition = Paced(3)
    rendition.allow(1)
    await read(cache, sid(1), rendition, 0, 10)
    forgetting = asyncio.create_task(cache.forget(sid(1)))
    await asyncio.sleep(0)
    rendition.allow(2)
    await forgetting
    assert files(tmp_path) == []


async def test_a_reader_of_a_kept_rendition_gets_nothing_more_once_it_is_forgotten(cache, tmp_path):
    await read(cache, sid(1), Paced(600, free=True))
    await settled(cache)
    async with cache.open(sid(1), "mono.mp3", Paced(600)) as lease:
        chunks = lease.chunks()
        await anext(chunks)
        await cache.forget(sid(1))
        with pytest.raises(NotFound):
            await anext(chunks)
        with pytest.raises(NotFound):
            await anext(lease.chunks())
    assert open_descriptors(tmp_path) == []


@pytest.mark.parametrize("loops_before", range(1, 9))
async def test_forget_at_any_moment_of_a_quick_encoding_leaves_nothing(cache, tmp_path, loops_before):
    rendition = Paced(5, free=True)
    reader = asyncio.create_task(read(cache, sid(1), rendition))
    for _ in range(loops_before):
        await asyncio.sleep(0)
    await cache.forget(sid(1))
    await asyncio.wait([reader])
    assert isinstance(reader.exception(), NotFound | None)
    await settled(cache)
    assert files(tmp_path) == []


async def test_what_a_crash_left_is_removed_and_what_was_kept_is_served(tmp_path):
    cache = RenditionCache(tmp_path / "cache", PLENTY)
    cache.prepare()
    rendition = Paced(10, free=True)
    await read(cache, sid(1), rendition)
    await cache.close()
    (tmp_path / "cache" / "tmp" / f"{sid(2)}.mono.mp3.0").write_bytes(b"half")
    again = RenditionCache(tmp_path / "cache", PLENTY)
    again.prepare()
    assert files(tmp_path) == [f"{sid(1)}.mono.mp3"]
    assert again.kept_bytes == 10 * CHUNK
    assert await read(again, sid(1), Paced(10)) == rendition.body
    await again.close()


async def test_a_kept_file_of_another_length_is_encoded_again(cache, tmp_path):
    await read(cache, sid(1), Paced(10, free=True))
    await settled(cache)
    kept = tmp_path / "cache" / "kept" / f"{sid(1)}.mono.mp3"
    kept.write_bytes(kept.read_bytes()[:-1])
    again = Paced(10, free=True)
    assert await read(cache, sid(1), again) == again.body
    await settled(cache)
    assert kept.read_bytes() == again.body


async def test_a_smaller_limit_and_the_order_of_use_hold_after_a_restart(tmp_path):
    cache = RenditionCache(tmp_path / "cache", PLENTY)
    cache.prepare()
    for n in (1, 2, 3):
        await read(cache, sid(n), Paced(10, free=True))
        await settled(cache)
        os.utime(tmp_path / "cache" / "kept" / f"{sid(n)}.mono.mp3", (1000 + n, 1000 + n))
    await read(cache, sid(1), Paced(10), 0, 5)
    await cache.close()
    smaller = RenditionCache(tmp_path / "cache", 20 * CHUNK)
    smaller.prepare()
    assert smaller.kept_sids() == {sid(1), sid(3)}
    await smaller.close()


async def test_closing_stops_what_is_encoded_and_leaves_no_half_file(tmp_path):
    cache = RenditionCache(tmp_path / "cache", PLENTY)
    cache.prepare()
    rendition = Paced(100)
    reader = asyncio.create_task(read(cache, sid(1), rendition))
    rendition.allow(1)
    await read(cache, sid(1), rendition, 0, 10)
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    rendition.allow(1)
    await closing
    with pytest.raises(RenditionUnavailable):
        await reader
    assert files(tmp_path) == []


async def test_a_second_process_on_the_same_directory_is_refused(cache, tmp_path):
    with pytest.raises(Misconfigured, match="Another process uses"):
        RenditionCache(tmp_path / "cache", PLENTY).prepare()


async def test_a_disk_that_takes_no_file_is_not_the_recordings_fault(cache, tmp_path):
    (tmp_path / "cache" / "tmp").rmdir()
    with pytest.raises(RenditionUnavailable, match="No such file"):
        await read(cache, sid(1), Paced(2, free=True))
    (tmp_path / "cache" / "tmp").mkdir()
    again = Paced(2, free=True)
    assert await read(cache, sid(1), again) == again.body


@pytest.mark.parametrize("bad", ["", "RE", "../" + "a" * 31, "RE" + "A" * 32, "RE" + "0" * 31 + "/", "RE*" + "0" * 31])
async def test_only_a_sid_becomes_a_file_name(cache, bad):
    with pytest.raises(InvalidSid):
        await read(cache, bad, Paced(1))
    with pytest.raises(InvalidSid):
        await cache.forget(bad)


@pytest.mark.parametrize("bad", ["../x", "a/b", "A", ".mp3", "a" * 33, "a*"])
async def test_only_a_plain_word_becomes_a_variant(cache, bad):
    with pytest.raises(ValueError, match="file name"):
        await read(cache, sid(1), Paced(1), variant=bad)


async def test_kept_files_are_for_us_alone(cache, tmp_path):
    await read(cache, sid(1), Paced(1, free=True))
    await settled(cache)
    kept = tmp_path / "cache" / "kept"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / f"{sid(1)}.mono.mp3").stat().st_mode & 0o777 == 0o600
