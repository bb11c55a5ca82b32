"""What every form of a recording that we hand out can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Rendition(Protocol):
    """One recording in one form. Its length is known before a byte of it exists."""

    @property
    def size_bytes(self) -> int:
        """The length of the whole."""
        ...

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (None: the end), the same each time. Blocks."""
        ...
