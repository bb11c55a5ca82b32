"""A campaign: calls that belong together, and go together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callreel.errors import InvalidFriendlyName
from callreel.model.sid import AccountSid

LONGEST_NAME = 256


class CampaignStatus(StrEnum):
    """Whether calls may join it."""

    ACTIVE = "active"
    DELETING = "deleting"  # its call logs are being deleted; it goes with the last of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign of one account. Times in UTC."""

    sid: str
    account_sid: AccountSid
    friendly_name: str
    status: CampaignStatus
    date_created: datetime
    date_updated: datetime


def check_campaign_name(name: str) -> str:
    """The name itself if a campaign may have it. Raises `InvalidFriendlyName`."""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidFriendlyName(f"FriendlyName must be 1 to {LONGEST_NAME} printable characters")
    return name
