"""A recording handed out as MP3, encoded while it is sent.

Constant bit rate without an Info frame, so the length is known before the first sample is read. Encoding holds one
block in memory and blocks the thread it runs in; lameenc releases the GIL while it encodes, so other threads go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import lameenc

from callreel.at_rest.file import MediaFile
from callreel.errors import PromiseBroken, RangeNotSatisfiable
from callreel.media.channels import RequestedChannels, channels_to_serve
from callreel.media.resampling import resampled, resampled_frames
from callreel.media.samples import mixed_to_mono, read_samples
from callreel.media.wav import WavFacts

RATE_HZ = 8_000
KBPS = {
    1: 32,  # Twilio's documented MP3 rate
    2: 64,  # twice that: two people taking turns share nothing joint stereo could save; as fast as 32
}
QUALITY = 7  # nearest to the source of all at these bit rates, and the fastest: docs/decisions/0007-mp3-quality.md
_FRAME_SAMPLES = 576  # MPEG-2.5 layer III, the only MPEG layer with 8 kHz
_EXTRA_FRAMES = 2  # the encoder's delay and its flush: holds for every length tried, see the property test


def mp3_size_bytes(samples: int, channels: int) -> int:
    """The exact length of the MP3 of so many samples per channel at 8 kHz; nothing makes nothing."""
    if samples == 0:
        return 0
    frame_bytes = _FRAME_SAMPLES // 8 * KBPS[channels] * 1000 // RATE_HZ
    return (-(-samples // _FRAME_SAMPLES) + _EXTRA_FRAMES) * frame_bytes


@dataclass(frozen=True, slots=True)
class Mp3Rendition:
    """An MP3 whose length is known before it exists. The same recording always gives the same bytes."""

    file: MediaFile
    facts: WavFacts
    channels: int

    @property
    def size_bytes(self) -> int:
        """The whole MP3's length, for `Content-Length` and `Content-Range`."""
        samples = resampled_frames(self.facts.frames, from_rate=self.facts.sample_rate, to_rate=RATE_HZ)
        return mp3_size_bytes(samples, self.channels)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (None: the end). Blocks; iterate in a thread.

        Encodes from the beginning, drops what lies before `start` and ends once `stop` is reached. Raises
        `RangeNotSatisfiable` at once for what is not inside the MP3, and `BlobAltered` on the way when the kept
        file is shorter than it was.
        """
        size_bytes = self.size_bytes
        stop = size_bytes if stop is None else stop
        if not 0 <= start <= stop <= size_bytes:
            raise RangeNotSatisfiable(size_bytes)
        if start == stop:
            return iter(())  # also the empty recording: flushing an encoder that saw nothing raises
        return _window(_exactly(size_bytes, _encoded(self._samples(), self.channels)), start, stop)

    def _samples(self) -> Iterator[bytes]:
        blocks = read_samples(self.file, self.facts)
        if self.channels < self.facts.channels:
            blocks = mixed_to_mono(blocks)
        if self.facts.sample_rate == RATE_HZ:
            return blocks
        return resampled(blocks, channels=self.channels, from_rate=self.facts.sample_rate, to_rate=RATE_HZ)


def serve_mp3(file: MediaFile, facts: WavFacts, requested_channels: RequestedChannels = None) -> Mp3Rendition:
    """Hand out a kept WAV as MP3: 8 kHz, 32 kbps for one channel and 64 for two. Raises `RecordingIsMono`."""
    return Mp3Rendition(file, facts, channels_to_serve(facts, requested_channels))


def _encoded(blocks: Iterable[bytes], channels: int) -> Iterator[bytes]:
    encoder = lameenc.Encoder()
    encoder.set_channels(channels)
    encoder.set_in_sample_rate(RATE_HZ)
    encoder.set_out_sample_rate(RATE_HZ)
    encoder.set_bit_rate(KBPS[channels])
    encoder.set_quality(QUALITY)
    encoder.silence()
    for block in blocks:
        yield bytes(encoder.encode(block))
    yield bytes(encoder.flush())


def _exactly(size_bytes: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks; raises `PromiseBroken` rather than end at another length than was announced."""
    made = 0
    for chunk in chunks:
        made += len(chunk)
        if made > size_bytes:
            break
        yield chunk
    if made != size_bytes:
        raise PromiseBroken(f"The MP3 has {made} bytes or more; {size_bytes} were announced.")


def _window(chunks: Iterable[bytes], start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to `stop` of a stream."""
    at = 0
    for chunk in chunks:
        piece = chunk[max(0, start - at) : stop - at]
        at += len(chunk)
        if piece:
            yield piece
        if at >= stop:
            return
