"""Give a campaign another name."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.ledger.campaigns import Campaigns
from callreel.model.campaign import Campaign, check_campaign_name
from callreel.model.deed import Action, Actor, changes
from callreel.model.sid import AccountSid


async def rename_campaign(
    account_sid: AccountSid, sid: str, friendly_name: str, *, campaigns: Campaigns, clock: Clock, by: Actor
) -> Campaign:
    """The campaign under its new name. Raises `NotFound`, `InvalidFriendlyName` and `CampaignExists`."""
    name = check_campaign_name(friendly_name)
    before = await campaigns.fetch(account_sid, sid)
    told = changes({"friendly_name": before.friendly_name}, {"friendly_name": name})
    deed = by.deed(Action.CAMPAIGN_CHANGED, account_sid, sid, changes=told)
    return await campaigns.rename(account_sid, sid, name, now=clock.now(), deed=deed)
