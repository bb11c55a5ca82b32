"""What a move would come to: read the whole list, keep nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from callreel.migration.inventory import list_all
from callreel.model.moved_item import expected_bytes
from callreel.model.price_list import PriceList
from callreel.model.source import NEVER_MEDIA, Source
from callreel.source.twilio_account import TwilioAccount

RECORDINGS_PER_S = 25.0  # a cautious guess: two cores, 300 KB each; what a migration reaches is in its status
BYTES_PER_S = 12_500_000  # 100 Mbit/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Counts, whole minutes as they are billed, bytes by Twilio's own format, dollars a month, seconds."""

    source_sid: str
    recordings: int
    minutes: int
    bytes: int
    monthly_cost_source: float
    monthly_cost_bucket: float
    eta_seconds: int


async def plan(
    source: Source,
    client: TwilioAccount,
    *,
    created_after: datetime | None,
    created_before: datetime | None,
    prices: PriceList,
) -> Plan:
    """Add up the list of a source, page by page. Changes nothing, there or here. Raises as `TwilioAccount.list_page`.

    A minute that was begun is a minute. What has no media any more is left out.
    """
    recordings = minutes = size_bytes = 0
    async for page in list_all(source, client, created_after=created_after, created_before=created_before):
        for one in page.recordings:
            if one.status in NEVER_MEDIA:
                continue
            recordings += 1
            minutes += -(-(one.duration_s or 0) // 60)
            size_bytes += expected_bytes(one) or 0
    return Plan(
        source_sid=source.sid,
        recordings=recordings,
        minutes=minutes,
        bytes=size_bytes,
        monthly_cost_source=prices.at_source(minutes),
        monthly_cost_bucket=prices.in_bucket(size_bytes),
        eta_seconds=round(max(recordings / RECORDINGS_PER_S, size_bytes / BYTES_PER_S)),
    )
