"""Campaigns: calls that belong together, and are deleted together."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from callreel.errors import StateConflict
from callreel.model.callback import iso
from callreel.model.campaign import Campaign
from callreel.model.deletion import Deletion, DeletionStatus
from callreel.parts import Parts
from callreel.steps.create_campaign import create_campaign
from callreel.steps.delete_campaign import delete_campaign
from callreel.steps.delete_many import BATCH, delete_many
from callreel.steps.rename_campaign import rename_campaign
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.bulk_delete import DELETION, deletion_json
from callreel.web.create_keys import create_key
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Campaigns"
CAMPAIGN = shape(
    sid="text",
    account_sid="text",
    friendly_name="text",
    status="text",
    calls="integer?",
    date_created="text",
    date_updated="text",
    url="text",
)


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's campaigns, newest first", page_of("campaigns", CAMPAIGN)),
    openapi_extra=asks(FriendlyName="text", **PAGING),
)
async def list_campaigns(account: Acting, parts: Opened, query: Query) -> Response:
    """List campaigns"""
    wish = PageWish.read(query)
    name = query.text("FriendlyName")
    page = await parts.ledger.campaigns.list(account.sid, friendly_name=name, place=wish.place, size=wish.size)
    path = f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
    links = links_of(path, [("FriendlyName", name)] if name else [], wish, page)
    return json_answer(envelope_v1("campaigns", [_json(c, None, parts) for c in page.rows], wish, links))


@on(
    router,
    "POST",
    PATH,
    responses=answers(201, "The campaign", CAMPAIGN),
    openapi_extra=takes({"FriendlyName": "text"}, required=["FriendlyName"], json=True),
)
async def create(request: Request, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Create a campaign"""
    made = await create_campaign(
        account.sid,
        form.required("FriendlyName"),
        campaigns=parts.ledger.campaigns,
        clock=parts.clock,
        key=create_key(request, form),
        by=by,
    )
    return json_answer(_json(made, 0, parts), 201)


@on(router, "GET", PATH + "/{sid}", responses=answers(200, "The campaign and how many calls carry it", CAMPAIGN))
async def fetch(sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a campaign"""
    return await _answer(await parts.ledger.campaigns.fetch(account.sid, path_sid("CG", sid)), parts)


@on(
    router,
    "POST",
    PATH + "/{sid}",
    responses=answers(200, "The campaign under its new name", CAMPAIGN),
    openapi_extra=takes({"FriendlyName": "text"}, required=["FriendlyName"], json=True),
)
async def rename(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Rename a campaign"""
    name = form.required("FriendlyName")
    found = await rename_campaign(
        account.sid, path_sid("CG", sid), name, campaigns=parts.ledger.campaigns, clock=parts.clock, by=by
    )
    return await _answer(found, parts)


@on(
    router,
    "DELETE",
    PATH + "/{sid}",
    responses=answers(204, "It is gone, with its call logs")
    | answers(202, "It has many call logs: a job deletes them, then the campaign", DELETION),
)
async def remove(sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Delete a campaign and its call logs"""
    deletion = await delete_campaign(account.sid, path_sid("CG", sid), ledger=parts.ledger, clock=parts.clock, by=by)
    if deletion.matched > BATCH:
        return json_answer(deletion_json(deletion, (), parts.public_url), 202)
    await delete_many(deletion.sid, ledger=parts.ledger, clock=parts.clock)
    deletion = await parts.ledger.deletions.fetch(account.sid, deletion.sid)
    await _refuse_the_rest(deletion, parts)
    if deletion.status is DeletionStatus.COMPLETED:
        return Response(status_code=204)
    return json_answer(deletion_json(deletion, (), parts.public_url), 202)


async def _refuse_the_rest(deletion: Deletion, parts: Parts) -> None:
    if not deletion.failed:
        return
    failure = (await parts.ledger.deletions.list_failed(deletion.sid, limit=1))[0]
    raise StateConflict(
        f"{deletion.failed} of {deletion.matched} call logs could not be deleted, so the campaign stays: "
        f"{failure.subject_sid}: {failure.reason}"
    )


async def _answer(campaign: Campaign, parts: Parts) -> Response:
    count = await parts.ledger.campaigns.count_calls(campaign.account_sid, campaign.sid)
    return json_answer(_json(campaign, count, parts))


def _json(campaign: Campaign, calls: int | None, parts: Parts) -> dict[str, Any]:
    """A campaign; its calls are counted only where one campaign is shown."""
    path = f"{PATH.format(account_sid=campaign.account_sid)}/{campaign.sid}"
    return {
        "sid": campaign.sid,
        "account_sid": campaign.account_sid,
        "friendly_name": campaign.friendly_name,
        "status": str(campaign.status),
        "calls": calls,
        "date_created": iso(campaign.date_created),
        "date_updated": iso(campaign.date_updated),
        "url": f"{parts.public_url}/callreel{path}",
    }
