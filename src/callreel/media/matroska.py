"""What is in a Matroska or WebM file (`.mka`, `.mkv`), found without believing it and without reading a frame.

The file is walked element by element, four fixed levels deep: segment, cluster, block group, block. Clusters of known
size are skipped as a whole; only the first and the last ones with blocks in them are looked into.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from callreel.errors import NotAudio
from callreel.media.ebml import EbmlFile, Element

MOST_TRACKS = 32
LONGEST_MS = 7 * 24 * 3600 * 1000  # a week; Twilio ends a call after 4 hours and a room after 24
LAST_CLUSTERS = 16  # looked into for the last block; muxers write none that are empty

MatroskaCodec = Literal["VP8", "H264", "OPUS", "PCMU"]
"""Twilio's enum."""

_EBML, _DOC_TYPE, _DOC_TYPE_READ_VERSION = 0x1A45DFA3, 0x4282, 0x4285
_MAX_ID_LENGTH, _MAX_SIZE_LENGTH = 0x42F2, 0x42F3
_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_TIMESTAMP_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_ID, _CODEC_PRIVATE = 0xAE, 0xD7, 0x83, 0x86, 0x63A2
_DEFAULT_DURATION = 0x23E383
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _BLOCK_DURATION = 0xE7, 0xA3, 0xA0, 0xA1, 0x9B
_TOP_LEVEL = frozenset({_INFO, _TRACKS, _CLUSTER, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367})
"""What ends a cluster of unknown size: also SeekHead, Cues, Attachments, Chapters, Tags; and a new document."""

_VIDEO, _AUDIO = 1, 2
_CODECS: dict[tuple[int, str], MatroskaCodec] = {
    (_AUDIO, "A_OPUS"): "OPUS",
    (_AUDIO, "A_PCM/MULAW"): "PCMU",
    (_VIDEO, "V_VP8"): "VP8",
    (_VIDEO, "V_MPEG4/ISO/AVC"): "H264",
}
_WAVEFORMAT_MULAW = b"\x07\x00"
_MOST_TEXT_BYTES = 64
_LATEST_VERSION = 4  # RFC 9559
_BLOCK_HEAD_BYTES = 4  # track (one byte below 128), timestamp (two), flags
_WANTED = "Send Matroska with Opus or mu-law audio, or with VP8 or H.264 video."


@dataclass(frozen=True, slots=True, kw_only=True)
class MatroskaFacts:
    """What a Matroska file really holds. A file with video is an mkv, with or without sound."""

    kind: Literal["audio", "video"]
    container: Literal["mka", "mkv"]
    codec: MatroskaCodec
    duration_ms: int
    tracks: int
    has_media: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Track:
    number: int
    kind: int
    codec: MatroskaCodec
    frame_ns: int


@dataclass(frozen=True, slots=True)
class _Block:
    """When it begins and how long it lasts, in ticks; 0 when that is not said."""

    track: int
    begins: int
    lasts: int


@dataclass(slots=True)
class _Segment:
    """What was met on the way through a segment."""

    tick_ns: int | None = None
    duration_ticks: float | None = None
    tracks: dict[int, _Track] | None = None
    first: _Block | None = None
    last: _Block | None = None
    unread: deque[Element] = field(default_factory=lambda: deque(maxlen=LAST_CLUSTERS))


def inspect_matroska_file(path: Path) -> MatroskaFacts:
    """`inspect_matroska` for a file on disk, with the size the disk tells."""
    with path.open("rb") as file:
        return inspect_matroska(file, file.seek(0, 2))


def inspect_matroska(file: BinaryIO, size_bytes: int) -> MatroskaFacts:
    """Find what a seekable file of `size_bytes` bytes holds. Blocks, reads no frame, leaves the position anywhere.

    A well-formed file without blocks is returned with `has_media` False and no duration. The duration is the head's;
    where the head has none, as in files written live, it is the time from the first block to the end of the last.
    Raises `NotAudio` with the reason for all that cannot be kept, also for a file that was cut short.
    """
    ebml = EbmlFile(file, size_bytes)
    segment = _segment_of(ebml, _head_ends_at(ebml))
    seen = _Segment()
    for element in _top_level(ebml, segment, seen):
        if element.id == _INFO and seen.tick_ns is None:
            seen.tick_ns, seen.duration_ticks = _info(ebml, element)
        elif element.id == _TRACKS and seen.tracks is None:
            seen.tracks = _tracks(ebml, element)
        elif element.id == _CLUSTER:
            _meet_cluster(ebml, element, seen)
    return _facts(ebml, seen)


# --- the document ------------------------------------------------------------------------------------------------


