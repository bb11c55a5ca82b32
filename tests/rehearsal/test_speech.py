"""The demo's sound is a valid WAV, the same for the same seed, and never silent."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from callreel.rehearsal.speech import speech, wav_of_size
from callreel.rehearsal.wav_file import WAV_CODECS


def samples(body: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(body)) as heard:
        return np.frombuffer(heard.readframes(10**9), "<i2").reshape(-1, heard.getnchannels()).astype(float)


def test_the_same_seed_gives_the_same_bytes_and_another_others():
    assert speech(5, seed=1, channels=2) == speech(5, seed=1, channels=2)
    assert speech(5, seed=1) != speech(5, seed=2)


@pytest.mark.parametrize("codec", WAV_CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_length_is_exactly_what_was_asked(codec, channels):
    sample_bytes = {"pcm_s16le": 2, "pcm_s24le": 3}.get(codec, 1)
    body = speech(1.5, seed=1, channels=channels, rate=16000, codec=codec)
    assert len(body) == 44 + 24_000 * channels * sample_bytes


@pytest.mark.parametrize("codec", WAV_CODECS)
@pytest.mark.parametrize("seconds", [0.01, 0.3, 20])
def test_it_is_never_silent(codec, seconds):
    assert len(set(speech(seconds, seed=4, codec=codec)[44:])) > 2


@pytest.mark.parametrize("seed", range(5))
def test_no_second_is_silent_and_nothing_clips(seed):
    sound = samples(speech(30, seed=seed))[:, 0]
    loudness = sound.reshape(30, 8000).std(axis=1)
    assert loudness.min() > 20
    assert np.abs(sound).max() < 32_000


def test_there_are_pauses_between_the_words():
    windows = samples(speech(60, seed=1))[:, 0].reshape(-1, 400).std(axis=1)
    assert 0.03 < np.mean(windows < 100) < 0.5
    assert np.mean(windows > 500) > 0.4


def test_two_people_take_turns():
    windows = samples(speech(60, seed=1, channels=2)).reshape(-1, 8000, 2).std(axis=1)
    talking = windows > 200
    assert talking[:, 0].any()
    assert talking[:, 1].any()
    assert np.mean(talking.all(axis=1)) < 0.3


def test_a_voice_has_harmonics_of_its_pitch_below_the_telephones_edge():
    sound = samples(speech(60, seed=1, rate=16000))[:, 0]
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / 16000)
    assert spectrum[(hertz > 80) & (hertz < 3600)].sum() > 0.95 * spectrum.sum()


def test_no_time_at_all_is_a_valid_wav_without_a_sample():
    assert samples(speech(0, seed=1)).shape == (0, 1)


@pytest.mark.parametrize(("seconds", "channels"), [(-1, 1), (1, 0), (1, 3)])
def test_what_cannot_be_spoken_is_refused(seconds, channels):
    with pytest.raises(ValueError, match="1 or 2 channels"):
        speech(seconds, seed=1, channels=channels)


@pytest.mark.parametrize("size_bytes", [46, 47, 1000, 100_001, 102_400, 5_000_000, 5_000_001])
def test_a_wav_of_a_size_has_that_size_and_opens(size_bytes):
    body = wav_of_size(size_bytes, seed=1)
    assert len(body) == size_bytes
    with wave.open(io.BytesIO(body)) as heard:
        assert heard.getnframes() * heard.getsampwidth() == size_bytes - 44


def test_a_wav_too_small_for_a_sample_is_refused():
    with pytest.raises(ValueError, match="too few"):
        wav_of_size(45, seed=1)
