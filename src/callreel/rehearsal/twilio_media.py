"""The media a pretend Twilio hands out: as it was recorded, mixed down to one channel, or as MP3."""

from __future__ import annotations

import struct

import lameenc
import numpy as np

from callreel.rehearsal.twilio_shelf import TwilioRecording
from callreel.rehearsal.twilio_words import TwilioRefusal
from callreel.rehearsal.wav_file import HEAD_BYTES, wav_file

WAV_TYPE, MP3_TYPE = "audio/x-wav", "audio/mpeg"


def rendered(one: TwilioRecording, extension: str, channels: str | None) -> tuple[bytes, str]:
    """The body and its content type. Raises `TwilioRefusal`: 16113, 16109."""
    if one.encryption_details is not None:
        if extension == ".mp3":
            raise TwilioRefusal(400, 16109, "Encrypted recordings cannot be downloaded as mp3. Ask for .wav")
        return one.media, WAV_TYPE
    if channels == "2" and one.channels == 1:
        raise TwilioRefusal(400, 16113, "Requested channels is not available. Ask for RequestedChannels=1")
    mono = channels == "1" or (channels is None and one.conference_sid is not None)
    if extension == ".mp3":
        return _mp3(one, mono=mono), MP3_TYPE
    return (_mixed(one.media) if mono and one.channels == 2 else one.media), WAV_TYPE


def _samples(wav: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Frames and channels of a WAV of ours: 44 bytes of head, 16 bits."""
    channels = struct.unpack_from("<H", wav, 22)[0]
    data = wav[HEAD_BYTES : len(wav) - (len(wav) - HEAD_BYTES) % (2 * channels)]
    return np.frombuffer(data, "<i2").astype(np.int16).reshape(-1, channels)


def _mixed(wav: bytes) -> bytes:
    both = _samples(wav)
    return wav_file(both.mean(axis=1).astype(np.int16).reshape(-1, 1), rate=struct.unpack_from("<I", wav, 24)[0])


def _mp3(one: TwilioRecording, *, mono: bool) -> bytes:
    wav = _mixed(one.media) if mono and one.channels == 2 else one.media
    samples = _samples(wav)
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(32)
    encoder.set_in_sample_rate(struct.unpack_from("<I", wav, 24)[0])
    encoder.set_channels(samples.shape[1])
    encoder.set_quality(7)
    encoder.silence()
    return bytes(encoder.encode(samples.tobytes()) + encoder.flush())
