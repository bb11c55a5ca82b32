"""Make a campaign that calls can carry."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.ledger.campaigns import Campaigns
from callreel.model.campaign import Campaign, CampaignStatus, check_campaign_name
from callreel.model.create_key import CreateKey
from callreel.model.deed import CALLREEL, Action, Actor
from callreel.model.sid import AccountSid, mint_sid


async def create_campaign(
    account_sid: AccountSid,
    friendly_name: str,
    *,
    campaigns: Campaigns,
    clock: Clock,
    key: CreateKey | None = None,
    by: Actor = CALLREEL,
) -> Campaign:
    """A new campaign, or the one an earlier request with the same key made.

    Raises `InvalidFriendlyName`, `CampaignExists` and `IdempotencyConflict`.
    """
    now = clock.now()
    campaign = Campaign(
        sid=mint_sid("CG"),
        account_sid=account_sid,
        friendly_name=check_campaign_name(friendly_name),
        status=CampaignStatus.ACTIVE,
        date_created=now,
        date_updated=now,
    )
    deed = by.deed(Action.CAMPAIGN_CREATED, account_sid, campaign.sid, friendly_name=friendly_name)
    return await campaigns.keep(campaign, key, deed)
