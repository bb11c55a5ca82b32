"""Write once: what S3's Object Lock is asked to keep, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from callreel.errors import InvalidParameter, SettingsIncomplete
from callreel.model.storage_settings import StorageSettings

MAX_DAYS = 36_500  # S3's own limit: a hundred years


class LockMode(StrEnum):
    """Who may shorten the time: those with a special permission, or nobody."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLock:
    """What a put asks for. `mode` and `retain_until` come together or not at all."""

    mode: LockMode | None = None
    retain_until: datetime | None = None
    legal_hold: bool = False

    @property
    def until(self) -> str | None:
        """The moment as S3 writes it: in UTC, to the second."""
        if self.retain_until is None:
            return None
        return self.retain_until.astimezone(UTC).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def headers(self) -> dict[str, str]:
        """S3's request headers, empty when nothing is asked for."""
        asked: dict[str, str] = {}
        if self.mode is not None and self.until is not None:
            asked["x-amz-object-lock-mode"] = self.mode
            asked["x-amz-object-lock-retain-until-date"] = self.until
        if self.legal_hold:
            asked["x-amz-object-lock-legal-hold"] = "ON"
        return asked


def lock_of(
    settings: StorageSettings, *, date_created: datetime, now: datetime, is_held: bool = False
) -> ObjectLock | None:
    """What a recording's settings ask for; None for nothing. `is_held`: its owner put it under a legal hold meanwhile.

    The time runs from the recording's own creation, so that every attempt asks for the same moment. One that is
    over when a parked recording is restarted at last is left out: S3 takes no moment that has passed.
    """
    mode = LockMode(settings.object_lock_mode) if settings.object_lock_mode else None
    until = date_created + timedelta(days=settings.object_lock_days) if mode and settings.object_lock_days else None
    if until is None or until <= now:
        mode = until = None
    legal_hold = settings.object_lock_legal_hold or (is_held and settings.object_lock_mode is not None)
    if mode is None and not legal_hold:
        return None
    return ObjectLock(mode=mode, retain_until=until, legal_hold=legal_hold)


def check_lock(mode: str | None, days: int | None) -> None:
    """A mode needs days and days a mode. Raises `InvalidParameter` and `SettingsIncomplete`."""
    if mode is not None and mode not in tuple(LockMode):
        raise InvalidParameter("ObjectLockMode must be GOVERNANCE or COMPLIANCE", parameter="ObjectLockMode")
    if (mode is None) != (days is None):
        raise SettingsIncomplete("ObjectLockMode and ObjectLockDays need each other")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise InvalidParameter(f"ObjectLockDays must be 1 to {MAX_DAYS}", parameter="ObjectLockDays")