def _head_ends_at(ebml: EbmlFile) -> int:
    if ebml.size_bytes == 0:
        raise NotAudio(f"The body is empty. {_WANTED}")
    if ebml.beginning(Element(_EBML, 0, 0, None), 4) != _EBML.to_bytes(4, "big"):
        raise NotAudio(f"The body does not begin as Matroska does. {_WANTED}")
    head = ebml.element(0, ebml.size_bytes, "file")
    if head.stop is None:
        raise NotAudio("The Matroska file's EBML head has no size.")
    doc_type = ""
    for child in ebml.children(head.start, head.stop, "EBML head"):
        if child.id == _DOC_TYPE:
            doc_type = ebml.text(child, _MOST_TEXT_BYTES)
        elif child.id == _DOC_TYPE_READ_VERSION and ebml.unsigned(child) > _LATEST_VERSION:
            raise NotAudio(f"The Matroska file is of a later version than {_LATEST_VERSION}.")
        elif (child.id == _MAX_ID_LENGTH and ebml.unsigned(child) > 4) or (
            child.id == _MAX_SIZE_LENGTH and ebml.unsigned(child) > 8
        ):
            raise NotAudio("The Matroska file announces longer ids or sizes than Matroska has.")
    if doc_type not in ("matroska", "webm"):
        raise NotAudio(f"The body is an EBML document of type {doc_type!r}, not Matroska. {_WANTED}")
    return head.stop


def _segment_of(ebml: EbmlFile, at: int) -> Element:
    while at < ebml.size_bytes:
        element = ebml.element(at, ebml.size_bytes, "file")
        if element.id == _SEGMENT:
            return element
        if element.id not in (0xEC, 0xBF) or element.stop is None:  # padding and a checksum may stand between
            break
        at = element.stop
    raise NotAudio("The Matroska file has no segment behind its head.")


def _top_level(ebml: EbmlFile, segment: Element, seen: _Segment) -> Iterator[Element]:
    """The segment's elements. A cluster of unknown size is read here, since only reading it finds its end."""
    at = segment.start
    limit = ebml.size_bytes if segment.stop is None else segment.stop
    while at < limit:
        element = ebml.element(at, limit, "segment")
        if segment.stop is None and element.id in (_EBML, _SEGMENT):
            return  # another document behind this one
        if element.stop is not None:
            yield element
            at = element.stop
        elif element.id == _CLUSTER:
            at = _read_open_cluster(ebml, element, limit, seen)
        else:
            raise NotAudio(f"The Matroska file's segment holds element {element.id:X} of unknown size.")


def _info(ebml: EbmlFile, info: Element) -> tuple[int, float | None]:
    assert info.stop is not None
    tick_ns, duration = 1_000_000, None
    for child in ebml.children(info.start, info.stop, "segment information"):
        if child.id == _TIMESTAMP_SCALE:
            tick_ns = ebml.unsigned(child)
        elif child.id == _DURATION:
            duration = ebml.floating(child)
    if tick_ns == 0:
        raise NotAudio("The Matroska file's timestamps count in units of 0 nanoseconds.")
    if duration is not None and not (math.isfinite(duration) and duration >= 0):
        raise NotAudio(f"The Matroska file's duration is {duration}.")
    return tick_ns, duration or None  # 0 is what a writer leaves who meant to come back


def _tracks(ebml: EbmlFile, tracks: Element) -> dict[int, _Track]:
    """The sound and picture tracks by number; subtitles and the like are no media of ours."""
    assert tracks.stop is not None
    found: dict[int, _Track] = {}
    for child in ebml.children(tracks.start, tracks.stop, "track list"):
        if child.id != _TRACK:
            continue
        track = _track(ebml, child)
        if track is None:
            continue
        if track.number in found:
            raise NotAudio(f"The Matroska file has two tracks of number {track.number}.")
        found[track.number] = track
        if len(found) > MOST_TRACKS:
            raise NotAudio(f"The Matroska file has more than {MOST_TRACKS} tracks.")
    return found


def _track(ebml: EbmlFile, entry: Element) -> _Track | None:
    assert entry.stop is not None
    number = kind = frame_ns = 0
    codec_id, private = "", b""
    for child in ebml.children(entry.start, entry.stop, "track"):
        if child.id == _TRACK_NUMBER:
            number = ebml.unsigned(child)
        elif child.id == _TRACK_TYPE:
            kind = ebml.unsigned(child)
        elif child.id == _CODEC_ID:
            codec_id = ebml.text(child, _MOST_TEXT_BYTES)
        elif child.id == _CODEC_PRIVATE:
            private = ebml.beginning(child, len(_WAVEFORMAT_MULAW))
        elif child.id == _DEFAULT_DURATION:
            frame_ns = ebml.unsigned(child)
    if kind not in (_VIDEO, _AUDIO):
        return None
    codec = _CODECS.get((kind, codec_id))
    if (kind, codec_id, private) == (_AUDIO, "A_MS/ACM", _WAVEFORMAT_MULAW):
        codec = "PCMU"
    if codec is None:
        raise NotAudio(f"The Matroska file has a track of codec {codec_id!r}. {_WANTED}")
    if number == 0:
        raise NotAudio("The Matroska file has a track without a number.")
    return _Track(number, kind, codec, frame_ns)


# --- clusters ----------------------------------------------------------------------------------------------------


