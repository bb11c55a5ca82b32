"""Delete a call log, and what its account wants to go with it."""

from __future__ import annotations

from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Actor
from callreel.model.sid import AccountSid
from callreel.removals import remove_call_logs


async def delete_call(account_sid: AccountSid, sid: str, *, ledger: Ledger, by: Actor = CALLREEL) -> None:
    """Delete one call log under the account's deletion settings.

    With `DeleteObjectsWithCallLogs` its recordings go too, and their objects in the customer's bucket; else they stay,
    and each of them tells so. Raises `NotFound`, and `LegalHold` or `RecordingNotFinished` for a recording of the call
    that may not go now; then everything stays.
    """
    await ledger.calls.fetch(account_sid, sid)
    chosen = await ledger.deletion_settings.of(account_sid)
    outcomes = await remove_call_logs(
        account_sid,
        [sid],
        ledger=ledger,
        by=by,
        reason=f"its call log {sid} was deleted",
        with_objects=chosen.delete_objects_with_call_logs,
    )
    why = outcomes[sid]
    if why is not None:
        raise why
