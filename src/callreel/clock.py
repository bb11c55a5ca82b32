"""The one source of time. Everything with a deadline takes a clock, so that no test has to wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Two readings: the wall, for what people see, and a steady count, for what must not jump."""

    def now(self) -> datetime:
        """The wall clock, in UTC, with its zone."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, whatever happens to the wall clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def boot_id() -> str:
    """A name of this machine's boot: what a steady clock counts from. Empty where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class SetClock:
    """A clock that stands still until it is moved. For tests and rehearsals."""

    def __init__(self, at: datetime | None = None) -> None:
        self._now = at or datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let both clocks run on by this many seconds."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as a wrong NTP answer does."""
        self._now += timedelta(seconds=seconds)
