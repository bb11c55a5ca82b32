"""What a WAV holds is found without believing its head."""

from __future__ import annotations

import io
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.wav_bytes import chunk, extensible, fmt, inspect, riff

from callreel.errors import NotAudio
from callreel.media.wav import Codec, inspect_wav, inspect_wav_file
from callreel.rehearsal.speech import speech
from callreel.rehearsal.wav_file import WAV_CODECS

TEN = bytes(range(20))  # ten 16-bit samples
UNFINISHED = [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFFF00, 0x7FFFFFFF - 36, 0x80000000]


@pytest.mark.parametrize("codec", WAV_CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kept_codec_is_recognised(codec, channels):
    facts = inspect(speech(0.5, seed=1, channels=channels, codec=codec))
    assert (facts.codec, facts.channels, facts.sample_rate) == (codec, channels, 8000)
    assert (facts.frames, facts.duration_ms, facts.data_start) == (4000, 500, 44)
    assert facts.data_bytes == facts.size_bytes - 44


@pytest.mark.parametrize(
    ("number", "bits", "codec"),
    [(1, 8, Codec.PCM_U8), (1, 16, Codec.PCM_S16), (1, 24, Codec.PCM_S24), (6, 8, Codec.ALAW), (7, 8, Codec.MULAW)],
)
def test_an_extensible_format_means_its_sub_format(number, bits, codec):
    facts = inspect(riff(extensible(number, 2, 16000, bits), chunk(b"data", bytes(60))))
    assert (facts.codec, facts.sample_rate, facts.frames) == (codec, 16000, 60 // (2 * bits // 8))


def test_chunks_around_the_samples_are_stepped_over():
    body = riff(chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", b"\0" * 4), chunk(b"data", TEN), chunk(b"LIST", b"end"))
    facts = inspect(body)
    assert (facts.frames, body[facts.data_start : facts.data_start + facts.data_bytes]) == (10, TEN)


@pytest.mark.parametrize("promised", UNFINISHED)
@pytest.mark.parametrize("riff_promised", [0, 36, 0xFFFFFFFF, 0x7FFFFFFF])
def test_an_unfinished_stream_goes_on_to_the_end_of_the_file(promised, riff_promised):
    facts = inspect(riff(fmt(), chunk(b"data", TEN, promised=promised), promised=riff_promised))
    assert (facts.frames, facts.data_bytes) == (10, 20)


def test_an_unfinished_stream_ends_with_a_whole_frame():
    facts = inspect(riff(fmt(channels=2), chunk(b"data", bytes(22), promised=0xFFFFFFFF)))
    assert (facts.data_bytes, facts.frames) == (20, 5)


def test_a_data_size_smaller_than_the_file_is_taken_as_said():
    assert inspect(riff(fmt(), chunk(b"data", TEN, promised=8))).frames == 4


@pytest.mark.parametrize("rest", [b"", chunk(b"LIST", b"made by nobody")])
def test_a_finished_file_without_a_sample_has_no_frames(rest):
    facts = inspect(riff(fmt(), chunk(b"data", b""), rest))
    assert (facts.frames, facts.duration_ms) == (0, 0)


def test_less_than_a_frame_is_no_frame():
    assert inspect(riff(fmt(channels=2), chunk(b"data", b"abc"))).frames == 0


def test_one_sample_already_lasts():
    assert inspect(riff(fmt(rate=192000), chunk(b"data", b"ab"))).duration_ms == 1


@pytest.mark.parametrize("promised", [21, 22, 4000, 0x10000000, 0x7FFF0000, 0xFFFF0000])
def test_a_data_chunk_longer_than_the_file_is_cut_short(promised):
    with pytest.raises(NotAudio, match=rf"the header promises {promised} bytes of data and 20 are there"):
        inspect(riff(fmt(), chunk(b"data", TEN, promised=promised)))


LIES = {
    "0 channels": riff(fmt(channels=0, align=2), chunk(b"data", TEN)),
    "3 channels": riff(fmt(channels=3), chunk(b"data", TEN)),
    "65535 channels": riff(fmt(channels=65535, align=2), chunk(b"data", TEN)),
    "0 samples a second": riff(fmt(rate=0), chunk(b"data", TEN)),
    "3999 samples a second": riff(fmt(rate=3999), chunk(b"data", TEN)),
    "192001 samples a second": riff(fmt(rate=192001), chunk(b"data", TEN)),
    "4294967295 samples a second": riff(fmt(rate=0xFFFFFFFF), chunk(b"data", TEN)),
    "block align is 0": riff(fmt(align=0), chunk(b"data", TEN)),
    "block align is 4": riff(fmt(align=4), chunk(b"data", TEN)),
    "PCM of 0 bits": riff(fmt(bits=0), chunk(b"data", TEN)),
    "PCM of 12 bits": riff(fmt(bits=12), chunk(b"data", TEN)),
    "PCM of 32 bits": riff(fmt(bits=32), chunk(b"data", TEN)),
    "mu-law of 16 bits": riff(fmt(7, bits=16), chunk(b"data", TEN)),
    "floating point of 32 bits": riff(fmt(3, bits=32), chunk(b"data", TEN)),
    "GSM 6.10": riff(fmt(49, bits=0, align=65), chunk(b"data", TEN)),
    "MP3 of 0 bits": riff(fmt(85, bits=0, align=1), chunk(b"data", TEN)),
    "format 4660 of 16 bits": riff(fmt(0x1234), chunk(b"data", TEN)),
    "floating point of 16 bits": riff(extensible(3), chunk(b"data", TEN)),
    "none that Microsoft registered": riff(extensible(1, guid=bytes(14)), chunk(b"data", TEN)),
    "extensible fmt chunk has 16 bytes": riff(fmt(0xFFFE), chunk(b"data", TEN)),
    "fmt chunk has 4 bytes": riff(chunk(b"fmt ", b"\1\0\1\0"), chunk(b"data", TEN)),
    "promises 4294967280 bytes of fmt": riff(chunk(b"fmt ", bytes(16), promised=0xFFFFFFF0)),
    "promises 900 bytes of LIST": riff(chunk(b"LIST", b"ab", promised=900), fmt(), chunk(b"data", TEN)),
    "before any fmt chunk": riff(chunk(b"data", TEN), fmt()),
    "two fmt chunks": riff(fmt(), fmt(channels=2), chunk(b"data", TEN)),
    "before its data chunk": riff(fmt()),
    "inside its head": b"RIFF\0\0\0\0WA",
    "no data chunk among its first 64": riff(fmt(), *[chunk(b"junk", b"")] * 64, chunk(b"data", TEN)),
    "another kind than WAVE": riff(fmt(), chunk(b"data", TEN), kind=b"AVI "),
    "big-endian RIFX": riff(fmt(), chunk(b"data", TEN), magic=b"RIFX"),
    "RF64": riff(fmt(), chunk(b"data", TEN), magic=b"RF64"),
    "body is empty": b"",
    "does not begin with RIFF": b"\0" * 44,
    "ends after 8 bytes": b"RIFF\0\0\0\0",
    "HTML or XML": b"\xef\xbb\xbf\n<!doctype html><title>Sign in</title>",
    "a script": b"#!/bin/sh\nrm -rf /\n",
    "an MP3 file": b"ID3\4\0\0\0\0\0\0",
    "MPEG audio": b"\xff\xfb\x90\x64" + bytes(413),
    "an Ogg file": b"OggS" + bytes(40),
    "an MP4 file": b"\0\0\0\x20ftypM4A " + bytes(40),
    "gzip data": b"\x1f\x8b\x08" + bytes(40),
}


@pytest.mark.parametrize("reason", LIES)
def test_what_cannot_be_kept_is_refused_with_the_reason(reason):
    with pytest.raises(NotAudio) as refusal:
        inspect(LIES[reason])
    assert reason in refusal.value.message
    assert refusal.value.message.endswith(".")


def test_a_file_beyond_the_heads_counter_is_refused():
    with pytest.raises(NotAudio, match="cannot count more"):
        inspect_wav(io.BytesIO(riff(fmt(), chunk(b"data", TEN))), 2**32)


def test_an_unprintable_chunk_name_does_not_reach_the_message():
    with pytest.raises(NotAudio) as refusal:
        inspect(riff(chunk(b"\x1b[2J", b"", promised=900)))
    assert refusal.value.message.isprintable()


class CountingFile(io.BytesIO):
    """Adds up what is read."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.read_bytes += len(block)
        return block


LONG_HEADS = [
    LIES["no data chunk among its first 64"],
    riff(fmt(tail=bytes(1_000_000)), chunk(b"data", TEN)),
    riff(fmt(), chunk(b"LIST", bytes(1_000_000)), chunk(b"data", TEN)),
    speech(60, seed=1),
]


@pytest.mark.parametrize("body", LONG_HEADS)
def test_a_head_costs_no_more_than_64_kib_of_reading(body):
    file = CountingFile(body + bytes(1_000_000))
    try:
        inspect_wav(file, len(body) + 1_000_000)
    except NotAudio:
        pass
    assert 0 < file.read_bytes < 65_536


def test_no_size_in_a_head_is_allocated():
    body = riff(fmt(), chunk(b"LIST", b"x", promised=0xF0000000))
    tracemalloc.start()
    try:
        with pytest.raises(NotAudio):
            inspect(body)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_a_small_wav_cut_at_any_byte_is_refused_until_it_is_whole():
    whole = riff(chunk(b"LIST", b"abc"), fmt(), chunk(b"fact", bytes(4)), chunk(b"data", TEN))
    for length in range(len(whole)):
        with pytest.raises(NotAudio):
            inspect(whole[:length])
    assert inspect(whole).frames == 10


@given(st.integers(0, 2000), st.sampled_from(WAV_CODECS), st.sampled_from([1, 2]), st.sampled_from(UNFINISHED))
def test_an_unfinished_wav_cut_anywhere_has_facts_within_the_file_or_is_refused(cut, codec, channels, promised):
    whole = bytearray(speech(0.05, seed=3, channels=channels, codec=codec))
    whole[40:44] = promised.to_bytes(4, "little")
    assert_facts_or_refusal(bytes(whole[:cut]))


@given(st.binary(max_size=200))
def test_any_bytes_behind_a_riff_head_are_facts_or_refused(tail):
    assert_facts_or_refusal(b"RIFF\xff\xff\xff\xffWAVE" + tail)


def test_two_thousand_damaged_files_are_facts_or_refused():
    rng = random.Random(20)
    wholes = [speech(0.02, seed=n, codec=codec) for n, codec in enumerate(WAV_CODECS)]
    wholes.append(riff(chunk(b"LIST", b"abc"), extensible(1, 2), chunk(b"data", bytes(400)), chunk(b"id3 ", b"x")))
    kept = sum(assert_facts_or_refusal(damaged(rng.choice(wholes), rng)) for _ in range(2000))
    assert 200 < kept < 1900  # both outcomes were really tried


def damaged(whole: bytes, rng: random.Random) -> bytes:
    body = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(body), 80))
        match rng.randrange(4):
            case 0:
                body[at] = rng.randrange(256)
            case 1:
                body[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"data"])
            case 2:
                del body[at : at + rng.randint(1, 8)]
            case 3:
                body[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(body[: rng.randint(0, len(body))]) if rng.random() < 0.2 else bytes(body)


def assert_facts_or_refusal(body: bytes) -> bool:
    try:
        facts = inspect(body)
    except NotAudio:
        return False
    assert facts.channels in (1, 2)
    assert 4000 <= facts.sample_rate <= 192000
    assert 0 <= facts.data_start <= facts.data_start + facts.data_bytes <= len(body)
    assert facts.frames * facts.frame_bytes == facts.data_bytes
    return True


def test_a_file_on_disk_is_inspected_with_its_own_size(tmp_path):
    path = tmp_path / "RE.wav"
    path.write_bytes(speech(1, seed=1))
    assert inspect_wav_file(path).duration_ms == 1000
