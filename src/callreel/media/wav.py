"""What is in a RIFF/WAVE file, found without believing it.

Sizes in the head are claims: they decide where to look next, never how much to read or allocate. At most
`MOST_CHUNKS` chunk heads and one format description are read. Nothing here decodes a sample.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from callreel.at_rest.file import MediaFile
from callreel.errors import NotAudio

MOST_CHUNKS = 64  # real recorders write fewer than ten; a million tiny ones is an attack
SLOWEST_HZ, FASTEST_HZ = 4_000, 192_000
LONGEST_BYTES = 0xFFFF_FFFF  # RIFF counts in 32 bits; beyond, no head can tell the truth

_CHUNK_HEAD = struct.Struct("<4sI")
_FMT = struct.Struct("<HHIIHH")
_FMT_EXTENSIBLE_BYTES = 40
_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # KSDATAFORMAT_SUBTYPE_*, behind the format's number
_WANTED = "Send a RIFF/WAVE file: PCM of 8, 16 or 24 bits, mu-law or A-law."


class Codec(StrEnum):
    """How a kept WAV writes one sample. The names are ffmpeg's."""

    PCM_U8 = "pcm_u8"
    PCM_S16 = "pcm_s16le"
    PCM_S24 = "pcm_s24le"
    MULAW = "pcm_mulaw"
    ALAW = "pcm_alaw"


_CODECS = {
    (1, 8): Codec.PCM_U8,
    (1, 16): Codec.PCM_S16,
    (1, 24): Codec.PCM_S24,
    (7, 8): Codec.MULAW,
    (6, 8): Codec.ALAW,
}
_FORMAT_NAMES = {1: "PCM", 2: "Microsoft ADPCM", 3: "floating point", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM",
                 49: "GSM 6.10", 80: "MPEG", 85: "MP3"}  # fmt: skip

