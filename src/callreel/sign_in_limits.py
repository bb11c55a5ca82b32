"""How many failed sign-ins an address or an account may make. Those that succeed are never counted."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from callreel.clock import Clock
from callreel.errors import TooManyAttempts

BURST = 20.0  # wrong tokens in a row: more than any mistyped configuration makes before somebody looks
A_SECOND = 0.2  # one more every five seconds
MOST_NAMES = 20_000  # remembered; the longest unused are forgotten first


class SignInLimits:
    """Token buckets of failures, by name: an address or a user name. Programs' and people's doors have one each."""

    def __init__(self, clock: Clock, *, burst: float = BURST) -> None:
        self._clock, self._burst = clock, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count_failure(self, *names: str) -> None:
        """Count one failure for each name. Raises `TooManyAttempts` when any of them has none left."""
        waits = [self._take(name) for name in names]
        if max(waits) > 0:
            raise TooManyAttempts(retry_after_s=ceil(max(waits)))

    def check(self, *names: str) -> None:
        """Count nothing. Raises `TooManyAttempts` when any of them has no failure left."""
        waits = [_wait(self._left(name)[0]) for name in names]
        if max(waits) > 0:
            raise TooManyAttempts(retry_after_s=ceil(max(waits)))

    def _left(self, name: str) -> tuple[float, float]:
        """What a name has left now."""
        now = self._clock.monotonic()
        left, at = self._buckets.get(name, (self._burst, now))
        return min(self._burst, left + (now - at) * A_SECOND), now

    def _take(self, name: str) -> float:
        """0 when there was one to take, else the seconds until there is."""
        left, now = self._left(name)
        self._buckets.pop(name, None)
        wait = _wait(left)
        self._buckets[name] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MOST_NAMES:
            self._buckets.popitem(last=False)
        return wait


def _wait(left: float) -> float:
    """Seconds until there is one to take; 0 when there is."""
    return 0.0 if left >= 1 else (1 - left) / A_SECOND
