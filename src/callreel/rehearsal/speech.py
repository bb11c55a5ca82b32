"""Speech-like sound for demo, tests and benchmarks: nobody's voice, and the same for the same seed.

Voiced syllables (harmonics of a gliding pitch under the formants of a vowel), hissing consonants, pauses between
phrases, a little line noise throughout. Two people take turns: each on a channel of their own, or both on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callreel.rehearsal.wav_file import HEAD_BYTES, Samples, WavCodec, wav_file, wav_head

_VOWELS_HZ = (  # the first three formants of a, e, i, o, u and schwa, rounded from phonetics tables
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
    (500, 1500, 2500),
)
_FORMANT_LEVELS = (1.0, 0.5, 0.25)
_FORMANT_WIDTHS_HZ = (90.0, 120.0, 170.0)
_PITCHES_HZ = (118.0, 205.0)  # a low voice begins, a high one answers
_TOP_HZ = 3_400.0  # the telephone's upper edge
_PEAK = 11_000.0  # of 32767: loud enough to see, far from clipping when both are added
_NOISE = 40.0  # line noise, rms: about -58 dBFS
_NOISE_S = 4
_LOOP_S = 120  # benchmarks' large files repeat two minutes

Sound = NDArray[np.float64]


def speech(seconds: float, *, seed: int, channels: int = 1, rate: int = 8_000, codec: WavCodec = "pcm_s16le") -> bytes:
    """A complete WAV of two people talking. Somebody speaks from the first sample on.

    `channels` 2 gives each a channel, 1 puts both on one. Raises `ValueError` for other counts of channels and
    for a negative time.
    """
    if channels not in (1, 2) or seconds < 0:
        raise ValueError(f"speech has 1 or 2 channels and no negative length, not {channels} and {seconds}")
    return wav_file(_conversation(round(seconds * rate), seed, channels, rate), rate=rate, codec=codec)


def wav_of_size(size_bytes: int, seed: int) -> bytes:
    """A valid mono WAV at 8 kHz of exactly this many bytes: 16-bit PCM when even, 8-bit when odd.

    Beyond two minutes the talk repeats itself. Raises `ValueError` below the 46 bytes of the first whole sample.
    """
    data_bytes = size_bytes - HEAD_BYTES
    if data_bytes < 2:
        raise ValueError(f"{size_bytes} bytes are too few for a WAV with a sample in it")
    codec: WavCodec = "pcm_u8" if data_bytes % 2 else "pcm_s16le"
    seconds = min(_LOOP_S, data_bytes / 8_000)
    talk = speech(seconds, seed=seed, codec=codec)[HEAD_BYTES:]
    head = wav_head(data_bytes, rate=8_000, channels=1, codec=codec)
    repeats, rest = divmod(data_bytes, len(talk))
    return b"".join([head, *([talk] * repeats), talk[:rest]])


def _conversation(frames: int, seed: int, channels: int, rate: int) -> Samples:
    rng = np.random.default_rng(seed)
    line = rng.normal(0, _NOISE, (rate * _NOISE_S, channels)).astype(np.int16)
    sound = np.resize(line, (frames, channels))
    at, who = 0, 0
    while at < frames:
        voice = _Voice(_PITCHES_HZ[who], rate, rng)
        for piece in voice.turn():
            heard = piece[: max(0, frames - at)]
            sound[at : at + len(heard), who % channels] += heard.astype(np.int16)
            at += len(piece)
        who = 1 - who
    return sound


@dataclass(frozen=True, slots=True)
class _Voice:
    pitch_hz: float
    rate: int
    rng: np.random.Generator

    def turn(self) -> Iterator[Sound]:
        """What one person says before the other answers: a few phrases with a breath behind each."""
        for _ in range(self.rng.integers(2, 5)):
            syllables = int(self.rng.integers(3, 9))
            for n in range(syllables):
                if n and self.rng.random() < 0.4:
                    yield self._hiss(self.rng.uniform(0.04, 0.09))
                falling = 1.12 - 0.24 * n / syllables  # a statement sinks towards its end
                yield self._syllable(self.rng.uniform(0.10, 0.26), self.pitch_hz * falling)
            yield self._pause(self.rng.uniform(0.15, 0.6))

    def _syllable(self, seconds: float, pitch_hz: float) -> Sound:
        frames = int(seconds * self.rate)
        bend = self.rng.uniform(-0.12, 0.12)
        glide = pitch_hz * (1 + bend * np.linspace(-0.5, 1, frames))
        phase = np.cumsum(glide) * (2 * np.pi / self.rate)
        wave = _harmonics(phase, self._weights(pitch_hz))
        loudness = _PEAK * self.rng.uniform(0.5, 1.0) / float(np.max(np.abs(wave)))
        return _swell(frames) * (wave * loudness)

    def _weights(self, pitch_hz: float) -> Sound:
        """How strong each harmonic is: the glottis falls off with its number, the mouth lifts three regions."""
        top_hz = min(_TOP_HZ, 0.45 * self.rate)
        numbers = np.arange(1, int(top_hz / (pitch_hz * 1.12)) + 1)
        mouth = np.full(len(numbers), 0.02)
        formants = _VOWELS_HZ[self.rng.integers(len(_VOWELS_HZ))]
        for formant_hz, level, width_hz in zip(formants, _FORMANT_LEVELS, _FORMANT_WIDTHS_HZ, strict=True):
            mouth += level / (1 + ((numbers * pitch_hz - formant_hz) / width_hz) ** 2)
        return mouth / np.sqrt(numbers)

    def _hiss(self, seconds: float) -> Sound:
        white = self.rng.normal(0, 1, int(seconds * self.rate) + 1)
        return 0.06 * _PEAK * _swell(len(white) - 1) * np.diff(white)

    def _pause(self, seconds: float) -> Sound:
        return np.zeros(int(seconds * self.rate))


def _harmonics(phase: Sound, weights: Sound) -> Sound:
    """The sum of weights[k-1] × sin(k × phase), by Clenshaw's recurrence: one sine and one cosine for them all."""
    twice_cos = 2 * np.cos(phase)
    later, latest = np.zeros_like(phase), np.zeros_like(phase)
    for weight in weights[::-1]:
        later, latest = latest, twice_cos * latest - later + weight
    return np.sin(phase) * latest


def _swell(frames: int) -> Sound:
    """Up in the first tenth, down in the last third."""
    up, down = max(1, frames // 10), max(1, frames // 3)
    swell = np.ones(frames)
    swell[:up] = np.linspace(0.1, 1, up)
    swell[-down:] *= np.linspace(1, 0, down)
    return swell
