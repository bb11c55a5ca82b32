"""Campaigns: made, renamed, and deleted with all their call logs."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.recording_filters import place_of, place_text
from callreel.console.visit import ROOT, Visit, back, screen
from callreel.errors import InvalidParameter, Refused
from callreel.model.campaign import Campaign
from callreel.model.person import Right
from callreel.steps.create_campaign import create_campaign
from callreel.steps.delete_campaign import delete_campaign
from callreel.steps.rename_campaign import rename_campaign

SIZE = 50


@screen(Right.LIST)
async def campaigns(visit: Visit) -> Response:
    """The list, and the form for a new one."""
    fault = ""
    if visit.is_post:
        visit.require(Right.CALLS)
        try:
            await create_campaign(
                visit.account.sid,
                visit.form.text("name"),
                campaigns=visit.parts.ledger.campaigns,
                clock=visit.parts.clock,
                by=visit.actor,
            )
            return back(visit)
        except Refused as why:
            fault = why.message
    place = place_of(visit.query, "CG")
    found = await visit.parts.ledger.campaigns.list(visit.account.sid, place=place, size=SIZE)
    rows = found.rows
    return page(
        visit,
        "campaigns.html",
        status=400 if fault else 200,
        rows=rows,
        fault=fault,
        newer=place_text(rows[0].date_created, rows[0].sid) if rows and found.has_previous else "",
        older=place_text(rows[-1].date_created, rows[-1].sid) if rows and found.has_next else "",
    )


@screen(Right.LIST)
async def campaign(visit: Visit) -> Response:
    """One campaign: its name, how many calls it has, and what deleting it means."""
    found = await visit.parts.ledger.campaigns.fetch(visit.account.sid, visit.sid("CG"))
    fault = ""
    if visit.is_post:
        visit.require(Right.CALLS)
        try:
            return await _change(visit, found)
        except Refused as why:
            fault = why.message
    chosen = await visit.parts.ledger.deletion_settings.of(visit.account.sid)
    return page(
        visit,
        "campaign.html",
        status=400 if fault else 200,
        found=found,
        count=await visit.parts.ledger.campaigns.count_calls(visit.account.sid, found.sid),
        takes_objects=chosen.delete_objects_with_call_logs,
        fault=fault,
    )


async def _change(visit: Visit, found: Campaign) -> Response:
    ledger, clock = visit.parts.ledger, visit.parts.clock
    if visit.form["do"] == "rename":
        name = visit.form.text("name")
        await rename_campaign(
            visit.account.sid, found.sid, name, campaigns=ledger.campaigns, clock=clock, by=visit.actor
        )
        return back(visit)
    if visit.form["do"] != "delete":
        raise InvalidParameter("This form is unknown")
    if visit.form.text("confirm") != found.sid[-4:]:
        raise InvalidParameter(f"Type {found.sid[-4:]}, the last four characters of its SID")
    made = await delete_campaign(visit.account.sid, found.sid, ledger=ledger, clock=clock, by=visit.actor)
    return back(visit, f"{ROOT}/deletions/{made.sid}")


ROUTES = (
    Route("/campaigns", campaigns, methods=["GET", "POST"]),
    Route("/campaigns/{sid}", campaign, methods=["GET", "POST"]),
)
