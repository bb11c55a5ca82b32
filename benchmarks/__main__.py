"""`python -m benchmarks`: measure everything on this machine, side by side.

Starts what it needs (PostgreSQL, an S3 server, each contender in a process of its own) and stops it again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.contenders import Field
from benchmarks.delivery import AT_REST, SEALING, race
from benchmarks.figures import Figure, figure_of, memory_figure, rate_ratio, wall_ratio
from benchmarks.ingest import ingest_against_floor
from benchmarks.installation import Installation, open_installation, settings_of
from benchmarks.memory import peaks_of_memory
from benchmarks.migration import memory_of_listing, move_race
from benchmarks.mp3 import mp3_of
from benchmarks.neighbours import beside_a_black_hole
from benchmarks.pages import pages_against_psql
from benchmarks.recordings import make_files
from benchmarks.report import page_of, save, write_page
from benchmarks.restart import restart_of_many
from benchmarks.servers import LASTS_A_FULL_RUN, S3Server, open_server
from callreel.app import Database

KB, MB = 1_000, 1_000_000
FAR_S = 0.2  # what a request for media across an ocean and through a carrier's API takes until its first byte
FIGURES = (
    "delivery-1mb",
    "delivery-100kb",
    "sealing-1mb",
    "at-rest-1mb",
    "at-rest-100kb",
    "ingest",
    "memory",
    "pages",
    "mp3",
    "black-hole",
    "restart",
    "migration",
    "migration-far",
    "migration-memory",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    large: int  # recordings of 1 MB
    small: int  # recordings of 100 KB
    uploads: int  # of 100 KB, for ingest
    rounds: int
    whole_bytes: int  # the one very large recording
    listed: int  # rows of the long list
    spoken_s: float  # of the sound that becomes MP3
    beside: int  # recordings of 100 KB beside a bucket that never answers
    parked: int  # rows that are restarted together
    moved: int  # recordings of 300 KB out of a source
    inventory: int  # recordings a source lists


FULL = Size(
    large=1_000,
    small=2_000,
    uploads=2_000,
    rounds=5,
    whole_bytes=2 << 30,
    listed=1_000_000,
    spoken_s=3600,
    beside=200,
    parked=100_000,
    moved=2_000,
    inventory=1_000_000,
)
QUICK = Size(
    large=100,
    small=400,
    uploads=400,
    rounds=1,
    whole_bytes=256 << 20,
    listed=100_000,
    spoken_s=600,
    beside=60,
    parked=10_000,
    moved=300,
    inventory=20_000,
)


async def measure(name: str, server: S3Server, size: Size, root: Path) -> Figure:
    """One figure, on an installation of its own below `root`."""
    data_dir = root / name
    database = Database(settings_of(data_dir))
    try:
        async with open_installation(data_dir, server, database) as installation:
            return await _MEASURES[name](installation, server, size, root / f"{name}-files")
    finally:
        await asyncio.to_thread(database.stop)


async def _large(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await _delivery(installation, server, size.large, MB, size.rounds, root)


async def _small(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await _delivery(installation, server, size.small, 100 * KB, size.rounds, root)


async def _delivery(
    installation: Installation, server: S3Server, count: int, size_bytes: int, rounds: int, root: Path
) -> Figure:
    files = make_files(root, count=count, size_bytes=size_bytes)
    field = Field(server, installation, installation.parts.chosen.delivery_concurrency)
    taken = await race(field, files, rounds=rounds)
    ratios = [
        wall_ratio(taken, "callreel", "s5cmd", at_most=1.0),
        wall_ratio(taken, "callreel", "s5cmd, same concurrency", at_most=1.0),
        rate_ratio(taken, "callreel", "bare uploader", at_least=0.7),
        rate_ratio(taken, "callreel", "boto3 upload_file", at_least=3.0),
        rate_ratio(taken, "callreel", "boto3 put_object", at_least=3.0),
    ]
    name = f"{count:,} recordings of {size_bytes:,} bytes, from accepted to released"
    return figure_of(name, taken, count=count, ratios=ratios)


async def _sealing(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    files = make_files(root, count=size.large, size_bytes=MB)
    field = Field(server, installation, installation.parts.chosen.delivery_concurrency)
    taken = await race(field, files, SEALING, rounds=size.rounds)
    ratios = [
        rate_ratio(taken, "callreel, encrypting", "callreel", at_least=0.9),
        rate_ratio(taken, "callreel, encrypting, handed in too", "callreel, handed in too", at_least=0.9),
    ]
    name = f"{size.large:,} recordings of {MB:,} bytes, encrypted for the customer's key or not"
    return figure_of(name, taken, count=size.large, ratios=ratios)


async def _at_rest_large(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await _at_rest(installation, server, size.large, MB, size.rounds, root)


async def _at_rest_small(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await _at_rest(installation, server, size.small, 100 * KB, size.rounds, root)


async def _at_rest(
    installation: Installation, server: S3Server, count: int, size_bytes: int, rounds: int, root: Path
) -> Figure:
    files = make_files(root, count=count, size_bytes=size_bytes)
    field = Field(server, installation, installation.parts.chosen.delivery_concurrency)
    taken = await race(field, files, AT_REST, rounds=rounds)
    ratio = rate_ratio(taken, "callreel", "callreel, plain at rest", at_least=0.85)
    name = f"{count:,} recordings of {size_bytes:,} bytes, from handed in to released, sealed at rest or not"
    return figure_of(name, taken, count=count, ratios=[ratio])


async def _ingest(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    files = make_files(root, count=size.uploads, size_bytes=100 * KB)
    taken = await ingest_against_floor(installation, files, rounds=size.rounds)
    ratio = rate_ratio(taken, "callreel, HTTP", "floor", at_least=0.5)
    name = f"{size.uploads:,} uploads of 100,000 bytes by 16 clients, acknowledged"
    return figure_of(name, taken, count=size.uploads, ratios=[ratio])


async def _memory(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    loads = [
        make_files(root, count=size.large, size_bytes=MB),
        make_files(root, count=1, size_bytes=size.whole_bytes),
    ]
    return memory_figure(await peaks_of_memory(installation, server, loads))


async def _pages(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await pages_against_psql(installation, size.listed)


async def _mp3(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await asyncio.to_thread(mp3_of, size.spoken_s, root)


async def _migration(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    return await _moved_from(installation, server, size, answers_after_s=0.0, where="a source on this machine")


async def _migration_far(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    where = f"a source that answers after {FAR_S * 1000:.0f} ms"
    return await _moved_from(installation, server, size, answers_after_s=FAR_S, where=where)


async def _moved_from(
    installation: Installation, server: S3Server, size: Size, *, answers_after_s: float, where: str
) -> Figure:
    field = Field(server, installation, installation.parts.chosen.delivery_concurrency)
    taken = await move_race(
        field, count=size.moved, size_bytes=300 * KB, rounds=size.rounds, answers_after_s=answers_after_s
    )
    ratios = [
        rate_ratio(taken, "callreel", "twilio + requests + boto3", at_least=5.0),
        rate_ratio(taken, "callreel", "bare copy", at_least=0.7),
    ]
    name = f"{size.moved:,} recordings of 300,000 bytes, moved out of {where} and deleted there"
    return figure_of(name, taken, count=size.moved, ratios=ratios)


async def _migration_memory(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    field = Field(server, installation, installation.parts.chosen.delivery_concurrency)
    return await memory_of_listing(field, listed=size.inventory)


async def _black_hole(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    files = make_files(root, count=size.beside, size_bytes=100 * KB)
    return await beside_a_black_hole(installation, server, files.paths, rounds=min(size.rounds, 2))


async def _restart(installation: Installation, server: S3Server, size: Size, root: Path) -> Figure:
    await installation.deliver_to(server, "restart")
    return await restart_of_many(installation, make_files(root, count=1, size_bytes=100 * KB).paths[0], size.parked)


_MEASURES = {
    "black-hole": _black_hole,
    "restart": _restart,
    "migration": _migration,
    "migration-far": _migration_far,
    "migration-memory": _migration_memory,
    "pages": _pages,
    "mp3": _mp3,
    "delivery-1mb": _large,
    "delivery-100kb": _small,
    "sealing-1mb": _sealing,
    "at-rest-1mb": _at_rest_large,
    "at-rest-100kb": _at_rest_small,
    "ingest": _ingest,
    "memory": _memory,
}


def run(which: str, size: Size, name: str, root: Path) -> tuple[Figure, str]:
    """One figure against one server, and the server's name."""
    # A server of its own for each figure: what is stored and removed costs the next one nothing.
    with open_server(which, root / f"s3-{name}") as server:
        return asyncio.run(measure(name, server, size, root)), server.name


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of it, once, in under two minutes")
    parser.add_argument(
        "--server", action="append", help="embedded, rgw or http://KEY_ID:SECRET@host/bucket; may be given twice"
    )
    parser.add_argument("--only", action="append", choices=FIGURES, help="this figure; may be given twice")
    options = parser.parse_args()
    for which, name in product(options.server or [LASTS_A_FULL_RUN], options.only or FIGURES):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="callreel-bench-") as root:
            figure, server = run(which, QUICK if options.quick else FULL, name, Path(root))
        took_s = time.monotonic() - began
        print(page_of(save(figure, name=name, server=server, is_quick=options.quick, took_s=took_s)))
    write_page()


if __name__ == "__main__":
    main()
