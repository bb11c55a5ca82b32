"""Small Matroska files as a video room's track recordings are: one track of sound or picture each.

Heads, times and structure are true, and the frames have the sizes and the first bytes of real ones; behind those they
are noise, so that players open the file and decoders complain. Written apart from `callreel.media` on purpose.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from callreel.rehearsal.speech import speech
from callreel.rehearsal.wav_file import HEAD_BYTES

MatroskaCodec = Literal["OPUS", "PCMU", "VP8", "H264"]
MATROSKA_CODECS: tuple[MatroskaCodec, ...] = get_args(MatroskaCodec)

_CLUSTER_MS = 1_000
_WIDTH, _HEIGHT = 640, 360
_KEY_EVERY = 30
_VP8_START = b"\x9d\x01\x2a"
_SPS = bytes.fromhex("6742c01eda0280bfe540")  # 640 × 360, baseline, level 3.0
_PPS = bytes.fromhex("68ce3880")
_AVCC = (
    bytes([1, *_SPS[1:4], 0xFF, 0xE1])
    + struct.pack(">H", len(_SPS))
    + _SPS
    + b"\x01"
    + struct.pack(">H", len(_PPS))
    + _PPS
)
_OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
_MULAW_FORMAT = struct.pack("<HHIIHHH", 7, 1, 8_000, 8_000, 1, 8, 0)  # a WAVEFORMATEX


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a track of this codec is announced, and how long a frame of it lasts."""

    codec_id: bytes
    is_video: bool
    frame_ms: int
    private: bytes


_KINDS: dict[MatroskaCodec, _Kind] = {
    "OPUS": _Kind(b"A_OPUS", False, 20, _OPUS_HEAD),
    "PCMU": _Kind(b"A_MS/ACM", False, 20, _MULAW_FORMAT),
    "VP8": _Kind(b"V_VP8", True, 40, b""),
    "H264": _Kind(b"V_MPEG4/ISO/AVC", True, 40, _AVCC),
}


def matroska(
    seconds: float, *, seed: int, codec: MatroskaCodec, live: bool = False, cues: bool = True, begins_ms: int = 0
) -> bytes:
    """A complete file with frames for so many seconds, the same for the same seed; none for 0 seconds.

    `live` is how a file looks whose writer could not go back: segment and clusters of unknown size, no duration, no
    cues. `begins_ms` is the first frame's timestamp. Raises `ValueError` for a negative time.
    """
    if seconds < 0:
        raise ValueError(f"a file cannot last {seconds} seconds")
    kind = _KINDS[codec]
    count = round(seconds * 1000 / kind.frame_ms)
    frames = list(_frames(codec, count, seed))
    clusters = list(_clusters(frames, kind, begins_ms, live=live))
    info = _info(None if live else begins_ms + count * kind.frame_ms)
    head = info + _tracks(kind, seed)
    body = head + b"".join(cluster for _, cluster in clusters)
    if live:
        return _ebml_head() + _master("18538067", body, sized=False)
    if cues and clusters:
        body += _cues(clusters, len(head))
    return _ebml_head() + _master("18538067", body)


def _frames(codec: MatroskaCodec, count: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    if codec == "PCMU":
        talk = speech(count / 50, seed=seed, codec="pcm_mulaw")[HEAD_BYTES:]
        yield from (talk[at : at + 160] for at in range(0, len(talk), 160))
        return
    for n in range(count):
        is_key = n % _KEY_EVERY == 0
        noise = rng.bytes(int(rng.integers(30, 80)) if codec == "OPUS" else int(rng.integers(200, 900)))
        if codec == "OPUS":
            yield b"\x48" + noise  # SILK, wide band, one frame of 20 ms, mono
        elif codec == "VP8":
            yield _vp8(noise, is_key=is_key)
        else:
            slice_ = (b"\x65\x88" if is_key else b"\x41\x9a") + noise.replace(b"\0", b"\1")
            yield struct.pack(">I", len(slice_)) + slice_


def _vp8(noise: bytes, *, is_key: bool) -> bytes:
    """RFC 6386, 9.1: three bytes of tag, and behind them in a key frame the start code and the size of the picture."""
    tag = (0 if is_key else 1) | 1 << 4 | (len(noise) // 2) << 5
    start = _VP8_START + struct.pack("<HH", _WIDTH, _HEIGHT) if is_key else b""
    return tag.to_bytes(3, "little") + start + noise


def _clusters(frames: list[bytes], kind: _Kind, begins_ms: int, *, live: bool) -> Iterator[tuple[int, bytes]]:
    """Each cluster's time and bytes. The last frame has a group of its own, which tells how long it lasts."""
    per_cluster = _CLUSTER_MS // kind.frame_ms
    for first in range(0, len(frames), per_cluster):
        time_ms = begins_ms + first * kind.frame_ms
        body = _number("E7", time_ms)
        for n in range(first, min(first + per_cluster, len(frames))):
            is_key = not kind.is_video or n % _KEY_EVERY == 0
            head = b"\x81" + struct.pack(">h", (n - first) * kind.frame_ms)
            if n == len(frames) - 1:
                body += _master("A0", _element("A1", head + b"\0" + frames[n]) + _number("9B", kind.frame_ms))
            else:
                body += _element("A3", head + (b"\x80" if is_key else b"\0") + frames[n])
        yield time_ms, _master("1F43B675", body, sized=not live)


def _cues(clusters: list[tuple[int, bytes]], at: int) -> bytes:
    points = b""
    for time_ms, cluster in clusters:
        points += _master("BB", _number("B3", time_ms) + _master("B7", _number("F7", 1) + _number("F1", at)))
        at += len(cluster)
    return _master("1C53BB6B", points)


def _ebml_head() -> bytes:
    versions = _number("4286", 1) + _number("42F7", 1) + _number("42F2", 4) + _number("42F3", 8)
    return _master("1A45DFA3", versions + _element("4282", b"matroska") + _number("4287", 4) + _number("4285", 2))


def _info(duration_ms: int | None) -> bytes:
    duration = b"" if duration_ms is None else _element("4489", struct.pack(">d", duration_ms))
    who = _element("4D80", b"callreel rehearsal") + _element("5741", b"callreel rehearsal")
    return _master("1549A966", _number("2AD7B1", 1_000_000) + duration + who) + _element("EC", bytes(20))


def _tracks(kind: _Kind, seed: int) -> bytes:
    entry = _number("D7", 1) + _number("73C5", seed % (1 << 32) + 1) + _number("83", 1 if kind.is_video else 2)
    entry += _element("86", kind.codec_id)
    if kind.private:
        entry += _element("63A2", kind.private)
    if kind.is_video:
        entry += _master("E0", _number("B0", _WIDTH) + _number("BA", _HEIGHT))
    else:
        rate = 48_000 if kind.codec_id == b"A_OPUS" else 8_000
        entry += _master("E1", _element("B5", struct.pack(">d", rate)) + _number("9F", 1))
    return _master("1654AE6B", _master("AE", entry))


def _number(element_id: str, value: int) -> bytes:
    return _element(element_id, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _element(element_id: str, content: bytes) -> bytes:
    """A size in one byte where it fits, in eight elsewhere, as muxers do that fill sizes in afterwards."""
    short = len(content) < 0x7F
    size = bytes([0x80 | len(content)]) if short else (1 << 56 | len(content)).to_bytes(8, "big")
    return bytes.fromhex(element_id) + size + content


def _master(element_id: str, content: bytes, *, sized: bool = True) -> bytes:
    return _element(element_id, content) if sized else bytes.fromhex(element_id) + b"\x01" + b"\xff" * 7 + content
