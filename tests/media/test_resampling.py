"""Sound at another rate: the right length, the same sound, and nothing that folded back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callreel.media.resampling import resampled, resampled_frames

RATES = [4000, 6000, 11025, 12000, 16000, 22050, 32000, 44100, 48000, 96000, 191999, 192000]


def at_8k(frames: np.ndarray, rate: int, cuts: list[int] | None = None) -> np.ndarray:
    """The frames (one column per channel) at 8 kHz, handed over cut into pieces of these lengths, over and over."""
    blocks, at, n = [], 0, 0
    while at < len(frames):
        size = cuts[n % len(cuts)] if cuts else len(frames)
        blocks.append(frames[at : at + size].astype("<i2").tobytes())
        at, n = at + size, n + 1
    made = b"".join(resampled(blocks, channels=frames.shape[1], from_rate=rate, to_rate=8000))
    return np.frombuffer(made, "<i2").reshape(-1, frames.shape[1])


def tone(hertz: float, rate: int, *, seconds: float = 1, level: float = 10_000) -> np.ndarray:
    return np.rint(level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate))[:, None]


def decibels(made: np.ndarray, level: float = 10_000) -> float:
    """The loudness of the middle against that of a sine of this level."""
    middle = made[len(made) // 4 : -len(made) // 4].astype(float)
    return 20 * np.log10(max(np.sqrt(np.mean(middle**2)), 1e-3) * np.sqrt(2) / level)


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(0, 30_000),
    cuts=st.lists(st.integers(1, 9_000), min_size=1, max_size=4),
    channels=st.sampled_from([1, 2]),
    rate=st.sampled_from([4000, 11025, 16000, 44100, 48000, 191999]),
)
def test_however_the_blocks_are_cut_the_result_is_the_same_to_the_bit(frames, cuts, channels, rate):
    noise = np.random.default_rng(frames).integers(-32768, 32768, (frames, channels))
    made = at_8k(noise, rate, cuts)
    assert np.array_equal(made, at_8k(noise, rate))
    assert len(made) == resampled_frames(frames, from_rate=rate, to_rate=8000)


@pytest.mark.parametrize("rate", RATES)
def test_blocks_of_a_single_frame_are_blocks_too(rate):
    noise = np.random.default_rng(1).integers(-3000, 3000, (700, 2))
    assert np.array_equal(at_8k(noise, rate, [1]), at_8k(noise, rate))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [50, 440, 1000, 0.4])
def test_a_tone_comes_out_in_step_with_the_original(rate, hertz):
    hertz = hertz if hertz >= 1 else hertz * min(rate, 8000)  # 3,200 Hz, or as near to the edge of a slower rate
    made = at_8k(tone(hertz, rate), rate)[:, 0].astype(float)
    wanted = tone(hertz, 8000)[: len(made), 0]
    inside = slice(100, min(len(made), len(wanted)) - 100)
    assert np.max(np.abs(made[inside] - wanted[inside])) < 10_000 * 0.012


@pytest.mark.parametrize("rate", [r for r in RATES if r >= 11025])
@pytest.mark.parametrize("hertz", [4400, 5000, 5400])
def test_what_8_kHz_cannot_hold_vanishes_instead_of_folding_back(rate, hertz):
    assert decibels(at_8k(tone(hertz, rate), rate)) < -60


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("hertz", [7600, 8440, 12_000, 15_560, 20_000])
def test_far_above_everything_vanishes(rate, hertz):
    assert decibels(at_8k(tone(hertz, rate), rate)) < -60


@pytest.mark.parametrize("rate", [r for r in RATES if r >= 8000])
@pytest.mark.parametrize("hertz", [100, 1000, 2000, 3000, 3400])
def test_the_telephone_band_keeps_its_level(rate, hertz):
    assert abs(decibels(at_8k(tone(hertz, rate), rate))) < 0.1


@pytest.mark.parametrize("rate", RATES)
def test_silence_and_a_constant_stay_what_they_are(rate):
    constant = at_8k(np.full((rate, 1), 12_345), rate)[200:-200]
    assert np.all(constant == 12_345)
    assert not np.any(at_8k(np.zeros((rate, 2)), rate))


@pytest.mark.parametrize("rate", RATES)
def test_channels_do_not_hear_each_other(rate):
    left = tone(400, rate)
    made = at_8k(np.hstack([left, np.zeros_like(left)]), rate)
    assert np.array_equal(made[:, :1], at_8k(left, rate))
    assert not np.any(made[:, 1])


def test_the_loudest_square_wave_is_clipped_and_does_not_wrap_around():
    square = np.where(np.arange(48_000) // 240 % 2, 32767, -32768)[:, None]
    made = at_8k(square, 48_000)[100:-100, 0].astype(int)
    wanted = square[::6][100:-100, 0]
    steady = np.abs(np.convolve(wanted, np.ones(9) / 9, "same") - wanted) < 1
    assert np.all(np.sign(made[steady]) == np.sign(wanted[steady]))
    assert np.max(made) == 32767


def test_memory_does_not_grow_with_the_sound():
    largest = 0

    def blocks():
        for _ in range(50):
            yield bytes(2 * 40_000)

    for block in resampled(blocks(), channels=1, from_rate=48_000, to_rate=8_000):
        largest = max(largest, len(block))
    assert largest <= 2 * 8_000
