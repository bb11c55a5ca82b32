"""A recording handed out as WAV."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.media.wav_bytes import chunk, fmt, inspect, riff

from callreel.errors import BlobAltered, RangeNotSatisfiable, RecordingIsMono
from callreel.media.samples import BLOCK_FRAMES
from callreel.media.wav import inspect_wav_file
from callreel.media.wav_rendition import WavRendition, serve_wav
from callreel.rehearsal.speech import speech
from callreel.rehearsal.wav_file import WAV_CODECS

FORMS = [(1, None), (1, 1), (2, None), (2, 2), (2, 1)]


def rendition(path: Path, body: bytes, requested: int | None) -> WavRendition:
    path.write_bytes(body)
    return serve_wav(path, inspect_wav_file(path), requested)


def whole(of: WavRendition) -> bytes:
    return b"".join(of.chunks())


@pytest.mark.parametrize(("channels", "requested"), FORMS[:4])
@pytest.mark.parametrize("codec", WAV_CODECS)
def test_what_is_asked_as_it_was_recorded_is_the_original_byte_for_byte(tmp_path, channels, requested, codec):
    body = speech(3, seed=2, channels=channels, codec=codec) + chunk(b"LIST", b"kept too")
    made = rendition(tmp_path / "a.wav", body, requested)
    assert made.is_original
    assert whole(made) == body
    assert made.size_bytes == len(body)


@pytest.mark.parametrize(("channels", "requested"), FORMS)
def test_the_standard_library_opens_what_is_served(tmp_path, channels, requested):
    made = rendition(tmp_path / "a.wav", speech(12, seed=2, channels=channels), requested)
    with wave.open(io.BytesIO(whole(made))) as heard:
        assert (heard.getnchannels(), heard.getframerate()) == (requested or channels, 8000)
        assert len(heard.readframes(1_000_000)) == 12 * 8000 * 2 * (requested or channels)


@pytest.mark.parametrize("codec", WAV_CODECS)
def test_a_down_mix_of_any_codec_is_16_bit_mono_with_a_true_head(tmp_path, codec):
    body = whole(rendition(tmp_path / "a.wav", speech(1, seed=2, channels=2, codec=codec), 1))
    facts = inspect(body)
    assert (facts.codec, facts.channels, facts.frames, facts.size_bytes) == ("pcm_s16le", 1, 8000, 16044)
    assert int.from_bytes(body[4:8], "little") == len(body) - 8


def test_a_down_mix_is_the_average_of_both_channels(tmp_path):
    stereo = np.array([[100, 200], [-3, -4], [32767, 32767], [-32768, 32767]], "<i2")
    body = whole(rendition(tmp_path / "a.wav", riff(fmt(channels=2), chunk(b"data", stereo.tobytes())), 1))
    assert np.frombuffer(body[44:], "<i2").tolist() == [150, -4, 32767, -1]


def test_two_channels_of_one_are_refused(tmp_path):
    with pytest.raises(RecordingIsMono):
        rendition(tmp_path / "a.wav", speech(1, seed=2), 2)


@pytest.mark.parametrize("requested", [None, 1])
def test_an_empty_recording_is_a_head_and_nothing_else(tmp_path, requested):
    made = rendition(tmp_path / "a.wav", speech(0, seed=2, channels=2), requested)
    assert len(whole(made)) == made.size_bytes == 44


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(FORMS), codec=st.sampled_from(WAV_CODECS))
def test_any_range_equals_the_slice_of_the_whole(tmp_path, data, form, codec):
    made = rendition(tmp_path / "a.wav", speech(5.5, seed=7, channels=form[0], codec=codec), form[1])
    start = data.draw(st.integers(0, made.size_bytes) | st.integers(0, 60))
    stop = data.draw(st.integers(start, made.size_bytes) | st.just(made.size_bytes))
    body = whole(made)
    assert len(body) == made.size_bytes
    assert b"".join(made.chunks(start, stop)) == body[start:stop]


@pytest.mark.parametrize("start", [0, 1, 43, 44, 45, 46, 47, 4001])
def test_a_down_mix_from_the_middle_of_a_sample_goes_on_over_the_blocks(tmp_path, start):
    made = rendition(tmp_path / "a.wav", speech(12, seed=7, channels=2), 1)
    assert made.size_bytes - start > 2 * 2 * BLOCK_FRAMES
    assert b"".join(made.chunks(start)) == whole(made)[start:]


@pytest.mark.parametrize(("start", "stop"), [(-1, 10), (10, 9), (0, 16045), (16045, 16045)])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_range_outside_the_file_is_refused_before_the_first_byte(tmp_path, start, stop, channels):
    made = rendition(tmp_path / "a.wav", speech(1, seed=2, channels=channels), 1)
    with pytest.raises(RangeNotSatisfiable) as refusal:
        made.chunks(start, stop)
    assert refusal.value.size_bytes == 16044


@pytest.mark.parametrize("requested", [1, 2])
def test_a_file_that_shrank_is_not_served_as_if_whole(tmp_path, requested):
    made = rendition(tmp_path / "a.wav", speech(1, seed=2, channels=2), requested)
    made.file.write_bytes(made.file.read_bytes()[:-1])
    with pytest.raises(BlobAltered):
        whole(made)
