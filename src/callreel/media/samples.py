"""The samples of a kept WAV as 16-bit PCM, block after block.

The only file that knows `audioop` (on Python 3.13 and later the package audioop-lts brings it under the same
name). Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator

from callreel.at_rest.file import MediaFile
from callreel.errors import BlobAltered, BlobMissing
from callreel.media.wav import Codec, WavFacts

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.11 and 3.12 announce the removal that audioop-lts undoes
    import audioop

BLOCK_FRAMES = 40_000  # five seconds of telephony: 2 ms of MP3 encoding, and at most 240 kB of any codec
_WIDTH = 2


def _from_u8(block: bytes) -> bytes:
    return audioop.lin2lin(audioop.bias(block, 1, -128), 1, _WIDTH)


_TO_PCM16: dict[Codec, Callable[[bytes], bytes]] = {
    Codec.PCM_U8: _from_u8,
    Codec.PCM_S16: bytes,
    Codec.PCM_S24: lambda block: audioop.lin2lin(block, 3, _WIDTH),
    Codec.MULAW: lambda block: audioop.ulaw2lin(block, _WIDTH),
    Codec.ALAW: lambda block: audioop.alaw2lin(block, _WIDTH),
}


def read_samples(file: MediaFile, facts: WavFacts, *, first_frame: int = 0) -> Iterator[bytes]:
    """Interleaved little-endian 16-bit PCM in the file's own channels and rate, `BLOCK_FRAMES` at a time.

    Raises `BlobAltered` when the file holds less than its facts say.
    """
    at = facts.data_start + first_frame * facts.frame_bytes
    for block in read_bytes(file, at, facts.data_start + facts.data_bytes, BLOCK_FRAMES * facts.frame_bytes):
        yield to_pcm16(facts.codec, block)


def to_pcm16(codec: Codec, block: bytes) -> bytes:
    """Whole frames of a codec as little-endian 16-bit PCM."""
    return _TO_PCM16[codec](block)


def loudest_channel(samples: memoryview, channels: int) -> int:
    """The root mean square of 16-bit samples, of whichever channel has more of it."""
    if channels == 1:
        return audioop.rms(samples, _WIDTH)
    return max(audioop.rms(audioop.tomono(samples, _WIDTH, *only), _WIDTH) for only in ((1, 0), (0, 1)))


def read_bytes(file: MediaFile, start: int, stop: int, block_bytes: int) -> Iterator[bytes]:
    """The bytes of a file from `start` up to `stop`, at most `block_bytes` in memory.

    Raises `BlobAltered` when the file ends before `stop`: somebody was promised those bytes. Raises `BlobMissing`
    when it is not there, as for a recording that was deleted a moment ago.
    """
    try:
        opened = file.open("rb")
    except FileNotFoundError as why:
        raise BlobMissing(f"{file.name} is not there any more") from why
    with opened as content:
        content.seek(start)
        while start < stop:
            wanted = min(block_bytes, stop - start)
            block = content.read(wanted)
            if len(block) < wanted:
                raise BlobAltered(f"{file.name} ends at byte {start + len(block)}; {stop} were there when it was kept")
            start += wanted
            yield block


def mixed_to_mono(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Two channels as one: their average, rounded down.

    A sum would clip when both talk at once; an average costs 6 dB and never does. Twilio's own rule is not known.
    """
    for block in blocks:
        yield audioop.tomono(block, _WIDTH, 0.5, 0.5)
