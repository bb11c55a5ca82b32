"""A migration: one pass over a source's old recordings, with what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callreel.model.moved_item import MOVED, ItemState
from callreel.model.sid import AccountSid


class MigrationStatus(StrEnum):
    """Contract words. `failed` means stopped by the outside, with the reason in the row; it can be resumed."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"


LIVE = frozenset({MigrationStatus.RUNNING, MigrationStatus.PAUSED})
"""One of these a source."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """A migration as its row says it is. Counts are of items, `bytes` of media; `rate` is items a second of late.

    `cursor` is the page of the source's list that comes next, `is_listed` whether the list has been read to its end.
    """

    sid: str
    account_sid: AccountSid
    source_sid: str
    host_id: str
    status: MigrationStatus
    created_after: datetime | None
    created_before: datetime | None
    cursor: str | None
    passes: int
    found_in_pass: int
    is_listed: bool
    total: int
    moved: int
    kept: int
    skipped: int
    failed: int
    deleted_at_source: int
    delete_failed: int
    bytes: int
    rate: float
    rate_at: datetime | None
    reason: str | None
    remedy: str | None
    date_created: datetime
    date_updated: datetime
    date_ended: datetime | None

    @property
    def finished(self) -> int:
        """Items to which nothing more happens by itself."""
        return self.skipped + self.failed + self.kept + self.deleted_at_source + self.delete_failed

    @property
    def remaining(self) -> int:
        """Items still on their way."""
        return max(0, self.total - self.finished)

    def rate_now(self, now: datetime) -> float:
        """Items a second; 0 when nothing was heard of for a while."""
        if self.status is not MigrationStatus.RUNNING or self.rate_at is None:
            return 0.0
        return self.rate if (now - self.rate_at).total_seconds() <= RATE_STALE_S else 0.0

    def eta_seconds(self, now: datetime) -> int | None:
        """Seconds until it is done at the rate of now; None when that cannot be known."""
        if self.status is MigrationStatus.COMPLETED:
            return 0
        rate = self.rate_now(now)
        return round(self.remaining / rate) if rate > 0 else None


RATE_STALE_S = 30.0


def counted(state: ItemState) -> dict[str, int]:
    """Which counts of its migration an item in this state is in."""
    counts = {_COUNTED[state]: 1} if state in _COUNTED else {}
    return counts | ({"moved": 1} if state in MOVED else {})


def counted_as_finished() -> tuple[str, ...]:
    """The counts of items to which nothing more happens by itself."""
    return tuple(_COUNTED.values())


_COUNTED = {
    ItemState.LINK_CLEARED: "deleted_at_source",
    ItemState.KEPT: "kept",
    ItemState.DELETE_FAILED: "delete_failed",
    ItemState.FAILED: "failed",
    ItemState.SKIPPED: "skipped",
}
