"""Hear that a customer wants many recordings deleted: freeze which, count them, and have a job do it."""

from __future__ import annotations

from collections.abc import Sequence

from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.ledger.recordings import RecordingFilter
from callreel.model.create_key import CreateKey
from callreel.model.deed import CALLREEL, Action, Actor
from callreel.model.deletion import Deletion, DeletionKind, DeletionStatus
from callreel.model.sid import AccountSid, mint_sid


async def delete_in_bulk(
    account_sid: AccountSid,
    wanted: RecordingFilter | Sequence[str],
    *,
    status: DeletionStatus,
    receipt_email: str | None,
    ledger: Ledger,
    clock: Clock,
    key: CreateKey | None = None,
    by: Actor = CALLREEL,
) -> Deletion:
    """Write down what matches now; with `RUNNING` a job deletes it, with `DRY_RUN` it waits a day to be confirmed.

    What matches later is never deleted by it. Objects in the customer's own bucket stay, as they do when recordings
    are deleted singly. Raises `NotFound` when a SID of a list is none of the account's, and `IdempotencyConflict`.
    """
    now = clock.now()
    deletion = Deletion(
        sid=mint_sid("BD"),
        account_sid=account_sid,
        kind=DeletionKind.RECORDINGS,
        status=status,
        asked_by=by.name,
        receipt_email=receipt_email,
        date_created=now,
        date_updated=now,
    )
    deed = by.deed(Action.BULK_DELETED, account_sid, deletion.sid) if status is DeletionStatus.RUNNING else None
    return await ledger.deletions.freeze_recordings(deletion, wanted, key=key, deed=deed)


async def confirm_bulk(
    account_sid: AccountSid, sid: str, *, receipt_email: str | None, ledger: Ledger, by: Actor = CALLREEL
) -> Deletion:
    """Let what a dry run counted be deleted: that and nothing else. Raises `NotFound` and `StateConflict`."""
    deed = by.deed(Action.BULK_DELETED, account_sid, sid)
    return await ledger.deletions.confirm(account_sid, sid, receipt_email=receipt_email, deed=deed)
