"""Samples come out of every codec as the 16-bit PCM they stand for."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.media.wav_bytes import chunk, fmt, riff

import callreel
from callreel.errors import BlobAltered, BlobMissing
from callreel.media.samples import BLOCK_FRAMES, mixed_to_mono, read_samples
from callreel.media.wav import inspect_wav_file
from callreel.rehearsal.speech import speech
from callreel.rehearsal.wav_file import wav_file

SOURCE = Path(callreel.__file__).parents[1]


def pcm(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def samples_of(path: Path, body: bytes) -> bytes:
    path.write_bytes(body)
    return b"".join(read_samples(path, inspect_wav_file(path)))


@pytest.mark.parametrize(
    ("number", "bits", "data", "expected"),
    [
        # G.711's decoder output values: the loudest, the quietest, and both zeros
        (7, 8, b"\x00\x80\xff\x7f\xfe\x7e\x8f\x0f", pcm(-32124, 32124, 0, 0, 8, -8, 16764, -16764)),
        (6, 8, b"\xd5\x55\xd4\x54\xaa\x2a", pcm(8, -8, 24, -24, 32256, -32256)),
        (1, 8, b"\x00\x7f\x80\x81\xff", pcm(-32768, -256, 0, 256, 32512)),
        (1, 16, pcm(-32768, -1, 0, 1, 32767), pcm(-32768, -1, 0, 1, 32767)),
        (1, 24, b"\0\0\x80\xff\xff\x7f\0\1\0", pcm(-32768, 32767, 1)),
    ],
)
def test_known_codes_decode_to_known_samples(tmp_path, number, bits, data, expected):
    assert samples_of(tmp_path / "a.wav", riff(fmt(number, bits=bits), chunk(b"data", data))) == expected


@pytest.mark.parametrize(("codec", "worst"), [("pcm_mulaw", 644), ("pcm_alaw", 520), ("pcm_u8", 256), ("pcm_s24le", 1)])
def test_every_16_bit_value_survives_a_codec_within_its_step(tmp_path, codec, worst):
    every = np.arange(-32768, 32768, dtype=np.int16).reshape(-1, 1)
    heard = np.frombuffer(samples_of(tmp_path / "a.wav", wav_file(every, rate=8000, codec=codec)), "<i2")
    assert np.max(np.abs(heard.astype(int) - every[:, 0])) <= worst


def test_blocks_are_bounded_and_nothing_is_lost_between_them(tmp_path):
    path, frames = tmp_path / "a.wav", 2 * BLOCK_FRAMES + 123
    body = speech(frames / 8000, seed=5, channels=2)
    path.write_bytes(body)
    blocks = list(read_samples(path, inspect_wav_file(path)))
    assert [len(b) // 4 for b in blocks] == [BLOCK_FRAMES, BLOCK_FRAMES, 123]
    assert b"".join(blocks) == body[44:]


def test_samples_behind_the_data_chunk_are_not_sound(tmp_path):
    body = riff(fmt(), chunk(b"data", pcm(1, 2, 3)), chunk(b"LIST", b"noise"))
    assert samples_of(tmp_path / "a.wav", body) == pcm(1, 2, 3)


def test_a_file_that_shrank_since_is_an_altered_blob(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(speech(1, seed=5))
    facts = inspect_wav_file(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BlobAltered, match=r"a\.wav ends at byte 16034; 16044 were there"):
        list(read_samples(path, facts))


def test_a_file_that_is_gone_is_a_missing_blob(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(speech(1, seed=5))
    facts = inspect_wav_file(path)
    path.unlink()
    with pytest.raises(BlobMissing, match=r"a\.wav is not there"):
        list(read_samples(path, facts))


def test_two_channels_are_averaged_and_never_clip():
    stereo = pcm(100, 200, -1, -1, 32767, 32767, -32768, -32768, 1, 2, -1, -2, 32767, -32768)
    assert b"".join(mixed_to_mono([stereo])) == pcm(150, -1, 32767, -32768, 1, -2, -1)


def test_looking_at_an_upload_does_not_import_numpy():
    code = (
        "import sys, callreel.media.samples, callreel.media.wav, callreel.media.wav_rendition\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={"PYTHONPATH": str(SOURCE)})
