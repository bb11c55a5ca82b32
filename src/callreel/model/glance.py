"""How an account's recordings stand at one glance: the numbers above the list and in the side bar."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from callreel.model.recording import COMPLETED, State

MOST_COUNTED = 10_000
"""Unfinished recordings above this number are not counted; one more is said."""
NEWEST = 1000
"""How many of the newest recordings the share and the time of deliveries are worked out from."""
HOURS = 24


@dataclass(frozen=True, slots=True)
class Standing:
    """The unfinished voice recordings of one state: how many, and when the oldest of them was taken in."""

    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a bucket said last to a recording that waits, is parked or held."""

    at: datetime
    code: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One of the newest recordings: where it stands, and when it was proved in its place, if it was."""

    taken_in: datetime
    state: State
    is_external: bool
    verified_at: datetime | None
    bucket: str | None

    @property
    def is_stored(self) -> bool:
        return self.state in COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The numbers, as they were at one moment. `hours` are the last 24, oldest first: recordings and milliseconds."""

    as_of: datetime
    kept: int
    hours: Sequence[tuple[int, int]]
    newest: Sequence[Stored]
    standings: Mapping[State, Standing] = field(default_factory=dict)
    trouble: Trouble | None = None
    stuck: int = 0
    credentials: int = 0
    moving: float | None = None

    @property
    def recorded(self) -> int:
        """Recordings taken in within the last 24 hours."""
        return sum(count for count, _ in self.hours)

    @property
    def recorded_ms(self) -> int:
        """Their length."""
        return sum(length for _, length in self.hours)

    @property
    def recordings(self) -> int:
        """All there are that are not deleted; unfinished ones counted up to `MOST_COUNTED`."""
        waiting = sum(each.count for state, each in self.standings.items() if state is not State.DELIVERED)
        return self.kept + waiting

    @property
    def stored_share(self) -> float | None:
        """How many of the newest are stored, in percent; None where there are none."""
        counted = [each for each in self.newest if each.state is not State.ABSENT]
        return 100 * sum(each.is_stored for each in counted) / len(counted) if counted else None

    @property
    def median_s(self) -> float | None:
        """Seconds from taken in to proved, the median of the newest that are stored."""
        took = [(e.verified_at - e.taken_in).total_seconds() for e in self.newest if e.verified_at and e.is_stored]
        return statistics.median(took) if took else None

    @property
    def last_write(self) -> tuple[datetime, str] | None:
        """When a recording was last proved in a bucket of the account's, of the newest, and in which."""
        return max(
            ((e.verified_at, e.bucket or "") for e in self.newest if e.is_external and e.verified_at), default=None
        )

    def count(self, *states: State) -> int:
        """Unfinished recordings in any of these states."""
        return sum(self.standings[state].count for state in states if state in self.standings)

    def oldest(self, *states: State) -> datetime | None:
        """When the oldest of them was taken in."""
        return min((self.standings[state].oldest for state in states if state in self.standings), default=None)
