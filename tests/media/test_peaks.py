"""Peaks: what is loud, when, in which channel, whatever pieces the media comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callreel.errors import CallreelError, NotAudio
from callreel.media.peaks import PeakMeter, Peaks
from callreel.rehearsal.wav_file import wav_file


def _measured(body: bytes, piece: int = 1 << 20) -> Peaks:
    meter = PeakMeter(len(body))
    for start in range(0, len(body), piece):
        meter.take(body[start : start + piece])
    return meter.finish()


def _two_voices() -> bytes:
    samples = np.zeros((8000 * 4, 2), np.int16)
    samples[8000:16000, 0] = 16384  # the second second, left
    samples[24000:, 1] = -32768  # the last, right
    return wav_file(samples, rate=8000)


def test_each_channel_is_loud_where_somebody_speaks_in_it() -> None:
    peaks = _measured(_two_voices())
    assert (peaks.channels, peaks.count) == (2, 40)
    values = np.frombuffer(peaks.values, np.uint8).reshape(-1, 2)
    assert set(values[10:20, 0]) == {128}
    assert set(values[30:, 1]) == {255}
    assert not values[:10].any()
    assert not values[20:30].any()


@given(piece=st.integers(1, 70_000))
def test_the_pieces_do_not_matter(piece: int) -> None:
    body = _two_voices()
    assert _measured(body, piece) == _measured(body)


def test_a_rest_of_less_than_a_tenth_is_measured_too() -> None:
    peaks = _measured(wav_file(np.full((8001, 1), 3, np.int16), rate=8000))
    assert peaks.count == 11
    assert peaks.values == bytes([1]) * 11  # audible is at least 1


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_ten_a_second_at_any_rate(rate: int) -> None:
    assert _measured(wav_file(np.ones((rate * 3, 1), np.int16), rate=rate)).count in (30, 31)


def test_kept_peaks_come_back_as_they_were() -> None:
    peaks = _measured(_two_voices())
    assert Peaks.unpacked(peaks.packed()) == peaks
    assert len(peaks.packed()) < len(peaks.values)


def test_the_json_is_audiowaveforms() -> None:
    told = _measured(_two_voices()).as_json()
    assert (told["version"], told["bits"], told["channels"], told["length"]) == (2, 8, 2, 40)
    assert len(told["data"]) == 40 * 2 * 2
    assert told["sample_rate"] / told["samples_per_pixel"] == 10
    assert min(told["data"]) == -127


@pytest.mark.parametrize("body", [b"", b"RIFF", b"<html>" * 1000, b"OggS" + bytes(100), bytes(200_000)])
def test_what_is_no_wav_is_refused(body: bytes) -> None:
    with pytest.raises((NotAudio, CallreelError)):
        _measured(body)


def test_a_wav_that_stops_short_gives_what_there_is() -> None:
    body = _two_voices()
    meter = PeakMeter(len(body))
    meter.take(body[: len(body) // 2])
    assert meter.finish().count == 20
