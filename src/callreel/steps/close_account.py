"""What goes with an account that was closed."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.media_keys import MediaKeys
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


async def destroy_account_key(
    account_sid: AccountSid, *, ledger: Ledger, keys: MediaKeys, clock: Clock, by: Actor = CALLREEL
) -> bool:
    """Destroy the key of a closed account's media at rest once nothing needs it; True when this did it.

    From then on no media of the account can be opened, from no copy of spool or storage. While one of its recordings
    waits for its bucket, is held, or is kept in service storage, the key stays, and the clockwork tries again. What
    call logs and conferences say is sealed under another key and stays readable as long as it is kept.
    """
    deed = by.deed(Action.ACCOUNT_KEY_DESTROYED, account_sid, account_sid)
    destroyed = await ledger.account_keys.destroy(account_sid, deed=deed, now=clock.now())
    if destroyed:
        keys.forget(account_sid)
    return destroyed


async def destroy_keys_of_closed(*, ledger: Ledger, keys: MediaKeys, clock: Clock) -> int:
    """As `destroy_account_key`, for every closed account. Returns how many keys went; may be repeated."""
    gone = 0
    for account_sid in await ledger.account_keys.list_of_closed():
        gone += await destroy_account_key(account_sid, ledger=ledger, keys=keys, clock=clock)
    return gone
