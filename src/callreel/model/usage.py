"""What an account keeps, and what a bucket's storage classes would make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callreel.model.storage_settings import RecordingKind

AGES_DAYS = (90, 365)
"""Where one age group ends and the next begins (BRIEF3's lifecycle: 0 to 90 days, to 365, later)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """The completed recordings of one kind, place, storage class (empty here) and age group."""

    kind: RecordingKind
    is_external: bool
    storage_class: str
    age: int
    recordings: int
    duration_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """All of them, as they were at one moment."""

    as_of: datetime
    rows: Sequence[UsageRow]

    def of(self, *, is_external: bool) -> Sequence[UsageRow]:
        """Those here, or those in customers' buckets."""
        return [row for row in self.rows if row.is_external is is_external]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """A storage class of S3 as people choose it. `from_days`: the age from which it is the cheaper place."""

    name: str
    label: str
    retrieval: str
    fits: str
    from_days: int


CLASSES = (
    StorageClass(name="STANDARD", label="Standard", retrieval="instant", fits="the first 90 days", from_days=0),
    StorageClass(
        name="GLACIER_IR",
        label="Glacier Instant Retrieval",
        retrieval="instant",
        fits="91 to 365 days: rarely heard, at once when it is",
        from_days=90,
    ),
    StorageClass(
        name="DEEP_ARCHIVE",
        label="Glacier Deep Archive",
        retrieval="12 to 48 hours",
        fits="later: kept for years because it must be",
        from_days=365,
    ),
)