_STRANGERS = (
    (b"RIFX", "a big-endian RIFX file"),
    (b"RF64", "an RF64 file, the 64-bit kind of WAV"),
    (b"BW64", "a BW64 file, the 64-bit kind of WAV"),
    (b"ID3", "an MP3 file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"FORM", "an AIFF file"),
    (b".snd", "a Sun audio file"),
    (b"#!AMR", "an AMR file"),
    (b"#!", "a script"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"%PDF", "a PDF file"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WavFacts:
    """What a WAV really holds. `data_bytes` lie in the file from `data_start` on and are whole frames."""

    codec: Codec
    sample_rate: int
    channels: int
    bits: int
    data_start: int
    data_bytes: int
    size_bytes: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one moment: a sample of every channel."""
        return self.channels * self.bits // 8

    @property
    def frames(self) -> int:
        """Samples of each channel; 0 for a well-formed file in which nothing was recorded."""
        return self.data_bytes // self.frame_bytes

    @property
    def duration_ms(self) -> int:
        """Rounded up, so that one sample already lasts a millisecond and only nothing lasts zero."""
        return -(-self.frames * 1000 // self.sample_rate)


@dataclass(frozen=True, slots=True)
class _Format:
    codec: Codec
    sample_rate: int
    channels: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8


def inspect_wav_file(kept: MediaFile) -> WavFacts:
    """`inspect_wav` for a file on disk, with the size the disk tells."""
    with kept.open("rb") as file:
        return inspect_wav(file, file.seek(0, 2))


def inspect_wav(file: BinaryIO, size_bytes: int) -> WavFacts:
    """Find the samples of a seekable file that holds `size_bytes` bytes.

    Reads a few hundred bytes at most and leaves the position anywhere. A file that stops before its first sample,
    with a sound head, is returned with `frames` 0. Raises `NotAudio` with the reason for all that cannot be kept.
    """
    _refuse_strangers(_read_at(file, 0, 16), size_bytes)
    if size_bytes > LONGEST_BYTES:
        raise NotAudio(f"The WAV file has {size_bytes} bytes; its head cannot count more than {LONGEST_BYTES}.")
    riff_bytes = int.from_bytes(_read_at(file, 4, 4), "little")
    fmt, at = None, 12
    for _ in range(MOST_CHUNKS):
        name, promised = _chunk_head(file, at, size_bytes)
        at += _CHUNK_HEAD.size
        if name == b"data":
            if fmt is None:
                raise NotAudio("The WAV file has its data chunk before any fmt chunk, so its samples have no meaning.")
            there = _data_bytes(promised, size_bytes - at, is_whole=riff_bytes + 8 in (size_bytes, size_bytes - 1))
            return _facts(fmt, at, there, size_bytes)
        if promised > size_bytes - at:
            raise NotAudio(_lying(name, promised, size_bytes - at))
        if name == b"fmt ":
            if fmt is not None:
                raise NotAudio("The WAV file has two fmt chunks; players would not agree on what it holds.")
            fmt = _format(_read_at(file, at, min(promised, _FMT_EXTENSIBLE_BYTES)))
        at += promised + promised % 2  # chunks begin at even offsets
    raise NotAudio(f"The WAV file has no data chunk among its first {MOST_CHUNKS} chunks.")


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _refuse_strangers(head: bytes, size_bytes: int) -> None:
    if size_bytes == 0 or not head:
        raise NotAudio(f"The body is empty. {_WANTED}")
    for magic, what in _STRANGERS:
        if head.startswith(magic):
            raise NotAudio(f"The body is {what}. {_WANTED}")
    if head[4:8] == b"ftyp":
        raise NotAudio(f"The body is an MP4 file. {_WANTED}")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise NotAudio(f"The body is an HTML or XML document, not audio. {_WANTED}")
    if head[0] == 0xFF and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        raise NotAudio(f"The body is MPEG audio, such as MP3. {_WANTED}")
    if not head.startswith(b"RIFF"):
        raise NotAudio(f"The body does not begin with RIFF. {_WANTED}")
    if len(head) < 12 or size_bytes < 12:
        raise NotAudio(f"The WAV file ends after {size_bytes} bytes, inside its head.")
    if head[8:12] != b"WAVE":
        raise NotAudio(f"The body is a RIFF file, but of another kind than WAVE. {_WANTED}")


def _chunk_head(file: BinaryIO, at: int, size_bytes: int) -> tuple[bytes, int]:
    head = _read_at(file, at, _CHUNK_HEAD.size) if at + _CHUNK_HEAD.size <= size_bytes else b""
    if len(head) < _CHUNK_HEAD.size:
        raise NotAudio(f"The WAV file ends after {size_bytes} bytes, before its data chunk.")
    name, promised = _CHUNK_HEAD.unpack(head)
    return name, promised


def _format(chunk: bytes) -> _Format:
    if len(chunk) < _FMT.size:
        raise NotAudio(f"The WAV file's fmt chunk has {len(chunk)} bytes; {_FMT.size} are the least.")
    number, channels, sample_rate, _, frame_bytes, bits = _FMT.unpack_from(chunk)
    if number == _EXTENSIBLE:
        number = _extended_number(chunk)
    codec = _CODECS.get((number, bits))
    if codec is None:
        raise NotAudio(f"The WAV file holds {_FORMAT_NAMES.get(number, f'format {number}')} of {bits} bits. {_WANTED}")
    if channels not in (1, 2):
        raise NotAudio(f"The WAV file has {channels} channels; a recording has 1 or 2.")
    if not SLOWEST_HZ <= sample_rate <= FASTEST_HZ:
        raise NotAudio(f"The WAV file has {sample_rate} samples a second; {SLOWEST_HZ} to {FASTEST_HZ} are possible.")
    fmt = _Format(codec, sample_rate, channels, bits)
    if frame_bytes != fmt.frame_bytes:  # the byte rate is wrong in many honest files and nobody needs it
        raise NotAudio(
            f"The WAV file's block align is {frame_bytes}; {channels} × {bits} bits take {fmt.frame_bytes} bytes."
        )
    return fmt


def _extended_number(chunk: bytes) -> int:
    if len(chunk) < _FMT_EXTENSIBLE_BYTES:
        raise NotAudio(f"The WAV file's extensible fmt chunk has {len(chunk)} bytes instead of 40.")
    if chunk[26:40] != _GUID_TAIL:
        raise NotAudio(f"The WAV file's extensible format is none that Microsoft registered. {_WANTED}")
    return int.from_bytes(chunk[24:26], "little")


def _data_bytes(promised: int, there: int, *, is_whole: bool) -> int:
    """How many bytes are samples, when the data chunk promises some and others are there.

    0 means "not finished" unless the RIFF head, written last, agrees with the file's size: then what follows an
    empty data chunk are other chunks.
    """
    if promised == 0:
        return 0 if is_whole else there
    if promised <= there:
        return promised
    if _means_unfinished(promised):
        return there
    raise NotAudio(_lying(b"data", promised, there))


def is_left_open(promised: int) -> bool:
    """Whether a size in a head is none: what a writer to a pipe leaves there, which cannot go back to fill it in."""
    return promised == 0 or _means_unfinished(promised)


def _means_unfinished(promised: int) -> bool:
    """Whether this is what writers to a pipe put for "until the end" (0 is the third such value).

    ffmpeg 0xFFFFFFFF, arecord 0x7FFFFF00, others the largest signed number; some round it down or subtract the
    head. Hence the last 4 KiB below each limit.
    """
    return 0x7FFF_F000 <= promised <= 0x8000_0000 or promised >= 0xFFFF_F000


def _lying(name: bytes, promised: int, there: int) -> str:
    shown = name.decode("ascii", "backslashreplace").strip()
    shown = shown if shown.isprintable() else repr(shown)
    return f"The WAV file is cut short: the header promises {promised} bytes of {shown} and {there} are there."


def _facts(fmt: _Format, data_start: int, there: int, size_bytes: int) -> WavFacts:
    return WavFacts(
        codec=fmt.codec,
        sample_rate=fmt.sample_rate,
        channels=fmt.channels,
        bits=fmt.bits,
        data_start=data_start,
        data_bytes=there - there % fmt.frame_bytes,
        size_bytes=size_bytes,
    )
