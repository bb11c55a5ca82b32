"""Accounts, their subaccounts and the keys that act for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callreel.model.sid import AccountSid


class AccountStatus(StrEnum):
    """What Twilio calls the states of an account."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who owns recordings. A subaccount names its owner; a main account owns itself."""

    sid: AccountSid
    owner_sid: AccountSid
    friendly_name: str
    status: AccountStatus
    date_created: datetime
    date_updated: datetime

    @property
    def is_active(self) -> bool:
        return self.status is AccountStatus.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A named secret that acts for one account. The secret itself is shown once and kept only as a digest."""

    sid: str
    account_sid: AccountSid
    friendly_name: str
    date_created: datetime
    date_updated: datetime
