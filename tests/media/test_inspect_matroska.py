"""What is in a Matroska file is found, and nothing in it is believed."""

from __future__ import annotations

import io
import random
import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callreel.errors import NotAudio
from callreel.media.ebml import MOST_ELEMENTS
from callreel.media.matroska import MatroskaFacts, inspect_matroska, inspect_matroska_file
from callreel.rehearsal.matroska_file import MATROSKA_CODECS, matroska

UNKNOWN = b"\x01" + b"\xff" * 7
KINDS = {"OPUS": "audio", "PCMU": "audio", "VP8": "video", "H264": "video"}
TEXTS = {"OPUS": b"A_OPUS", "PCMU": b"A_MS/ACM", "VP8": b"V_VP8", "H264": b"V_MPEG4/ISO/AVC"}


def inspect(body: bytes) -> MatroskaFacts:
    return inspect_matroska(io.BytesIO(body), len(body))


def refusal(body: bytes) -> str:
    with pytest.raises(NotAudio) as why:
        inspect(body)
    return why.value.message


def el(element_id: str, *content: bytes, size: bytes | None = None) -> bytes:
    body = b"".join(content)
    return bytes.fromhex(element_id) + (size or (1 << 28 | len(body)).to_bytes(4, "big")) + body


def num(element_id: str, value: int) -> bytes:
    return el(element_id, value.to_bytes(8, "big"))


def head(doc_type: bytes = b"matroska", *more: bytes) -> bytes:
    return el("1A45DFA3", el("4282", doc_type), *more)


def info(*more: bytes, tick_ns: int = 1_000_000) -> bytes:
    return el("1549A966", num("2AD7B1", tick_ns), *more)


def duration(value: float) -> bytes:
    return el("4489", struct.pack(">d", value))


def track(codec: bytes = b"A_OPUS", *more: bytes, number: int = 1, kind: int = 2) -> bytes:
    return el("AE", num("D7", number), num("83", kind), el("86", codec), *more)


def tracks(*entries: bytes) -> bytes:
    return el("1654AE6B", *(entries or (track(),)))


def block(offset: int = 0, frame: bytes = b"frame", number: bytes = b"\x81") -> bytes:
    return el("A3", number + struct.pack(">hB", offset, 0) + frame)


def cluster(time: int, *blocks: bytes, size: bytes | None = None) -> bytes:
    return el("1F43B675", num("E7", time), *blocks, size=size)


def mk(*children: bytes, size: bytes | None = None, before: bytes | None = None) -> bytes:
    return (before or head()) + el("18538067", *children, size=size)


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
@pytest.mark.parametrize("form", [{}, {"cues": False}, {"live": True}, {"live": True, "begins_ms": 90_000}])
@pytest.mark.parametrize("seconds", [0.04, 1, 7.36, 33])
def test_a_whole_file_is_what_it_is(tmp_path, codec, form, seconds):
    path = tmp_path / "a.mkv"
    path.write_bytes(matroska(seconds, seed=3, codec=codec, **form))
    assert inspect_matroska_file(path) == MatroskaFacts(
        kind=KINDS[codec],
        container="mkv" if KINDS[codec] == "video" else "mka",
        codec=codec,
        duration_ms=round(seconds * 1000),
        tracks=1,
        has_media=True,
        size_bytes=path.stat().st_size,
    )


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
@pytest.mark.parametrize("live", [False, True])
def test_a_file_without_blocks_has_no_media_and_no_length(codec, live):
    facts = inspect(matroska(0, seed=3, codec=codec, live=live))
    assert (facts.has_media, facts.duration_ms, facts.codec) == (False, 0, codec)


def test_a_claimed_duration_without_blocks_is_no_length():
    facts = inspect(mk(info(duration(5000)), tracks(), cluster(0)))
    assert (facts.has_media, facts.duration_ms) == (False, 0)


def test_a_block_without_a_frame_is_no_media():
    assert not inspect(mk(info(), tracks(), cluster(0, block(frame=b"")))).has_media


