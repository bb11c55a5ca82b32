"""Usage: what an account keeps here and outside, what that costs, and what lifecycle rules would save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from callreel.model.price_list import PriceList
from callreel.model.usage import CLASSES, UsageRow
from callreel.web.answers import iso, json_answer
from callreel.web.auth import Acting, Opened
from callreel.web.description import answers, shape
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Usage"
USAGE = shape(
    account_sid="text",
    as_of="text",
    here="object",
    outside="object",
    monthly_cost_source="number",
    monthly_cost_bucket="number",
    prices="object",
    storage_classes="list",
    lifecycle="object",
    url="text",
)


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "Completed recordings as of a moment ago; costs in dollars a month", USAGE),
)
async def usage(account: Acting, parts: Opened) -> Response:
    """Fetch what is stored here and outside, with its cost"""
    found = await parts.ledger.usage.of(account.sid)
    prices = parts.chosen.prices
    here, outside = found.of(is_external=False), found.of(is_external=True)
    return json_answer(
        {
            "account_sid": account.sid,
            "as_of": iso(found.as_of),
            "here": _sum(here),
            "outside": _sum(outside),
            "monthly_cost_source": prices.at_source(_minutes(found.rows)),
            "monthly_cost_bucket": _cost(outside, prices),
            "prices": {
                "source_free_minutes": prices.source_free_minutes,
                "source_minute_month": prices.source_minute_month,
                "bucket_gb_month": prices.bucket_gb_month,
            },
            "storage_classes": _classes(found.rows, prices),
            "lifecycle": _lifecycle(found.rows, prices),
            "url": f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}",
        }
    )


def _sum(rows: Sequence[UsageRow]) -> dict[str, Any]:
    return {
        "recordings": sum(row.recordings for row in rows),
        "minutes": round(_minutes(rows), 2),
        "bytes": _bytes(rows),
    }


def _classes(rows: Sequence[UsageRow], prices: PriceList) -> list[dict[str, Any]]:
    """Each class with what all of the account's bytes would cost in it, and what lies in it now."""
    total = _bytes(rows)
    return [
        {
            "name": each.name,
            "label": each.label,
            "gb_month": prices.of_class(each.name),
            "retrieval": each.retrieval,
            "fits": each.fits,
            "bytes_now": _bytes([row for row in rows if row.storage_class == each.name]),
            "monthly_cost": prices.in_class(each.name, total),
        }
        for each in CLASSES
    ]


def _lifecycle(rows: Sequence[UsageRow], prices: PriceList) -> dict[str, Any]:
    """What rules by age would cost: each age group in the class that fits it."""
    steps = [
        {
            "from_days": each.from_days,
            "storage_class": each.name,
            "bytes": _bytes([row for row in rows if row.age == age]),
            "monthly_cost": prices.in_class(each.name, _bytes([row for row in rows if row.age == age])),
        }
        for age, each in enumerate(CLASSES)
    ]
    all_standard = prices.in_class("STANDARD", _bytes(rows))
    by_age = round(sum(float(str(step["monthly_cost"])) for step in steps), 2)
    return {"steps": steps, "monthly_cost": by_age, "monthly_cost_standard": all_standard}


def _cost(rows: Sequence[UsageRow], prices: PriceList) -> float:
    names = {row.storage_class for row in rows}
    return round(
        sum(prices.in_class(name, _bytes([row for row in rows if row.storage_class == name])) for name in names), 2
    )


def _minutes(rows: Sequence[UsageRow]) -> float:
    return sum(row.duration_ms for row in rows) / 60_000


def _bytes(rows: Sequence[UsageRow]) -> int:
    return sum(row.size_bytes for row in rows)
