"""A recording handed out as MP3."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callreel.errors import BlobAltered, RangeNotSatisfiable, RecordingIsMono
from callreel.media.mp3 import Mp3Rendition, mp3_size_bytes, serve_mp3
from callreel.media.wav import inspect_wav_file
from callreel.rehearsal.speech import speech
from callreel.rehearsal.wav_file import WAV_CODECS

BITRATES_MPEG_2_5 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # layer III, by index


def rendition(path: Path, body: bytes, requested: int | None = None) -> Mp3Rendition:
    path.write_bytes(body)
    return serve_mp3(path, inspect_wav_file(path), requested)


def whole(of: Mp3Rendition) -> bytes:
    return b"".join(of.chunks())


def frames_of(mp3: bytes) -> list[tuple[int, int, bool]]:
    """Kilobits, hertz and whether mono of each frame, walking from head to head as a decoder does."""
    found, at = [], 0
    while at < len(mp3):
        head = mp3[at : at + 4]
        assert head[0] == 0xFF
        assert head[1] & 0xFE == 0xE2, "MPEG 2.5, layer III"
        kbps = BITRATES_MPEG_2_5[head[2] >> 4]
        rate = (11025, 12000, 8000)[head[2] >> 2 & 3]
        found.append((kbps, rate, head[3] >> 6 == 3))
        at += 72 * kbps * 1000 // rate + (head[2] >> 1 & 1)
    assert at == len(mp3)
    return found


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.integers(1, 60_000) | st.integers(0, 110).map(lambda n: 576 * n + 1) | st.integers(1, 1200),
       form=st.sampled_from([(1, None), (2, None), (2, 1)]))  # fmt: skip
def test_the_length_is_known_before_encoding(tmp_path, frames, form):
    made = rendition(tmp_path / "a.wav", speech(frames / 8000, seed=frames, channels=form[0]), form[1])
    assert len(whole(made)) == made.size_bytes == mp3_size_bytes(frames, made.channels)


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 48000, 192000])
@pytest.mark.parametrize("requested", [1, 2])
def test_the_length_is_known_at_any_rate(tmp_path, rate, requested):
    made = rendition(tmp_path / "a.wav", speech(6.3, seed=1, channels=2, rate=rate), requested)
    assert len(whole(made)) == made.size_bytes


@pytest.mark.parametrize("codec", WAV_CODECS)
def test_every_codec_is_encoded(tmp_path, codec):
    made = rendition(tmp_path / "a.wav", speech(7, seed=1, codec=codec))
    assert len(whole(made)) == made.size_bytes


@pytest.mark.parametrize(("channels", "requested", "kbps"), [(1, None, 32), (1, 1, 32), (2, 1, 32), (2, 2, 64)])
def test_every_frame_has_the_promised_rate_and_channels(tmp_path, channels, requested, kbps):
    made = rendition(tmp_path / "a.wav", speech(11, seed=1, channels=channels), requested)
    assert set(frames_of(whole(made))) == {(kbps, 8000, kbps == 32)}


def test_an_empty_recording_is_an_empty_mp3(tmp_path):
    made = rendition(tmp_path / "a.wav", speech(0, seed=1))
    assert (made.size_bytes, whole(made)) == (0, b"")


def test_two_channels_of_one_are_refused(tmp_path):
    with pytest.raises(RecordingIsMono):
        rendition(tmp_path / "a.wav", speech(1, seed=1), 2)


def test_encoding_twice_gives_the_same_bytes(tmp_path):
    made = rendition(tmp_path / "a.wav", speech(11, seed=1))
    assert whole(made) == whole(made)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from([(1, None), (2, None), (2, 1)]))
def test_any_range_equals_the_slice_of_the_whole(tmp_path, data, form):
    made = rendition(tmp_path / "a.wav", speech(12, seed=7, channels=form[0]), form[1])
    start = data.draw(st.integers(0, made.size_bytes))
    stop = data.draw(st.integers(start, made.size_bytes) | st.just(made.size_bytes))
    assert b"".join(made.chunks(start, stop)) == whole(made)[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(-1, 10), (10, 9), (0, 1_000_000)])
def test_a_range_outside_the_mp3_is_refused_before_the_first_byte(tmp_path, start, stop):
    made = rendition(tmp_path / "a.wav", speech(1, seed=2))
    with pytest.raises(RangeNotSatisfiable) as refusal:
        made.chunks(start, stop)
    assert refusal.value.size_bytes == made.size_bytes


def test_the_first_bytes_come_before_the_last_samples_are_read(tmp_path):
    made = rendition(tmp_path / "a.wav", speech(60, seed=2))
    chunks = made.chunks()
    assert 0 < len(next(chunks)) < made.size_bytes / 10
    made.file.write_bytes(made.file.read_bytes()[:100_000])
    with pytest.raises(BlobAltered):
        list(chunks)
