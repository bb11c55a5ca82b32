"""Campaigns. A name stands for one active campaign of an account at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, exists, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import CampaignExists, NotFound
from callreel.ledger.audit import write_deeds
from callreel.ledger.idempotency import claim_key
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import calls, campaigns
from callreel.model.campaign import Campaign, CampaignStatus
from callreel.model.create_key import CreateKey
from callreel.model.deed import Deed
from callreel.model.sid import AccountSid, is_sid, mint_sid

_COLUMNS = [column.name for column in campaigns.columns]
_LIVE_NAME: dict[str, Any] = {
    "index_elements": ["account_sid", "friendly_name"],
    "index_where": campaigns.c.status == CampaignStatus.ACTIVE,
}


class Campaigns:
    """The campaigns of all accounts, one account at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, campaign: Campaign, key: CreateKey | None, deed: Deed) -> Campaign:
        """Write a new campaign. With a key that was used before: the campaign it made then.

        Raises `CampaignExists` and `IdempotencyConflict`.
        """
        row = {name: getattr(campaign, name) for name in _COLUMNS}
        async with self._engine.begin() as transaction:
            first = await claim_key(
                transaction,
                campaign.account_sid,
                key.key if key else None,
                request_hash=key.request_hash if key else "",
                resource_sid=campaign.sid,
                now=campaign.date_created,
            )
            if first is None:
                statement = upsert(campaigns).values(row).on_conflict_do_nothing(**_LIVE_NAME)
                if not (await transaction.execute(statement)).rowcount:
                    raise CampaignExists()
                await write_deeds(transaction, [deed], now=campaign.date_created)
        return campaign if first is None else await self.fetch(campaign.account_sid, first)

    async def find(self, account_sid: AccountSid, sid: str) -> Campaign | None:
        """The campaign, or None when this account has none of that SID."""
        query = select(campaigns).where(campaigns.c.sid == sid, campaigns.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _read(row)

    async def fetch(self, account_sid: AccountSid, sid: str) -> Campaign:
        """As `find`; raises `NotFound`."""
        campaign = await self.find(account_sid, sid)
        if campaign is None:
            raise NotFound()
        return campaign

    async def find_named(self, account_sid: AccountSid, friendly_name: str) -> Campaign | None:
        """The active campaign of this name, or None."""
        c = campaigns.c
        query = select(campaigns).where(
            c.account_sid == account_sid, c.friendly_name == friendly_name, c.status == CampaignStatus.ACTIVE
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _read(row)

    async def list(
        self, account_sid: AccountSid, *, friendly_name: str | None = None, place: Place | None, size: int
    ) -> Page[Campaign]:
        """One page of an account's campaigns, newest first."""
        c = campaigns.c
        query = select(campaigns).where(c.account_sid == account_sid)
        if friendly_name is not None:
            query = query.where(c.friendly_name == friendly_name)
        query = at_place(query, c.date_created, c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_read(row) for row in rows], place=place, size=size)

    async def count_calls(self, account_sid: AccountSid, sid: str) -> int:
        """How many call logs carry the campaign. Walks its part of an index."""
        query = select(func.count()).where(calls.c.campaign_sid == sid, calls.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def rename(
        self, account_sid: AccountSid, sid: str, friendly_name: str, *, now: datetime, deed: Deed
    ) -> Campaign:
        """Give an active campaign another name. Raises `NotFound` and `CampaignExists`."""
        taken = await self.find_named(account_sid, friendly_name)
        if taken is not None and taken.sid != sid:
            raise CampaignExists()
        statement = (
            update(campaigns)
            .where(campaigns.c.sid == sid, campaigns.c.account_sid == account_sid)
            .values(friendly_name=friendly_name, date_updated=now)
            .returning(campaigns)
        )
        async with self._engine.begin() as transaction:
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFound()
            await write_deeds(transaction, [deed], now=now)
        return _read(row)


async def set_campaign_status(
    transaction: AsyncConnection, account_sid: AccountSid, sid: str, status: CampaignStatus, *, now: datetime
) -> None:
    """Let calls join, or no longer, inside the caller's transaction."""
    await transaction.execute(
        update(campaigns)
        .where(campaigns.c.sid == sid, campaigns.c.account_sid == account_sid)
        .values(status=status, date_updated=now)
    )


async def remove_if_empty(transaction: AsyncConnection, account_sid: AccountSid, sid: str) -> bool:
    """Remove a campaign that no call log carries any more, inside the caller's transaction."""
    statement = delete(campaigns).where(
        campaigns.c.sid == sid,
        campaigns.c.account_sid == account_sid,
        ~exists().where(calls.c.campaign_sid == sid),
    )
    return bool((await transaction.execute(statement)).rowcount)


async def with_campaigns(
    transaction: AsyncConnection, met: Sequence[dict[str, Any]], *, now: datetime
) -> list[dict[str, Any]]:
    """Rows of calls with `campaign_sid` in place of what they name as `campaign`: a SID as it is, a friendly name
    as the active campaign of that name, which is made when there is none.
    """
    named = {(row["account_sid"], row["campaign"]) for row in met if _is_name(row.get("campaign"))}
    sids = await _sids_of(transaction, named, now=now) if named else {}
    rows = []
    for row in met:
        given = row.get("campaign")
        sid = sids.get((row["account_sid"], str(given))) if _is_name(given) else given
        rows.append({name: value for name, value in row.items() if name != "campaign"} | {"campaign_sid": sid})
    return rows


def _is_name(campaign: str | None) -> bool:
    return campaign is not None and not is_sid("CG", campaign)


async def _sids_of(
    transaction: AsyncConnection, named: set[tuple[str, str]], *, now: datetime
) -> dict[tuple[str, str], str]:
    c = campaigns.c
    live = select(c.account_sid, c.friendly_name, c.sid).where(
        tuple_(c.account_sid, c.friendly_name).in_(sorted(named)), c.status == CampaignStatus.ACTIVE
    )
    found = {(row.account_sid, row.friendly_name): row.sid for row in await transaction.execute(live)}
    missing = sorted(named - found.keys())
    if missing:
        rows = [
            {
                "sid": mint_sid("CG"),
                "account_sid": account_sid,
                "friendly_name": name,
                "status": CampaignStatus.ACTIVE,
                "date_created": now,
                "date_updated": now,
            }
            for account_sid, name in missing
        ]
        await transaction.execute(upsert(campaigns).on_conflict_do_nothing(**_LIVE_NAME), rows)
        found = {(row.account_sid, row.friendly_name): row.sid for row in await transaction.execute(live)}
    return found


def _read(row: RowMapping) -> Campaign:
    return Campaign(**{**row, "status": CampaignStatus(row["status"])})