def test_webm_is_matroska():
    assert inspect(mk(info(), tracks(), before=head(b"webm"))).container == "mka"


@pytest.mark.parametrize("codec", [b"A_PCM/MULAW", b"A_PCM/MULAW\0\0"])
def test_mulaw_has_two_names(codec):
    assert inspect(mk(info(), tracks(track(codec)))).codec == "PCMU"
    assert inspect(mk(info(), tracks(track(b"A_MS/ACM", el("63A2", b"\x07\0rest"))))).codec == "PCMU"


def test_sound_and_picture_together_are_a_video():
    facts = inspect(mk(info(), tracks(track(), track(b"V_VP8", number=2, kind=1), track(b"S_TEXT", number=3, kind=17))))
    assert (facts.kind, facts.container, facts.codec, facts.tracks) == ("video", "mkv", "VP8", 2)


@pytest.mark.parametrize(
    ("value", "tick_ns", "expected"),
    [(5000, 1_000_000, 5000), (5000.01, 1_000_000, 5001), (240_000, 20_833, 5000), (0.0001, 1_000_000, 1)],
)
def test_the_heads_duration_counts_in_its_own_ticks(value, tick_ns, expected):
    body = mk(info(duration(value), tick_ns=tick_ns), tracks(), cluster(0, block()))
    assert inspect(body).duration_ms == expected


def test_a_short_float_is_a_duration_too():
    assert inspect(mk(info(el("4489", struct.pack(">f", 1500))), tracks(), cluster(0, block()))).duration_ms == 1500


@pytest.mark.parametrize("missing", [(), (duration(0),), (el("4489"),)])
def test_without_a_duration_it_is_the_time_from_the_first_to_the_end_of_the_last_block(missing):
    group = el("A0", el("A1", b"\x81\x00\x28\x00frame"), num("9B", 20))
    many = [cluster(10_000 + 1000 * n, block(0), block(20)) for n in range(40)]
    body = mk(info(*missing), tracks(), *many, cluster(50_000, group), cluster(51_000))
    assert inspect(body).duration_ms == 40_000 + 40 + 20


def test_the_tracks_frame_length_ends_the_last_block():
    body = mk(info(), tracks(track(b"A_OPUS", num("23E383", 20_000_000))), cluster(0, block()), cluster(1000, block()))
    assert inspect(body).duration_ms == 1020


def test_one_block_alone_lasts_a_millisecond():
    assert inspect(mk(info(), tracks(), cluster(77, block()))).duration_ms == 1


def test_a_cluster_of_unknown_size_ends_where_the_next_thing_begins():
    open_cluster = cluster(0, block(0), block(500), size=UNKNOWN)
    tail = el("1C53BB6B", b"cues are not read")
    body = mk(info(), tracks(), open_cluster, cluster(1000, block(7)), open_cluster, tail, size=UNKNOWN)
    assert inspect(body).duration_ms == 1007


def test_padding_checksums_and_unknown_elements_are_stepped_over():
    odd = el("EC", bytes(300)) + el("BF", b"abcd") + el("5FFF", b"whatever")
    assert inspect(mk(odd, info(odd), odd, tracks(odd, track(b"A_OPUS", odd)), cluster(0, odd, block()), odd)).has_media


