"""A complete WAV file from 16-bit samples, in any codec that callreel keeps.

Written apart from `callreel.media` on purpose: what one writes, the other has to read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

WavCodec = Literal["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_mulaw", "pcm_alaw"]
WAV_CODECS: tuple[WavCodec, ...] = get_args(WavCodec)
HEAD_BYTES = 44
_HEAD = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMATS: dict[WavCodec, tuple[int, int]] = {
    "pcm_u8": (1, 8),
    "pcm_s16le": (1, 16),
    "pcm_s24le": (1, 24),
    "pcm_mulaw": (7, 8),
    "pcm_alaw": (6, 8),
}
Samples = NDArray[np.int16]


def wav_file(samples: Samples, *, rate: int, codec: WavCodec = "pcm_s16le") -> bytes:
    """Head and samples. `samples` has one row per frame and one column per channel.

    An odd number of data bytes gets no padding byte, as most recorders have it.
    """
    data = _ENCODERS[codec](np.ascontiguousarray(samples).reshape(-1))
    return wav_head(len(data), rate=rate, channels=samples.shape[1], codec=codec) + data


def wav_head(data_bytes: int, *, rate: int, channels: int, codec: WavCodec = "pcm_s16le") -> bytes:
    """The 44 bytes before the samples."""
    number, bits = _FORMATS[codec]
    frame_bytes = channels * bits // 8
    return _HEAD.pack(
        b"RIFF", HEAD_BYTES - 8 + data_bytes, b"WAVE",
        b"fmt ", 16, number, channels, rate, rate * frame_bytes, frame_bytes, bits,
        b"data", data_bytes,
    )  # fmt: skip


def _s16(samples: Samples) -> bytes:
    return samples.astype("<i2").tobytes()


def _u8(samples: Samples) -> bytes:
    return ((samples >> 8) + 128).astype(np.uint8).tobytes()


def _s24(samples: Samples) -> bytes:
    wide = np.zeros((len(samples), 3), np.uint8)
    wide[:, 1:] = samples.astype("<i2").view(np.uint8).reshape(-1, 2)
    return wide.tobytes()


def _mulaw(samples: Samples) -> bytes:
    return _MULAW[samples.view(np.uint16)].tobytes()


def _alaw(samples: Samples) -> bytes:
    return _ALAW[samples.view(np.uint16)].tobytes()


def _mulaw_table() -> NDArray[np.uint8]:
    """G.711 mu-law of every 16-bit value, in the order of the value's bits."""
    x = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(x), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    codes: NDArray[np.int32] = ~(np.where(x < 0, 0x80, 0) | exponent << 4 | mantissa) & 0xFF
    return codes.astype(np.uint8)


def _alaw_table() -> NDArray[np.uint8]:
    """G.711 A-law of every 16-bit value, in the order of the value's bits."""
    x = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 3
    magnitude = np.where(x < 0, -x - 1, x)
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    mantissa = (magnitude >> np.maximum(segment, 1)) & 0x0F
    return ((segment << 4 | mantissa) ^ np.where(x < 0, 0x55, 0xD5)).astype(np.uint8)


_MULAW, _ALAW = _mulaw_table(), _alaw_table()
_ENCODERS: dict[WavCodec, Callable[[Samples], bytes]] = {
    "pcm_u8": _u8,
    "pcm_s16le": _s16,
    "pcm_s24le": _s24,
    "pcm_mulaw": _mulaw,
    "pcm_alaw": _alaw,
}
