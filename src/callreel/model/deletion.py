"""Deletions of many things at once: what was asked for, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callreel.model.sid import AccountSid


class DeletionKind(StrEnum):
    """What is deleted."""

    RECORDINGS = "recordings"  # a list or a filter of recordings
    CAMPAIGN = "campaign"  # the call logs of a campaign, then the campaign
    ACCOUNT = "account"  # everything of a closed account


class DeletionStatus(StrEnum):
    """How far it has come."""

    DRY_RUN = "dry-run"  # counted and frozen; nothing is deleted unless it is confirmed within a day
    RUNNING = "running"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion. `matched` is how many things were found when it was asked for; never more are deleted."""

    sid: str
    account_sid: AccountSid
    kind: DeletionKind
    status: DeletionStatus
    date_created: datetime
    date_updated: datetime
    campaign_sid: str | None = None
    removes_objects: bool = False
    matched: int = 0
    deleted: int = 0
    failed: int = 0
    asked_by: str | None = None
    receipt_email: str | None = None
    receipt_state: str | None = None
    receipt_attempts: int = 0
    receipt_error: str | None = None
    receipt_at: datetime | None = None
    date_completed: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionItem:
    """One thing of a deletion: a recording's or a call's SID, and why it was not deleted."""

    position: int
    subject_sid: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenGroup:
    """So many of a deletion's recordings stand alike: in which of the customer's buckets (None: here), completed or
    not, under a legal hold or not. Only completed ones without a hold can be deleted.
    """

    bucket: str | None
    is_done: bool
    is_held: bool
    count: int
