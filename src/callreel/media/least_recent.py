"""Which kept files to part with first: those nobody has asked for the longest."""

from __future__ import annotations

from collections.abc import Iterator


class LeastRecent:
    """Names and sizes in the order of their last use, the least recent first. Knows nothing of the disk."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}  # a dict remembers the order in which names came
        self.total_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def use(self, name: str, size_bytes: int) -> None:
        """This name has this size and is the most recent one now."""
        self.drop(name)
        self._sizes[name] = size_bytes
        self.total_bytes += size_bytes

    def drop(self, name: str) -> None:
        """Forget the name, if it is known."""
        self.total_bytes -= self._sizes.pop(name, 0)

    def drop_beyond(self, limit_bytes: int) -> list[str]:
        """Forget the least recent names until the others fit, and tell which."""
        dropped = []
        while self.total_bytes > limit_bytes:
            dropped.append(next(iter(self._sizes)))
            self.drop(dropped[-1])
        return dropped
