"""The bricks of an EBML document (Matroska, WebM), found without believing their sizes.

An element says its id and how long it is; both are read from at most twelve bytes. Sizes decide where to look next,
never how much to read: contents are read only where the caller names a small limit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from callreel.errors import NotAudio

MOST_ELEMENTS = 1_000_000  # five hours of 20 ms frames written live; about two seconds of work
_LONGEST_HEAD = 12  # four bytes of id, eight of size
_LONGEST_NUMBER = 8
_FLOATS = {4: struct.Struct(">f"), 8: struct.Struct(">d")}


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its contents lie in the file from `start` up to `stop`.

    `stop` is None when its writer did not know the size; such an element lasts until something that cannot be part
    of it begins.
    """

    id: int
    at: int
    start: int
    stop: int | None


class EbmlFile:
    """A seekable file of `size_bytes` bytes, read as elements. Blocks; counts what it reads and stops at a limit."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._file = file
        self._elements = 0

    def element(self, at: int, limit: int, parent: str) -> Element:
        """The element at this offset, which has to end at `limit` or before. Raises `NotAudio`.

        `parent` names what ends at the limit, for the person who has to find out what is wrong.
        """
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise NotAudio(f"The Matroska file has more than {MOST_ELEMENTS} elements to look at.")
        self._file.seek(at)
        head = self._file.read(min(_LONGEST_HEAD, limit - at))
        id_bytes = _length_of_number(head, 0)
        if id_bytes is None or id_bytes > 4:
            raise NotAudio(f"The Matroska file has no element at byte {at}, where one has to begin.")
        size_bytes = _length_of_number(head, id_bytes)
        if size_bytes is None or id_bytes + size_bytes > len(head):
            raise NotAudio(f"The Matroska file's {parent} ends at byte {limit}, inside the head of an element.")
        start = at + id_bytes + size_bytes
        mask = (1 << 7 * size_bytes) - 1
        promised = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & mask
        element_id = int.from_bytes(head[:id_bytes], "big")
        if promised == mask:
            return Element(element_id, at, start, None)
        if promised > limit - start:
            raise NotAudio(
                f"The Matroska file is cut short or damaged: element {element_id:X} at byte {at} promises "
                f"{promised} bytes and its {parent} has {limit - start} left."
            )
        return Element(element_id, at, start, start + promised)

    def children(self, start: int, stop: int, parent: str) -> Iterator[Element]:
        """The elements between two offsets, one after the other; all of them know their size. Raises `NotAudio`."""
        while start < stop:
            child = self.element(start, stop, parent)
            if child.stop is None:
                raise NotAudio(f"The Matroska file's {parent} holds element {child.id:X} of unknown size.")
            yield child
            start = child.stop

    def unsigned(self, element: Element) -> int:
        """A whole number. Raises `NotAudio` when it is longer than numbers are."""
        return int.from_bytes(self._content(element, _LONGEST_NUMBER), "big")

    def floating(self, element: Element) -> float:
        """A floating-point number; without contents it is 0. Raises `NotAudio` for other lengths than 4 and 8."""
        content = self._content(element, _LONGEST_NUMBER)
        if not content:
            return 0.0
        if len(content) not in _FLOATS:
            raise NotAudio(f"The Matroska file's element {element.id:X} is a number of {len(content)} bytes.")
        (value,) = _FLOATS[len(content)].unpack(content)
        return float(value)

    def text(self, element: Element, most_bytes: int) -> str:
        """An ASCII string without its padding. Raises `NotAudio` when it is longer than allowed."""
        return self._content(element, most_bytes).partition(b"\0")[0].decode("ascii", "backslashreplace")

    def beginning(self, element: Element, count: int) -> bytes:
        """The first bytes of its contents, fewer when it is shorter."""
        stop = self.size_bytes if element.stop is None else element.stop
        self._file.seek(element.start)
        return self._file.read(min(count, stop - element.start))

    def _content(self, element: Element, most_bytes: int) -> bytes:
        assert element.stop is not None
        if element.stop - element.start > most_bytes:
            raise NotAudio(
                f"The Matroska file's element {element.id:X} has {element.stop - element.start} bytes; "
                f"{most_bytes} are possible."
            )
        return self.beginning(element, most_bytes)


def _length_of_number(head: bytes, at: int) -> int | None:
    """How many bytes the number at this place takes, told by the zeros before its first one. None: there is none."""
    if at >= len(head) or head[at] == 0:
        return None
    return 9 - head[at].bit_length()
