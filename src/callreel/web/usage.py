"""Usage: what an account keeps here and outside, what that costs, and what lifecycle rules would save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from callreel.model.callback import iso
from callreel.model.price_list import PriceList
from callreel.model.storage_cost import by_class, of_bucket, size_of, with_lifecycle
from callreel.model.usage import UsageRow
from callreel.web.answers import json_answer
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
            "monthly_cost_bucket": of_bucket(outside, prices),
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
        "bytes": size_of(rows),
    }


def _classes(rows: Sequence[UsageRow], prices: PriceList) -> list[dict[str, Any]]:
    return [
        {
            "name": each.of.name,
            "label": each.of.label,
            "gb_month": each.gb_month,
            "retrieval": each.of.retrieval,
            "fits": each.of.fits,
            "bytes_now": each.bytes_now,
            "monthly_cost": each.monthly_cost,
        }
        for each in by_class(rows, prices)
    ]


def _lifecycle(rows: Sequence[UsageRow], prices: PriceList) -> dict[str, Any]:
    found = with_lifecycle(rows, prices)
    steps = [
        {
            "from_days": step.of.from_days,
            "storage_class": step.of.name,
            "bytes": step.bytes,
            "monthly_cost": step.monthly_cost,
        }
        for step in found.steps
    ]
    return {
        "steps": steps,
        "monthly_cost": found.monthly_cost,
        "monthly_cost_standard": found.monthly_cost_standard,
    }


def _minutes(rows: Sequence[UsageRow]) -> float:
    return sum(row.duration_ms for row in rows) / 60_000
