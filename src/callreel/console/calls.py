"""Call logs: found by number, SID, date or campaign; one call with its recordings; deleted, its consequence said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import date as Day

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.fields import Fields
from callreel.console.pages import page
from callreel.console.recording_filters import place_of, place_text
from callreel.console.visit import ROOT, Visit, back, screen
from callreel.errors import InvalidParameter, Refused
from callreel.ledger.calls import ALWAYS, CallFilter, Span
from callreel.ledger.paging import Page
from callreel.ledger.recordings import RecordingFilter
from callreel.model.call import Call
from callreel.model.person import Right
from callreel.model.sid import is_sid
from callreel.steps.delete_call import delete_call
from callreel.steps.read_calls import fetch_call, find_calls, find_calls_of_number, list_calls

LIST = f"{ROOT}/calls"
SIZE = 50
MOST_FOUND = 200  # calls of one number, newest first
MOST_RECORDINGS = 200


@screen(Right.LIST)
async def calls(visit: Visit) -> Response:
    """The list, as its address asks for it."""
    query, faults = visit.query, list[str]()
    found = await _found(visit, faults)
    rows = found.rows
    campaigns = await visit.parts.ledger.campaigns.list(visit.account.sid, place=None, size=SIZE)
    return page(
        visit,
        "calls.html",
        rows=rows,
        campaigns=campaigns.rows,
        query=query,
        faults=faults,
        filtered=any(query.text(name) for name in ("q", "from", "to", "campaign")),
        newer=query.changed(after=None, before=_place(rows[0])) if rows and found.has_previous else "",
        older=query.changed(before=None, after=_place(rows[-1])) if rows and found.has_next else "",
        gone="removed" in query,
    )


@screen(Right.LIST)
async def call(visit: Visit) -> Response:
    """One call with its recordings; posted to, it is deleted."""
    sid = visit.sid("CA")
    found = await fetch_call(visit.account.sid, sid, logs=visit.parts.logs)
    fault = ""
    if visit.is_post:
        visit.require(Right.CALLS)
        try:
            if visit.form.text("confirm") != sid[-4:]:
                raise InvalidParameter(f"Type {sid[-4:]}, the last four characters of its SID")
            await delete_call(visit.account.sid, sid, ledger=visit.parts.ledger, by=visit.actor)
            return back(visit, LIST, removed="1")
        except Refused as why:
            fault = why.message
    chosen = await visit.parts.ledger.deletion_settings.of(visit.account.sid)
    recordings = await visit.parts.ledger.recordings.list(
        visit.account.sid, RecordingFilter(call_sid=sid, include_deleted=True), place=None, size=MOST_RECORDINGS
    )
    return page(
        visit,
        "call.html",
        status=400 if fault else 200,
        found=found,
        rows=recordings.rows,
        takes_objects=chosen.delete_objects_with_call_logs,
        fault=fault,
    )


async def _found(visit: Visit, faults: list[str]) -> Page[Call]:
    query, logs, account_sid = visit.query, visit.parts.logs, visit.account.sid
    if text := query.text("q"):
        sid = text[:2].upper() + text[2:].lower()
        number = text if text.startswith(("sip:", "client:")) else "".join(c for c in text if c not in " -().\u00a0")
        sids = (
            [sid] if is_sid("CA", sid) else await find_calls_of_number(account_sid, number, most=MOST_FOUND, logs=logs)
        )
        known = await find_calls(account_sid, sids, logs=logs)
        return Page(sorted(known.values(), key=_newest, reverse=True), has_next=False, has_previous=False)
    place = None
    try:
        place = place_of(query, "CA")
    except InvalidParameter as why:
        faults.append(why.message)
    campaign = query.text("campaign")
    wanted = CallFilter(started=_span(query, faults), campaign_sid=campaign if is_sid("CG", campaign) else None)
    return await list_calls(account_sid, wanted, from_number=None, to_number=None, place=place, size=SIZE, logs=logs)


def _span(query: Fields, faults: list[str]) -> Span:
    start, stop = _day(query.text("from"), faults), _day(query.text("to"), faults)
    if start is None and stop is None:
        return ALWAYS
    return Span(start=start, stop=stop + timedelta(days=1) if stop else None)


def _day(text: str, faults: list[str]) -> datetime | None:
    if not text:
        return None
    try:
        day = Day.fromisoformat(text)
    except ValueError:
        faults.append(f"'{text[:40]}' is not a date like 2026-11-21")
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _newest(found: Call) -> tuple[datetime, str]:
    return found.date_created, found.sid


def _place(found: Call) -> str:
    return place_text(found.date_created, found.sid)


ROUTES = (
    Route("/calls", calls, methods=["GET"]),
    Route("/calls/{sid}", call, methods=["GET", "POST"]),
)
