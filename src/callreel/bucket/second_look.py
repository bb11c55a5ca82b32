"""Which buckets were lately seen to hold what they had confirmed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

AGAIN_S = 3600.0
LANES = 10_000


class SecondLooks:
    """A lane is due for a look from its first delivery until one object was seen, and an hour later again.

    A bucket that answers as it should and stores nothing cannot be told from its answers. `now` is a steady
    clock in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._seen_at: OrderedDict[Hashable, float] = OrderedDict()

    def is_due(self, lane: Hashable) -> bool:
        """Whether what was just stored on this lane is to be looked at."""
        seen_at = self._seen_at.get(lane)
        return seen_at is None or self._now() - seen_at >= AGAIN_S

    def note(self, lane: Hashable) -> None:
        """An object was seen, or the credential may not look: not again for an hour."""
        self._seen_at[lane] = self._now()
        self._seen_at.move_to_end(lane)
        if len(self._seen_at) > LANES:
            self._seen_at.popitem(last=False)
