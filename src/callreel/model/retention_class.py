"""Retention classes: which recordings are kept how long, and locked how long in the bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callreel.errors import InvalidParameter, SettingsIncomplete
from callreel.model.object_lock import MAX_DAYS, LockMode
from callreel.model.sid import AccountSid, RetentionClassSid
from callreel.model.storage_settings import RecordingKind, StorageSettings

MOST_CLASSES = 50  # of one account: each is a branch of the query that finds what is over


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionClass:
    """One class of an account's recordings.

    `kind`, `source` and `campaign` say which recordings it fits, None meaning any; of several classes that fit, the
    one with the lowest `position` counts. `keep_days` run from the recording's creation; None keeps it until somebody
    deletes it. The lock is asked for when the object is put, and overrides that of the storage settings.
    """

    sid: RetentionClassSid
    account_sid: AccountSid
    friendly_name: str
    position: int
    kind: RecordingKind | None = None
    source: str | None = None
    campaign: str | None = None
    keep_days: int | None = None
    lock_mode: LockMode | None = None
    lock_days: int | None = None
    date_created: datetime
    date_updated: datetime

    def fits(self, *, kind: RecordingKind, source: str, campaign: str | None) -> bool:
        """Is a recording like this one in the class?"""
        return self.kind in (None, kind) and self.source in (None, source) and (self.campaign in (None, campaign))

    def check(self) -> None:
        """Raise `InvalidParameter` or `SettingsIncomplete` for what cannot be kept."""
        if not 1 <= len(self.friendly_name) <= 64:
            raise InvalidParameter("FriendlyName must have 1 to 64 characters", parameter="FriendlyName")
        for name, days in (("KeepDays", self.keep_days), ("LockDays", self.lock_days)):
            if days is not None and not 1 <= days <= MAX_DAYS:
                raise InvalidParameter(f"{name} must be 1 to {MAX_DAYS}", parameter=name)
        if (self.lock_mode is None) != (self.lock_days is None):
            raise SettingsIncomplete("LockMode and LockDays need each other")
        if self.keep_days is not None and self.lock_days is not None and self.lock_days > self.keep_days:
            raise InvalidParameter(
                f"LockDays ({self.lock_days}) must not be more than KeepDays ({self.keep_days}): "
                "the bucket would refuse to delete what is over",
                parameter="LockDays",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a change of an account's classes would touch; nothing was changed to find out.

    `recordings` are those whose time changes, `bytes` their media; `kept_longer` and `kept_shorter` are parts of them,
    `deleted_at_once` those that would be over at this moment and are not now. `deliveries` are recordings on their way
    to the bucket that would be put with another lock; what lies there already keeps the lock it has.
    """

    recordings: int
    bytes: int
    kept_longer: int
    kept_shorter: int
    deleted_at_once: int
    deliveries: int


def in_order(classes: Sequence[RetentionClass]) -> list[RetentionClass]:
    """The classes as they are tried: by position, the older first where two have the same."""
    return sorted(classes, key=lambda each: (each.position, each.date_created, each.sid))


def with_lock_of(
    settings: StorageSettings,
    classes: Sequence[RetentionClass],
    *,
    kind: RecordingKind,
    source: str,
    campaign: str | None,
) -> StorageSettings:
    """The settings with the lock of the first class that fits, where it has one."""
    for each in classes:
        if each.fits(kind=kind, source=source, campaign=campaign):
            if each.lock_mode is None:
                return settings
            return settings.changed(object_lock_mode=each.lock_mode, object_lock_days=each.lock_days)
    return settings
