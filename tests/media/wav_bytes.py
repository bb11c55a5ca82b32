"""WAV files written byte by byte, so that each lie can be told on purpose."""

from __future__ import annotations

import io
import struct

from callreel.media.wav import WavFacts, inspect_wav

GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def chunk(name: bytes, body: bytes, *, promised: int | None = None) -> bytes:
    """A chunk with its padding; `promised` is what its head says instead of the truth."""
    return name + struct.pack("<I", len(body) if promised is None else promised) + body + b"\0" * (len(body) % 2)


def fmt(
    number: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, *, align: int | None = None, tail: bytes = b""
) -> bytes:
    """A fmt chunk; `align` is the block align it claims, `tail` what follows its 16 bytes."""
    align = channels * bits // 8 if align is None else align
    return chunk(b"fmt ", struct.pack("<HHIIHH", number, channels, rate & 0xFFFFFFFF, 0, align, bits) + tail)


def extensible(number: int, channels: int = 1, rate: int = 8000, bits: int = 16, *, guid: bytes = GUID_TAIL) -> bytes:
    """A WAVE_FORMAT_EXTENSIBLE fmt chunk of a registered or made-up sub-format."""
    tail = struct.pack("<HHIH", 22, bits, 0, number) + guid
    return fmt(0xFFFE, channels, rate, bits, tail=tail)


def riff(*chunks: bytes, promised: int | None = None, magic: bytes = b"RIFF", kind: bytes = b"WAVE") -> bytes:
    """The chunks as a file."""
    body = kind + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if promised is None else promised) + body


def inspect(body: bytes) -> WavFacts:
    """The facts of a file in memory."""
    return inspect_wav(io.BytesIO(body), len(body))
