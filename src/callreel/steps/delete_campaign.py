"""Delete a campaign: its call logs, what its account wants to go with them, and at last itself."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import LegalHold
from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Action, Actor
from callreel.model.deletion import Deletion, DeletionKind, DeletionStatus
from callreel.model.sid import AccountSid, mint_sid


async def delete_campaign(
    account_sid: AccountSid, sid: str, *, ledger: Ledger, clock: Clock, by: Actor = CALLREEL
) -> Deletion:
    """Freeze what the campaign holds and have it deleted by a job. No call joins it from now on.

    Under the deletion settings of now. Raises `NotFound`, and `LegalHold` while a recording of its calls has one.
    """
    campaign = await ledger.campaigns.fetch(account_sid, sid)
    held = await ledger.recordings.find_held_of_campaign(account_sid, sid)
    if held is not None:
        raise LegalHold(
            f"The recording {held} of the campaign {campaign.friendly_name} is under a legal hold. "
            "Its owner has to lift it before the campaign can be deleted."
        )
    chosen = await ledger.deletion_settings.of(account_sid)
    now = clock.now()
    deletion = Deletion(
        sid=mint_sid("BD"),
        account_sid=account_sid,
        kind=DeletionKind.CAMPAIGN,
        campaign_sid=sid,
        status=DeletionStatus.RUNNING,
        removes_objects=chosen.delete_objects_with_call_logs,
        asked_by=by.name,
        date_created=now,
        date_updated=now,
    )
    deed = by.deed(
        Action.CAMPAIGN_DELETED,
        account_sid,
        sid,
        friendly_name=campaign.friendly_name,
        with_objects=chosen.delete_objects_with_call_logs,
        deletion=deletion.sid,
    )
    return await ledger.deletions.freeze_campaign(deletion, deed=deed)
