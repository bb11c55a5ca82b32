"""How fast an hour of audio becomes MP3, on one core, and how soon its first bytes come."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Ratio
from callreel.media.mp3 import serve_mp3
from callreel.media.wav import inspect_wav_file
from callreel.rehearsal.speech import speech

ROUNDS = 5
REALTIME = 1500.0
FIRST_BYTE_MS = 50.0


def mp3_of(seconds: float, root: Path) -> Figure:
    """Mono and dual; processor time for the speed, wall time for the first bytes, medians of five."""
    root.mkdir(parents=True, exist_ok=True)
    ratios = []
    with _one_core():
        for channels, name in ((1, "mono"), (2, "dual")):
            path = root / f"{name}.wav"
            path.write_bytes(speech(seconds, seed=channels, channels=channels))
            taken = [_encode(path) for _ in range(ROUNDS)]
            realtime = seconds / median(cpu for cpu, _ in taken)
            first_ms = median(first for _, first in taken) * 1e3
            ratios.append(Ratio(f"× realtime, {name}", round(realtime), f"≥ {REALTIME:.0f}", realtime >= REALTIME))
            ratios.append(
                Ratio(
                    f"first bytes, ms, {name}", round(first_ms, 1), f"≤ {FIRST_BYTE_MS:.0f}", first_ms <= FIRST_BYTE_MS
                )
            )
    return Figure(f"MP3 of {seconds / 60:.0f} minutes on one core", ROUNDS, (), tuple(ratios))


def _encode(path: Path) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    first = 0.0
    for i, _ in enumerate(serve_mp3(path, inspect_wav_file(path)).chunks()):
        if i == 0:
            first = time.perf_counter() - began
    return time.process_time() - cpu, first


@contextmanager
def _one_core() -> Iterator[None]:
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)