def _meet_cluster(ebml: EbmlFile, cluster: Element, seen: _Segment) -> None:
    """Look into it only while no block is known; else put it aside, in case it is one of the last."""
    assert cluster.stop is not None
    if seen.first is None:
        _read_blocks(ebml, cluster, seen)
    else:
        seen.unread.append(cluster)


def _read_blocks(ebml: EbmlFile, cluster: Element, seen: _Segment) -> None:
    assert cluster.stop is not None
    begins = 0
    for child in ebml.children(cluster.start, cluster.stop, "cluster"):
        begins = _read_cluster_child(ebml, child, begins, seen)


def _read_open_cluster(ebml: EbmlFile, cluster: Element, limit: int, seen: _Segment) -> int:
    """Read a cluster of unknown size and tell where it ends."""
    at, begins = cluster.start, 0
    while at < limit:
        child = ebml.element(at, limit, "segment")
        if child.id in _TOP_LEVEL or child.id in (_EBML, _SEGMENT):
            return at
        if child.stop is None:
            raise NotAudio(f"The Matroska file's cluster holds element {child.id:X} of unknown size.")
        begins = _read_cluster_child(ebml, child, begins, seen)
        at = child.stop
    return at


def _read_cluster_child(ebml: EbmlFile, child: Element, begins: int, seen: _Segment) -> int:
    """Note a block, and tell the cluster's timestamp, which comes before its blocks."""
    if child.id == _TIMESTAMP:
        return ebml.unsigned(child)
    if child.id == _SIMPLE_BLOCK:
        _note(_block(ebml, child, begins, 0), seen)
    elif child.id == _BLOCK_GROUP:
        assert child.stop is not None
        block, lasts = None, 0
        for part in ebml.children(child.start, child.stop, "block group"):
            if part.id == _BLOCK:
                block = part
            elif part.id == _BLOCK_DURATION:
                lasts = ebml.unsigned(part)
        if block is not None:
            _note(_block(ebml, block, begins, lasts), seen)
    return begins


def _block(ebml: EbmlFile, block: Element, begins: int, lasts: int) -> _Block | None:
    """What the block's head says; None for one without a frame in it."""
    assert block.stop is not None
    head = ebml.beginning(block, 8 + _BLOCK_HEAD_BYTES)
    track_bytes = 9 - head[0].bit_length() if head and head[0] else 0
    if track_bytes == 0 or len(head) < track_bytes + 3:
        raise NotAudio(f"The Matroska file's block at byte {block.at} has no head.")
    if block.stop - block.start == track_bytes + 3:
        return None
    track = int.from_bytes(head[:track_bytes], "big") & ((1 << 7 * track_bytes) - 1)
    offset = int.from_bytes(head[track_bytes : track_bytes + 2], "big", signed=True)
    return _Block(track, begins + offset, lasts)


def _note(block: _Block | None, seen: _Segment) -> None:
    if block is None:
        return
    if seen.first is None or block.begins < seen.first.begins:
        seen.first = block
    if seen.last is None or block.begins >= seen.last.begins:
        seen.last = block


# --- what it comes to --------------------------------------------------------------------------------------------


def _facts(ebml: EbmlFile, seen: _Segment) -> MatroskaFacts:
    if seen.tick_ns is None:
        raise NotAudio("The Matroska file has no segment information.")
    if not seen.tracks:
        raise NotAudio(f"The Matroska file has no track of sound or picture. {_WANTED}")
    tracks = list(seen.tracks.values())
    leading = next((t for t in tracks if t.kind == _VIDEO), tracks[0])
    return MatroskaFacts(
        kind="video" if leading.kind == _VIDEO else "audio",
        container="mkv" if leading.kind == _VIDEO else "mka",
        codec=leading.codec,
        duration_ms=_duration_ms(ebml, seen, seen.tracks, seen.tick_ns),
        tracks=len(tracks),
        has_media=seen.first is not None,
        size_bytes=ebml.size_bytes,
    )


def _duration_ms(ebml: EbmlFile, seen: _Segment, tracks: dict[int, _Track], tick_ns: int) -> int:
    """Rounded up, so that one frame already lasts a millisecond and only nothing lasts zero."""
    if seen.first is None:
        return 0
    if seen.duration_ticks is not None:
        lasts_ns = seen.duration_ticks * tick_ns
    else:
        lasts_ns = _span_ns(ebml, seen, tracks, tick_ns)
    if lasts_ns > LONGEST_MS * 1e6:
        raise NotAudio(f"The Matroska file claims to last {lasts_ns / 1e9:.0f} seconds; a week is the most.")
    return max(1, math.ceil(lasts_ns / 1e6))


def _span_ns(ebml: EbmlFile, seen: _Segment, tracks: dict[int, _Track], tick_ns: int) -> int:
    """From the first block to the end of the last."""
    while seen.unread:
        before = seen.last
        _read_blocks(ebml, seen.unread.pop(), seen)
        if seen.last is not before:
            break
    assert seen.first is not None
    assert seen.last is not None
    last = seen.last
    frame_ns = tracks[last.track].frame_ns if last.track in tracks else 0
    return (last.begins - seen.first.begins) * tick_ns + (last.lasts * tick_ns or frame_ns)
