"""A recording handed out as WAV: the kept file itself, or its two channels mixed into one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from callreel.at_rest.file import MediaFile
from callreel.errors import RangeNotSatisfiable
from callreel.media.channels import RequestedChannels, channels_to_serve
from callreel.media.samples import mixed_to_mono, read_bytes, read_samples
from callreel.media.wav import WavFacts

BLOCK_BYTES = 256 * 1024
_HEAD = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MONO_FRAME_BYTES = 2


@dataclass(frozen=True, slots=True)
class WavRendition:
    """A WAV whose length is known before its first byte is read."""

    file: MediaFile
    facts: WavFacts
    channels: int

    @property
    def is_original(self) -> bool:
        """Whether these are the very bytes that were kept, with their digest."""
        return self.channels == self.facts.channels

    @property
    def size_bytes(self) -> int:
        """The whole file's length, for `Content-Length` and `Content-Range`."""
        return self.facts.size_bytes if self.is_original else _HEAD.size + self.facts.frames * _MONO_FRAME_BYTES

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (None: the end). Blocks; iterate in a thread.

        Raises `RangeNotSatisfiable` at once for what is not inside the file, and `BlobAltered` on the way when the
        kept file is shorter than it was.
        """
        stop = self.size_bytes if stop is None else stop
        if not 0 <= start <= stop <= self.size_bytes:
            raise RangeNotSatisfiable(self.size_bytes)
        if self.is_original:
            return read_bytes(self.file, start, stop, BLOCK_BYTES)
        return _mono_chunks(self.file, self.facts, start, stop)


def serve_wav(file: MediaFile, facts: WavFacts, requested_channels: RequestedChannels = None) -> WavRendition:
    """Hand out a kept WAV: byte for byte as it is unless one channel is asked of two.

    A down-mix is 16-bit PCM at the kept rate, whatever the codec was. Raises `RecordingIsMono`.
    """
    return WavRendition(file, facts, channels_to_serve(facts, requested_channels))


def _mono_chunks(file: MediaFile, facts: WavFacts, start: int, stop: int) -> Iterator[bytes]:
    if start < min(stop, _HEAD.size):
        yield _mono_head(facts)[start:stop]
        start = _HEAD.size
    if start >= stop:
        return
    frame, skip = divmod(start - _HEAD.size, _MONO_FRAME_BYTES)
    for block in mixed_to_mono(read_samples(file, facts, first_frame=frame)):
        piece = block[skip : skip + stop - start]
        yield piece
        start += len(piece)
        skip = 0
        if start >= stop:
            return


def _mono_head(facts: WavFacts) -> bytes:
    data_bytes = facts.frames * _MONO_FRAME_BYTES
    return _HEAD.pack(
        b"RIFF", _HEAD.size - 8 + data_bytes, b"WAVE",
        b"fmt ", 16, 1, 1, facts.sample_rate, facts.sample_rate * _MONO_FRAME_BYTES, _MONO_FRAME_BYTES, 16,
        b"data", data_bytes,
    )  # fmt: skip
