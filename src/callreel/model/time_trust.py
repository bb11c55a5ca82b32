"""Whether the wall clock may be believed: what a jump costs, and what earns it back.

Two clocks are compared from one heartbeat to the next. While they disagree nothing is destroyed because its time has
come: a clock that is years ahead would purge everything at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

JUMP_S = 600.0
SANE_S = 24 * 3600.0  # so long the clocks must agree before they are trusted again without a person's word


@dataclass(frozen=True, slots=True)
class Beat:
    """What the clocks said at one moment. The steady clock counts from `boot_id`'s boot."""

    boot_id: str
    wall: datetime
    monotonic_s: float


@dataclass(frozen=True, slots=True)
class Trust:
    """Whole, or lost at a moment for a reason; then `sane_s` is how long the clocks have agreed since."""

    lost_at: datetime | None = None
    why: str | None = None
    sane_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        return self.lost_at is None


WHOLE = Trust()


def weigh_time(last: Beat | None, trust: Trust, now: Beat) -> Trust:
    """What to think of the wall clock, after the last heartbeat and this one. The first is believed."""
    if last is None:
        return trust
    fault = _fault(last, now)
    if fault is not None:
        return Trust(lost_at=now.wall, why=fault)
    if trust.is_whole:
        return trust
    sane_s = trust.sane_s + (now.monotonic_s - last.monotonic_s if _same_count(last, now) else 0.0)
    return WHOLE if sane_s >= SANE_S else replace(trust, sane_s=sane_s)


def _fault(last: Beat, now: Beat) -> str | None:
    passed_s = (now.wall - last.wall).total_seconds()
    if passed_s < 0:
        return f"the wall clock is {-passed_s:.0f} s behind its last heartbeat ({last.wall:%Y-%m-%d %H:%M:%S} UTC)"
    if not _same_count(last, now):
        return None
    jumped_s = passed_s - (now.monotonic_s - last.monotonic_s)
    if abs(jumped_s) > JUMP_S:
        return f"the wall clock jumped by {jumped_s:.0f} s against the steady clock"
    return None


def _same_count(last: Beat, now: Beat) -> bool:
    return last.boot_id == now.boot_id and now.monotonic_s >= last.monotonic_s
