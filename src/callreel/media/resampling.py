"""The same sound at another sampling rate, without what the new rate cannot hold.

A windowed sinc, computed only where a sample is wanted (a polyphase filter). Frames are counted from the beginning of
the sound and computed in batches of fixed size, so the result is the same to the bit however the blocks were cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

# Together: level within 0.05 dB up to 3,400 Hz of 4,000 and 60 dB down from 4,400 Hz on, so that nothing folds back
# below 3,600 Hz (measured with tones). A telephone carries 300 to 3,400 Hz.
_REACH = 16  # how many samples of the slower rate the filter sees to each side
_EDGE = 0.9625  # where it is 6 dB down, as a part of the slower rate's half
_BETA = 6.2  # Kaiser's shape parameter for 65 dB: 0.1102 × (65 − 8.7)
_MOST_PHASES = 1024  # all rates in use need 441 at most; the rest is rounded to 1/2048 sample, 60 dB down
_BATCH_VALUES = 128 * 1024  # half a megabyte of float32: fits the processor's cache

_Floats = NDArray[np.float32]


def resampled_frames(frames: int, *, from_rate: int, to_rate: int) -> int:
    """How many frames `resampled` makes of so many: the first, and one for each whole step behind it."""
    if frames == 0:
        return 0
    divisor = gcd(from_rate, to_rate)
    return (frames - 1) * (to_rate // divisor) // (from_rate // divisor) + 1


def resampled(blocks: Iterable[bytes], *, channels: int, from_rate: int, to_rate: int) -> Iterator[bytes]:
    """Blocks of interleaved 16-bit PCM at `to_rate`, `resampled_frames` frames in all, in step with the original.

    Before and after the sound there is silence. Peaks between samples that 16 bits cannot hold are clipped.
    """
    resampler = _Resampler(channels, from_rate, to_rate)
    for block in blocks:
        yield from resampler.feed(block)
    yield from resampler.finish()


class _Resampler:
    """Sound goes in block by block; what it needs of the past stays, and no more."""

    def __init__(self, channels: int, from_rate: int, to_rate: int) -> None:
        divisor = gcd(from_rate, to_rate)
        self._up, self._down = to_rate // divisor, from_rate // divisor
        self._kernels = _kernels(from_rate, to_rate, self._up)
        self._taps = int(self._kernels.shape[1])
        self._batch = max(1, _BATCH_VALUES // self._taps)
        self._fed = 0  # frames that came
        self._made = 0  # frames that went
        self._first = -(self._taps // 2)  # which frame the kept ones begin with; silence lies before frame 0
        self._kept: _Floats = np.zeros((channels, self._taps // 2), np.float32)

    def feed(self, block: bytes) -> Iterator[bytes]:
        """All whole batches that this block completes."""
        frames = np.frombuffer(block, "<i2").reshape(-1, len(self._kept))
        self._fed += len(frames)
        self._append(frames.T.astype(np.float32))
        while self._sees(self._made + self._batch - 1) < self._first + self._kept.shape[1]:
            yield _pcm16(self._next_batch())

    def finish(self) -> Iterator[bytes]:
        """What is left. The last batch is as large as the others, so that its samples are too, and is then cut."""
        if self._fed == 0:
            return
        left = (self._fed - 1) * self._up // self._down + 1 - self._made
        while left > 0:
            missing = self._sees(self._made + self._batch - 1) + 1 - self._first - self._kept.shape[1]
            self._append(np.zeros((len(self._kept), max(0, missing)), np.float32))
            yield _pcm16(self._next_batch()[:, :left])
            left -= self._batch

    def _sees(self, made: int) -> int:
        """The last frame that this output frame depends on."""
        return made * self._down // self._up + self._taps - 1 - self._taps // 2

    def _append(self, frames: _Floats) -> None:
        self._kept = np.concatenate((self._kept, frames), axis=1)

    def _next_batch(self) -> _Floats:
        steps = np.arange(self._made, self._made + self._batch, dtype=np.int64) * self._down
        starts = steps // self._up - self._taps // 2 - self._first
        phases = steps % self._up
        if self._up > _MOST_PHASES:
            phases = (phases * _MOST_PHASES + self._up // 2) // self._up
        # A whole multiple of the new rate needs one kernel alone; not copying it for each frame is 1.7 times as fast.
        kernels = (
            self._kernels[phases] if self._up > 1 else np.broadcast_to(self._kernels[0], (self._batch, self._taps))
        )
        made = np.stack(
            [np.einsum("ft,ft->f", sliding_window_view(c, self._taps)[starts], kernels) for c in self._kept]
        )
        self._made += self._batch
        self._drop_past()
        return made

    def _drop_past(self) -> None:
        needed = self._made * self._down // self._up - self._taps // 2
        self._kept = self._kept[:, needed - self._first :]
        self._first = needed


def _kernels(from_rate: int, to_rate: int, up: int) -> _Floats:
    """One row of weights for each place between two samples, and one more for the next sample itself."""
    slower = min(from_rate, to_rate)
    reach = _REACH * from_rate / slower
    half = ceil(reach)
    phases = min(up, _MOST_PHASES)
    distance = np.arange(-half, half + 1)[None, :] - (np.arange(phases + 1) / phases)[:, None]
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, None))) * (np.abs(distance) <= reach)
    weights = np.sinc(_EDGE * slower / from_rate * distance) * window
    kernels: _Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernels


def _pcm16(sound: _Floats) -> bytes:
    whole = np.clip(np.rint(sound), -32768, 32767).astype("<i2")
    return np.ascontiguousarray(whole.T).tobytes()