def test_what_follows_the_segment_does_not_count():
    body = mk(info(), tracks(), cluster(0, block()))
    assert inspect(body + b"junk") == replace(inspect(body), size_bytes=len(body) + 4)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The body is empty"),
        (b"RIFF....WAVE", "does not begin as Matroska does"),
        (b"\x1a\x45\xdf", "does not begin as Matroska does"),
        (head(b"avi2"), "of type 'avi2', not Matroska"),
        (el("1A45DFA3"), "of type '', not Matroska"),
        (head(b"matroska", num("4285", 5)), "later version than 4"),
        (head(b"matroska", num("42F2", 8)), "longer ids"),
        (head(b"matroska", num("42F3", 9)), "longer ids"),
        (head(b"m" * 65), "has 65 bytes; 64 are possible"),
        (el("1A45DFA3", size=b"\xff"), "EBML head has no size"),
        (head(), "no segment behind its head"),
        (head() + el("1654AE6B"), "no segment behind its head"),
        (mk(tracks()), "no segment information"),
        (mk(info()), "no track of sound or picture"),
        (mk(info(), tracks(track(b"S_TEXT", kind=17))), "no track of sound or picture"),
        (mk(info(), tracks(track(b"A_AAC"))), "a track of codec 'A_AAC'"),
        (mk(info(), tracks(track(b"A_OPUS", kind=1))), "a track of codec 'A_OPUS'"),
        (mk(info(), tracks(track(b"A_MS/ACM", el("63A2", b"\x55\0")))), "a track of codec 'A_MS/ACM'"),
        (mk(info(), tracks(track(b"A_\xff\x1b[2J"))), r"codec 'A_\\xff\x1b[2J'"),
        (mk(info(), tracks(track(), track())), "two tracks of number 1"),
        (mk(info(), tracks(track(number=0))), "without a number"),
        (mk(info(), tracks(*(track(number=n) for n in range(1, 34)))), "more than 32 tracks"),
        (mk(info(tick_ns=0), tracks()), "units of 0 nanoseconds"),
        (mk(info(duration(float("nan"))), tracks()), "duration is nan"),
        (mk(info(duration(float("inf"))), tracks()), "duration is inf"),
        (mk(info(duration(-1)), tracks()), "duration is -1.0"),
        (mk(info(el("4489", b"abc")), tracks()), "a number of 3 bytes"),
        (mk(info(duration(1e12)), tracks(), cluster(0, block())), "a week is the most"),
        (mk(info(duration(1e308), tick_ns=2**64 - 1), tracks(), cluster(0, block())), "a week is the most"),
        (mk(info(), tracks(), cluster(0, block()), cluster(2**64 - 1, block())), "a week is the most"),
        (mk(info(), tracks(), cluster(0, el("A3"))), "has no head"),
        (mk(info(), tracks(), cluster(0, el("A3", b"\x81\0"))), "has no head"),
        (mk(info(), tracks(), cluster(0, el("A3", b"\0\0\0\0\0"))), "has no head"),
        (mk(info(), el("1654AE6B", track(), size=UNKNOWN), size=UNKNOWN), "segment holds element 1654AE6B of unknown"),
        (mk(info(), tracks(), cluster(0, el("A0", size=b"\xff")), size=UNKNOWN), "holds element A0 of unknown size"),
        (mk(info(el("2AD7B1", bytes(9))), tracks()), "has 9 bytes; 8 are possible"),
        (mk(info(), tracks(), b"\0\0\0\0"), "no element at byte"),
        (mk(info(), tracks(), b"\x0f\xff\xff"), "no element at byte"),
        (mk(info(), tracks(), b"\xec\x00\x00"), "inside the head of an element"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_with_the_reason(body, words):
    assert words in refusal(body)
    assert refusal(body).isprintable(), "what a stranger wrote into the file is quoted, never passed on"


def test_a_cluster_that_promises_more_than_is_there_is_refused_with_the_numbers():
    body = mk(info(), tracks(), cluster(0, block()), cluster(1000, block(frame=bytes(500))), size=UNKNOWN)
    promised = (1 + 4 + 8) + (1 + 4 + 4 + 500)  # the timestamp and the block, each with its head
    assert f"promises {promised} bytes and its segment has {promised - 100} left" in refusal(body[:-100])
    assert "element 1F43B675 at byte" in refusal(body[:-100])


def test_a_segment_that_promises_more_than_is_there_is_refused_with_the_numbers():
    body = matroska(3, seed=1, codec="OPUS")
    assert f"its file has {len(body) - 1000 - 52} left" in refusal(body[:-1000])


def test_nested_beyond_all_reason_is_stepped_over():
    deep = b""
    for _ in range(20_000):
        deep = el("A0", deep) if len(deep) < 1 << 27 else deep
    assert inspect(mk(info(), tracks(), cluster(0, el("A0", deep), block()))).has_media


def test_a_flood_of_tiny_elements_ends():
    flood = b"\xec\x80" * (MOST_ELEMENTS + 10)
    assert f"more than {MOST_ELEMENTS} elements" in refusal(mk(info(), tracks(), flood))


class Watched(io.BytesIO):
    """A file that adds up what is read of it."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.read_bytes = self.largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        body = super().read(size)
        self.read_bytes += len(body)
        self.largest = max(self.largest, len(body), size or 0)
        return body


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
@pytest.mark.parametrize("live", [False, True])
def test_frames_are_never_read(codec, live):
    body = matroska(60, seed=1, codec=codec, live=live)
    file = Watched(body)
    inspect_matroska(file, len(body))
    assert file.largest <= 64
    assert file.read_bytes < (4_000 if not live else 40 * 60 * 50)


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
def test_cut_anywhere_a_whole_file_is_refused(codec):
    body = matroska(0.2, seed=1, codec=codec)
    for size in range(len(body)):
        assert refusal(body[:size])


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
def test_cut_anywhere_a_live_file_is_refused_or_shorter(codec):
    body = matroska(0.4, seed=1, codec=codec, live=True)
    kept = 0
    for size in range(len(body)):
        try:
            facts = inspect(body[:size])
        except NotAudio:
            continue
        kept += 1
        assert facts.duration_ms < 400
    assert kept >= 10, "a live file that ends between two blocks is a whole one"


def test_two_thousand_mutations_are_refused_or_understood():
    rng = random.Random(20261121)
    seeds = [matroska(1.2, seed=1, codec=c, live=live) for c in MATROSKA_CODECS for live in (False, True)]
    refused = 0
    for n in range(2_000):
        body = bytearray(seeds[n % len(seeds)])
        for _ in range(rng.randint(1, 4)):
            where = rng.randrange(min(len(body), 600)) if rng.random() < 0.7 else rng.randrange(len(body))
            what = rng.random()
            if what < 0.6:
                body[where] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            elif what < 0.8:
                del body[where : where + rng.randint(1, 20)]
            else:
                body[where:where] = rng.randbytes(rng.randint(1, 9))
        refused += not understood(bytes(body))
    assert 300 < refused < 1_900, "mutations that always or never matter test nothing"


def understood(body: bytes) -> bool:
    try:
        facts = inspect(body)
    except NotAudio:
        return False
    assert (facts.duration_ms > 0) == facts.has_media
    assert facts.duration_ms <= 7 * 24 * 3600 * 1000
    assert facts.codec in MATROSKA_CODECS
    assert facts.tracks >= 1
    return True


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_head_are_refused_or_understood(tail):
    understood(head() + tail)
    understood(mk(info(), tracks(), size=UNKNOWN) + tail)
    understood(mk(info(), tracks(), cluster(0, size=UNKNOWN), size=UNKNOWN) + tail)


IDS = "1A45DFA3 18538067 1549A966 1654AE6B 1F43B675 AE D7 83 86 63A2 E7 A3 A0 A1 9B 2AD7B1 4489 EC 1C53BB6B"
ids = st.sampled_from(IDS.split())
trees = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(
        st.tuples(
            ids, inner, st.sampled_from([None, None, None, b"\xff", UNKNOWN, b"\x80", b"\x01" + b"\xfe" * 7])
        ).map(lambda t: el(t[0], t[1], size=t[2])),
        max_size=4,
    ).map(b"".join),
    max_leaves=12,
)


@settings(deadline=None, max_examples=400)
@given(trees)
def test_any_tree_of_known_elements_is_refused_or_understood(tree):
    understood(head() + tree)
    understood(mk(info(), tracks(), tree))
    understood(mk(info(), tracks(), tree, cluster(5, block()), size=UNKNOWN))
