"""What goes with an account that was closed."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Action, Actor
from callreel.model.deletion import Deletion, DeletionKind, DeletionStatus
from callreel.model.sid import AccountSid, mint_sid


async def delete_with_account(
    account_sid: AccountSid, *, ledger: Ledger, clock: Clock, by: Actor = CALLREEL
) -> Deletion | None:
    """Have everything of a closed account deleted by a job, objects included, if its deletion settings say so.

    None where they do not: then its recordings stay and are delivered. May be repeated, for what could not go before.
    """
    chosen = await ledger.deletion_settings.of(account_sid)
    if not chosen.delete_objects_with_call_logs:
        return None
    now = clock.now()
    deletion = Deletion(
        sid=mint_sid("BD"),
        account_sid=account_sid,
        kind=DeletionKind.ACCOUNT,
        status=DeletionStatus.RUNNING,
        removes_objects=True,
        asked_by=by.name,
        date_created=now,
        date_updated=now,
    )
    deed = by.deed(Action.BULK_DELETED, account_sid, deletion.sid, reason="the account was closed")
    return await ledger.deletions.freeze_account(deletion, deed=deed)
