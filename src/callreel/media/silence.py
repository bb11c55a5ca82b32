"""Where a recording's sound begins and ends, for trimming.

A window counts as silent when no channel reaches the threshold in it. Only the ends are looked at: from each one
inwards, up to the first sound. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from callreel.errors import BlobAltered
from callreel.media.samples import loudest_channel, to_pcm16
from callreel.media.wav import WavFacts

WINDOWS_A_SECOND = 50  # of 20 ms: shorter ones follow single waves of a low voice
SILENT_BELOW = 32_768 * 10 ** (-45 / 20)  # -45 dBFS, as a root mean square of 16-bit samples
MARGINS_A_SECOND = 10  # 0.1 s are kept on either side, so that no first consonant is cut
_BLOCK_WINDOWS = 50  # a second in memory: 1.2 MB of the widest WAV


@dataclass(frozen=True, slots=True)
class Span:
    """Frames from `first` up to and not including `stop`."""

    first: int
    stop: int


def find_sound(file: BinaryIO, facts: WavFacts) -> Span:
    """The frames worth keeping: from the first sound to the last, with a margin on either side.

    A recording in which nothing is loud enough keeps its first 0.1 s, or all of it when it is shorter: trimming
    makes no recording disappear. Leaves the file's position anywhere. Raises `BlobAltered` when the file is shorter
    than its facts say.
    """
    margin = facts.sample_rate // MARGINS_A_SECOND
    first = _first_sound(file, facts)
    if first is None:
        return Span(0, min(margin, facts.frames))
    return Span(max(0, first - margin), min(facts.frames, _end_of_sound(file, facts) + margin))


def _first_sound(file: BinaryIO, facts: WavFacts) -> int | None:
    for at in range(0, facts.frames, _block_frames(facts)):
        loud = _loud_windows(file, facts, at, min(at + _block_frames(facts), facts.frames))
        if loud:
            return loud[0].first
    return None


def _end_of_sound(file: BinaryIO, facts: WavFacts) -> int:
    for at in range(facts.frames, 0, -_block_frames(facts)):
        loud = _loud_windows(file, facts, max(0, at - _block_frames(facts)), at)
        if loud:
            return loud[-1].stop
    return facts.frames  # windows counted from this end may share a sound that is just loud enough


def _loud_windows(file: BinaryIO, facts: WavFacts, first: int, stop: int) -> list[Span]:
    """The windows with sound among these frames, in their order."""
    file.seek(facts.data_start + first * facts.frame_bytes)
    block = file.read((stop - first) * facts.frame_bytes)
    if len(block) < (stop - first) * facts.frame_bytes:
        raise BlobAltered("The file ends before the samples it held when it was looked at")
    samples = memoryview(to_pcm16(facts.codec, block))
    frame_bytes = len(samples) // (stop - first)
    step = facts.sample_rate // WINDOWS_A_SECOND
    windows = [Span(at, min(at + step, stop)) for at in range(first, stop, step)]
    return [
        window
        for window in windows
        if loudest_channel(
            samples[(window.first - first) * frame_bytes : (window.stop - first) * frame_bytes], facts.channels
        )
        >= SILENT_BELOW
    ]


def _block_frames(facts: WavFacts) -> int:
    return _BLOCK_WINDOWS * (facts.sample_rate // WINDOWS_A_SECOND)
