"""Some frames of a WAV as a WAV of their own: the same samples, bit for bit, behind a head that tells the truth."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from callreel.errors import BlobAltered
from callreel.media.silence import Span
from callreel.media.wav import Codec, WavFacts

BLOCK_BYTES = 256 * 1024
_CHUNK_HEAD = struct.Struct("<4sI")
_FMT = struct.Struct("<HHIIHH")
_FORMATS = {Codec.PCM_U8: 1, Codec.PCM_S16: 1, Codec.PCM_S24: 1, Codec.ALAW: 6, Codec.MULAW: 7}


def excerpt(file: BinaryIO, facts: WavFacts, span: Span) -> Iterator[bytes]:
    """The new file, piece by piece. Other chunks are left behind: what they say of positions is no longer true.

    Blocks; iterate in a thread. Raises `BlobAltered` when the file is shorter than its facts say.
    """
    data_bytes = (span.stop - span.first) * facts.frame_bytes
    yield _head(facts, span.stop - span.first)
    file.seek(facts.data_start + span.first * facts.frame_bytes)
    left = data_bytes
    while left:
        block = file.read(min(left, BLOCK_BYTES))
        if not block:
            raise BlobAltered("The file ends before the samples it held when it was looked at")
        left -= len(block)
        yield block
    if data_bytes % 2:
        yield b"\0"  # chunks end at even offsets


def _head(facts: WavFacts, frames: int) -> bytes:
    number = _FORMATS[facts.codec]
    data_bytes = frames * facts.frame_bytes
    byte_rate = facts.sample_rate * facts.frame_bytes
    fmt = _FMT.pack(number, facts.channels, facts.sample_rate, byte_rate, facts.frame_bytes, facts.bits)
    if number != 1:  # Microsoft asks for both of every format but PCM
        fmt += struct.pack("<H", 0)
        fmt += _CHUNK_HEAD.pack(b"fact", 4) + struct.pack("<I", frames)
    head = b"WAVE" + _CHUNK_HEAD.pack(b"fmt ", 16 if number == 1 else 18) + fmt
    head += _CHUNK_HEAD.pack(b"data", data_bytes)
    return _CHUNK_HEAD.pack(b"RIFF", len(head) + data_bytes + data_bytes % 2) + head
