"""Silence at both ends: found by windows, cut by whole frames, never re-encoded."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.wav_bytes import chunk, fmt, inspect, riff

from callreel.errors import BlobAltered
from callreel.media.excerpt import excerpt
from callreel.media.silence import Span, find_sound
from callreel.rehearsal.wav_file import WAV_CODECS, WavCodec, wav_file

RATE = 8000
QUIET, LOUD = 100, 8000  # as sample values: -50 and -12 dBFS


def tone(seconds: float, level: int = LOUD, *, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """A square wave, whose root mean square is its level."""
    wave_ = np.where(np.arange(round(seconds * rate)) // 4 % 2, level, -level).astype(np.int16)
    return np.repeat(wave_[:, None], channels, axis=1)


def cut(body: bytes) -> bytes:
    facts = inspect(body)
    return b"".join(excerpt(io.BytesIO(body), facts, find_sound(io.BytesIO(body), facts)))


def samples_of(body: bytes) -> bytes:
    facts = inspect(body)
    return body[facts.data_start : facts.data_start + facts.data_bytes]


@pytest.mark.parametrize("codec", WAV_CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_kept_frames_are_the_very_bytes_that_came(codec: WavCodec, channels: int) -> None:
    silence = tone(1, 0, channels=channels)
    body = wav_file(np.concatenate([silence, tone(2.5, channels=channels), silence]), rate=RATE, codec=codec)
    before = inspect(body)
    after = inspect(cut(body))
    assert find_sound(io.BytesIO(body), before) == Span(7200, 28_800)
    assert samples_of(cut(body)) == samples_of(body)[7200 * before.frame_bytes : 28_800 * before.frame_bytes]
    assert (after.codec, after.channels, after.sample_rate) == (before.codec, channels, RATE)
    assert after.frames == 21_600


def test_an_independent_reader_opens_what_was_kept() -> None:
    body = wav_file(np.concatenate([tone(1, 0), tone(0.5), tone(3, 0)]), rate=RATE)
    with wave.open(io.BytesIO(cut(body))) as opened:
        assert (opened.getnframes(), opened.getframerate(), opened.getnchannels()) == (5600, RATE, 1)
        assert opened.readframes(5600) == samples_of(body)[7200 * 2 : 12_800 * 2]


def test_one_second_that_is_only_just_too_quiet_is_silence() -> None:
    for level, stop in ((184, 800), (185, RATE)):
        body = wav_file(tone(1, level), rate=RATE)
        assert find_sound(io.BytesIO(body), inspect(body)) == Span(0, stop)


def test_one_channel_is_enough_to_be_heard() -> None:
    samples = tone(3, 0, channels=2)
    samples[RATE : 2 * RATE, 1:] = tone(1)
    body = wav_file(samples, rate=RATE)
    assert find_sound(io.BytesIO(body), inspect(body)) == Span(7200, 16_800)


@pytest.mark.parametrize("seconds", [0.000125, 0.05, 0.1, 1, 61])
def test_nothing_but_silence_keeps_its_first_tenth_of_a_second(seconds: float) -> None:
    body = wav_file(tone(seconds, QUIET), rate=RATE)
    assert inspect(cut(body)).frames == min(800, inspect(body).frames)


def test_silence_between_sounds_stays() -> None:
    body = wav_file(np.concatenate([tone(0.2), tone(30, 0), tone(0.2)]), rate=RATE)
    assert find_sound(io.BytesIO(body), inspect(body)) == Span(0, inspect(body).frames)


@given(
    lead=st.integers(0, 20_000),
    sound=st.integers(320, 20_000),
    tail=st.integers(0, 20_000),
    rate=st.sampled_from([8000, 11_025, 44_100]),
)
def test_no_sound_is_ever_cut_and_little_silence_is_left(lead: int, sound: int, tail: int, rate: int) -> None:
    samples = np.zeros((lead + sound + tail, 1), np.int16)
    samples[lead : lead + sound] = tone(1, rate=sound)
    body = wav_file(samples, rate=rate)
    span = find_sound(io.BytesIO(body), inspect(body))
    most = rate // 10 + rate // 50
    assert max(0, lead - most) <= span.first <= lead
    assert lead + sound <= span.stop <= min(len(samples), lead + sound + most)


def test_other_chunks_and_an_odd_end_are_set_right() -> None:
    data = bytes([128]) * 2000 + bytes([255, 0] * 1000)
    body = riff(chunk(b"LIST", b"INFOINAM"), fmt(1, bits=8), chunk(b"data", data), chunk(b"cue ", b"\0" * 4))
    facts = inspect(body)
    whole = b"".join(excerpt(io.BytesIO(body), facts, Span(1201, 4000)))
    assert samples_of(whole) == data[1201:]
    assert (len(whole) % 2, int.from_bytes(whole[4:8], "little")) == (0, len(whole) - 8)


def test_a_file_that_shrank_is_not_guessed_at() -> None:
    body = wav_file(tone(1), rate=RATE)
    short = io.BytesIO(body[:-2])
    with pytest.raises(BlobAltered):
        find_sound(io.BytesIO(body[:100]), inspect(body))
    with pytest.raises(BlobAltered):
        list(excerpt(short, inspect(body), Span(0, RATE)))
