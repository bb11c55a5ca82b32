"""Deeds: who did what to what, from where. What the audit keeps, as words; nothing is written here.

A secret never goes into a deed. Where two secrets have to be told apart, a fingerprint does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from callreel.model.sid import AccountSid


class Action(StrEnum):
    """Everything the audit tells of. The names are a promise: people filter by them."""

    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_SUSPENDED = "account.suspended"
    ACCOUNT_ACTIVATED = "account.activated"
    ACCOUNT_CLOSED = "account.closed"
    ACCOUNT_KEY_DESTROYED = "account-key.destroyed"
    TOKEN_ROTATED = "token.rotated"  # noqa: S105 - the name of an action
    KEY_CREATED = "key.created"
    KEY_CHANGED = "key.changed"
    KEY_DELETED = "key.deleted"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DELETED = "user.deleted"
    SESSION_OPENED = "session.opened"
    SESSION_REFUSED = "session.refused"
    SESSION_CLOSED = "session.closed"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_CHANGED = "credential.changed"
    CREDENTIAL_DELETED = "credential.deleted"
    SETTINGS_CHANGED = "settings.changed"
    DELETION_SETTINGS_CHANGED = "deletion-settings.changed"
    RETENTION_CLASS_CREATED = "retention-class.created"
    RETENTION_CLASS_CHANGED = "retention-class.changed"
    RETENTION_CLASS_DELETED = "retention-class.deleted"
    RECORDING_LISTENED = "recording.listened"
    RECORDING_DOWNLOADED = "recording.downloaded"
    RECORDING_DELETED = "recording.deleted"
    RECORDING_ERASED = "recording.erased"
    RECORDING_PURGED = "recording.purged"
    PLAYBACK_ISSUED = "playback.issued"
    CALL_DELETED = "call.deleted"
    CAMPAIGN_CREATED = "campaign.created"
    CAMPAIGN_CHANGED = "campaign.changed"
    CAMPAIGN_DELETED = "campaign.deleted"
    BULK_DELETED = "bulk.deleted"
    DELIVERIES_RESTARTED = "deliveries.restarted"
    HOLD_SET = "hold.set"
    HOLD_LIFTED = "hold.lifted"
    SOURCE_ADDED = "source.added"
    SOURCE_CHANGED = "source.changed"
    SOURCE_REMOVED = "source.removed"
    SOURCE_RECORDING_DELETED = "source-recording.deleted"
    MIGRATION_STARTED = "migration.started"
    MIGRATION_PAUSED = "migration.paused"
    MIGRATION_RESUMED = "migration.resumed"
    MIGRATION_CANCELED = "migration.canceled"
    MOVES_RETRIED = "moves.retried"
    QUARANTINE_REMOVED = "quarantine.removed"
    RECOVERY_RUN = "recovery.run"
    MASTER_KEY_ROTATED = "master-key.rotated"
    CLOCK_CONFIRMED = "clock.confirmed"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"


ACTIONS = tuple(str(action) for action in Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing done. `account_sid` says whose chain it is written to; None is the installation's own.

    `actor` is spelled as `Actor.name`. `subject` is the SID of what it was done to, where that has one. `details`
    are plain JSON values: what was before and what is after, a reason, a fingerprint.
    """

    account_sid: AccountSid | None
    actor: str
    action: Action
    subject: str | None = None
    address: str | None = None
    request_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: `AC…` and `SK…` by HTTP Basic, `US…` in the Console, or one of the three words below.

    `address` is where the request came from, `request_id` what its answer and its log line carry.
    """

    name: str
    address: str | None = None
    request_id: str | None = None

    def deed(self, action: Action, account_sid: AccountSid | None, subject: str | None = None, **details: Any) -> Deed:
        """What this actor did, ready to be written."""
        return Deed(
            account_sid=account_sid,
            actor=self.name,
            action=action,
            subject=subject,
            address=self.address,
            request_id=self.request_id,
            details=details,
        )


OPERATOR = Actor("operator")
"""A person at the command line of the installation."""
CALLREEL = Actor("callreel")
"""The clockwork: nobody asked at that moment, a setting or a deadline did."""
BEARER = "bearer"
"""Whoever holds a signed URL: it opens without a sign-in, so nobody knows who it is."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What differs, as `{"name": {"before": …, "after": …}}`. For values that are no secrets."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: {"before": before.get(name), "after": after[name]} for name in names}


def fingerprint(text: str) -> str:
    """16 hexadecimal digits of SHA-256, to tell two public things apart.

    For key ids and public keys. Never of a secret: a short one could be guessed from it.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def details_text(details: Mapping[str, Any]) -> str:
    """The details as the one JSON text that is stored and hashed."""
    return json.dumps(details, sort_keys=True, separators=(",", ":"), default=str)
