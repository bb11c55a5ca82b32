"""Calls and conferences: the logs that recordings belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from callreel.model.sid import AccountSid

CALL_STATUSES = ("queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled")
CONFERENCE_STATUSES = ("init", "in-progress", "completed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call log. Its numbers are sealed at rest; here they are open. Times in UTC, lengths in milliseconds."""

    sid: str
    account_sid: AccountSid
    from_number: str | None
    to_number: str | None
    direction: str | None
    campaign: str | None
    campaign_sid: str | None
    status: str
    start_time: datetime
    end_time: datetime | None
    duration_ms: int | None
    date_created: datetime
    date_updated: datetime

    @property
    def duration_s(self) -> int | None:
        """Whole seconds, as Twilio shows them."""
        return None if self.duration_ms is None else round(self.duration_ms / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conference:
    """One conference. Its name is sealed at rest; here it is open."""

    sid: str
    account_sid: AccountSid
    friendly_name: str | None
    status: str
    date_created: datetime
    date_updated: datetime
