"""Media files with something wrong: made from good ones by a seed, at random and where it hurts.

`python -m tests.doors.mutations [count] [seed]` sends so many through the real inspection and, every twentieth, through
the real upload, and prints what came of it. `make hostile` runs all 20,000.
"""

from __future__ import annotations

import io
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import psutil

from callreel.errors import CallreelError, Refused
from callreel.media.matroska import inspect_matroska
from callreel.media.wav import inspect_wav
from callreel.rehearsal.matroska_file import matroska
from callreel.rehearsal.speech import speech
from tests.stage import a_wav

MOST = 20_000
LEAST_GROWTH_MB = 50
_SIZES = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_STRANGERS = (
    b"",
    b"<html><script>alert(1)</script></html>",
    b"ID3\x04\x00\x00\x00\x00\x0f\x7f" + b"\xff\xfb\x90\x00" * 40,
    b"OggS" + bytes(60),
    b"\x1f\x8b\x08" + bytes(60),
    b"PK\x03\x04" + bytes(60),
    b"RIFF\xff\xff\xff\xffWAVE",
    b"RF64\xff\xff\xff\xffWAVEds64" + bytes(28),
    b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
    b"FORM" + bytes(60),
    b"MZ" + bytes(200),
)


def originals() -> list[bytes]:
    """Good files of every kind that is taken in."""
    return [
        speech(0.4, seed=1),
        speech(0.3, seed=2, channels=2),
        a_wav(seconds=0.2),
        matroska(0.4, seed=3, codec="OPUS"),
        matroska(0.4, seed=4, codec="VP8"),
    ]


def mutated(rng: Random, goods: list[bytes]) -> bytes:
    """One file with one to four things wrong."""
    if rng.random() < 0.02:
        return rng.choice(_STRANGERS)
    made = bytearray(rng.choice(goods))
    for _ in range(rng.randint(1, 4)):
        if not made:
            break
        made = rng.choice(_WAYS)(made, rng)
    return bytes(made[:200_000])


def _flip(made: bytearray, rng: Random) -> bytearray:
    for _ in range(rng.randint(1, 16)):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return made


def _flip_head(made: bytearray, rng: Random) -> bytearray:
    """Where sizes and formats stand."""
    made[rng.randrange(min(len(made), 120))] = rng.randrange(256)
    return made


def _cut(made: bytearray, rng: Random) -> bytearray:
    return made[: rng.randrange(len(made))]


def _drop(made: bytearray, rng: Random) -> bytearray:
    at = rng.randrange(len(made))
    del made[at : at + rng.randint(1, 400)]
    return made


def _repeat(made: bytearray, rng: Random) -> bytearray:
    at = rng.randrange(len(made))
    piece = made[at : at + rng.randint(1, 300)]
    return made[:at] + piece * rng.randint(1, 60) + made[at:]


def _lie(made: bytearray, rng: Random) -> bytearray:
    """A size that says something else: 32 bits, either way round, at any place of the head."""
    at = rng.randrange(max(1, min(len(made), 200) - 4))
    made[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(_SIZES))
    return made


def _nest(made: bytearray, rng: Random) -> bytearray:
    """Chunks in chunks in chunks, or a million empty ones."""
    chunk = rng.choice((b"LIST\x04\x00\x00\x00", b"junk\x00\x00\x00\x00", b"\xec\x80", b"\x1f\x43\xb6\x75\x81"))
    at = rng.choice((12, 36, rng.randrange(len(made))))
    return made[:at] + chunk * rng.randint(1, 5000) + made[at:]


def _splice(made: bytearray, rng: Random) -> bytearray:
    other = rng.choice(originals_once())
    return made[: rng.randrange(len(made))] + other[rng.randrange(len(other)) :]


def _big_number(made: bytearray, rng: Random) -> bytearray:
    """An EBML size of eight bytes, known or unknown."""
    at = rng.randrange(len(made))
    made[at : at + 8] = b"\x01" + bytes(rng.choice((0xFF, 0x00, 0x7F)) for _ in range(7))
    return made


_WAYS: tuple[Callable[[bytearray, Random], bytearray], ...] = (
    _flip, _flip_head, _flip_head, _cut, _drop, _repeat, _lie, _lie, _nest, _splice, _big_number,
)  # fmt: skip
_once: list[bytes] = []


def originals_once() -> list[bytes]:
    if not _once:
        _once.extend(originals())
    return _once


def inspect_both(body: bytes) -> list[str]:
    """What either inspection says. Raises whatever is no answer for a caller."""
    said = []
    for inspect in (inspect_wav, inspect_matroska):
        try:
            inspect(io.BytesIO(body), len(body))
            said.append("taken")
        except Refused as why:
            said.append(type(why).__name__)
    return said


def run(count: int, seed: int) -> tuple[Counter[str], float, list[str]]:
    """Outcomes, the growth of memory in MB, and what was wrong: each with the seed that makes that very file."""
    goods, outcomes, faults = originals_once(), Counter[str](), []
    process = psutil.Process()
    for i in range(min(200, count)):  # caches and pools fill first
        inspect_both(mutated(Random(f"{seed}/warm/{i}"), goods))
    before = process.memory_info().rss
    for i in range(count):
        body = mutated(Random(f"{seed}/{i}"), goods)
        try:
            outcomes.update(inspect_both(body))
        except Exception as why:
            kind = "of ours" if isinstance(why, CallreelError) else "nobody expected"
            faults.append(f"seed {seed}/{i}: {type(why).__name__} {kind}: {why}")
    return outcomes, (process.memory_info().rss - before) / 1e6, faults


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MOST
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    outcomes, growth_mb, faults = run(count, seed)
    print(f"{count} mutated media files, seed {seed}: {dict(outcomes)}")
    for fault in faults[:20]:
        print(fault)
    print(f"{len(faults)} crashes, memory grew by {growth_mb:.1f} MB, {time.monotonic() - began:.0f} s")
    sys.exit(bool(faults) or growth_mb >= LEAST_GROWTH_MB)


if __name__ == "__main__":
    main()
