"""How loud each channel was, ten times a second: what a waveform is drawn from, and where silence is skipped.

Media is taken in pieces, as a bucket sends it, and never held. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callreel.errors import NotAudio, SealBroken
from callreel.media.samples import to_pcm16
from callreel.media.wav import WavFacts, inspect_wav

A_SECOND = 10  # an hour of two channels is 72 kB; at 50 it would be five times that, and drawn it looks the same
HEAD_BYTES = 64 * 1024  # of a WAV, in which its samples begin
_MAGIC = b"CRP\x01"
_HEAD = struct.Struct("<4sBBI")
_LOUDEST = 32768


@dataclass(frozen=True, slots=True)
class Peaks:
    """The loudest sample of each tenth of a second, 0 to 255, tenth after tenth, in each the channels in order."""

    channels: int
    values: bytes

    @property
    def count(self) -> int:
        """How many tenths of a second there are."""
        return len(self.values) // self.channels

    def packed(self) -> bytes:
        """As they are kept: compressed."""
        return zlib.compress(_HEAD.pack(_MAGIC, self.channels, A_SECOND, self.count) + self.values, 6)

    @classmethod
    def unpacked(cls, packed: bytes) -> Peaks:
        """What `packed` made. Raises `SealBroken` for anything else."""
        raw = zlib.decompress(packed)
        magic, channels, _, count = _HEAD.unpack_from(raw)
        if magic != _MAGIC or len(raw) != _HEAD.size + channels * count:
            raise SealBroken("Kept peaks are not what was kept")
        return cls(channels, raw[_HEAD.size :])

    def as_json(self) -> dict[str, Any]:
        """In audiowaveform's JSON format, version 2, with 8 bits: what wavesurfer.js and peaks.js read.

        The sample rate is told as 8,000, whatever it was: only its ratio to `samples_per_pixel` says anything.
        """
        half = np.frombuffer(self.values, np.uint8).astype(np.int16) >> 1
        return {
            "version": 2,
            "channels": self.channels,
            "sample_rate": 8000,
            "samples_per_pixel": 8000 // A_SECOND,
            "bits": 8,
            "length": self.count,
            "data": np.column_stack((-half, half)).ravel().tolist(),
        }


class PeakMeter:
    """Takes a WAV in pieces and measures it."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._held = bytearray()  # what is not measured yet: the head first, then less than a tenth of a second
        self._facts: WavFacts | None = None
        self._left = 0
        self._found: list[NDArray[np.uint8]] = []

    def take(self, piece: bytes) -> None:
        """The next piece. Raises `NotAudio` when it is no WAV that we read."""
        self._held += piece
        if self._facts is None:
            if len(self._held) < min(HEAD_BYTES, self._size):
                return
            self._begin()
        self._measure(whole=False)

    def finish(self) -> Peaks:
        """The peaks of everything that was taken. Raises `NotAudio`."""
        if self._facts is None:
            self._begin()
        self._measure(whole=True)
        assert self._facts is not None
        values = np.concatenate(self._found) if self._found else np.zeros((0, self._facts.channels), np.uint8)
        return Peaks(self._facts.channels, values.tobytes())

    def _begin(self) -> None:
        try:
            self._facts = inspect_wav(io.BytesIO(bytes(self._held)), self._size)
        except (EOFError, struct.error) as why:
            raise NotAudio("The samples of this file begin too far behind") from why
        if self._facts.data_start > len(self._held):
            raise NotAudio("The samples of this file begin too far behind")
        self._left = self._facts.data_bytes
        del self._held[: self._facts.data_start]

    def _measure(self, *, whole: bool) -> None:
        """Whole tenths of a second of what is held; at the end the rest too."""
        facts = self._facts
        assert facts is not None
        tenth = max(1, facts.sample_rate // A_SECOND)
        there = min(len(self._held), self._left)
        usable = there - there % (facts.frame_bytes if whole else facts.frame_bytes * tenth)
        if not usable:
            return
        samples = np.frombuffer(to_pcm16(facts.codec, bytes(self._held[:usable])), "<i2").reshape(-1, facts.channels)
        del self._held[:usable]
        self._left -= usable
        if len(samples) % tenth:
            silence = np.zeros((tenth - len(samples) % tenth, facts.channels), np.int16)
            samples = np.concatenate((samples, silence))
        # One contiguous channel at a time: 1,391 M frames/s where max() over an axis of both does 37.
        loudest = [_loudest(np.ascontiguousarray(samples[:, at]).reshape(-1, tenth)) for at in range(facts.channels)]
        self._found.append(np.column_stack(loudest))


def _loudest(tenths: NDArray[np.int16]) -> NDArray[np.uint8]:
    high, low = tenths.max(axis=1).astype(np.int32), -tenths.min(axis=1).astype(np.int32)
    peak: NDArray[np.int32] = np.maximum(np.maximum(high, low), 0)
    scaled = (peak * 255 + _LOUDEST - 1) // _LOUDEST  # anything audible is at least 1
    return np.minimum(scaled, 255).astype(np.uint8)
