"""2010 Conferences: what recordings of conferences belong to. Conferences are not held here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from callreel.errors import CallNotInProgress, NotFound
from callreel.ledger.calls import ConferenceFilter
from callreel.model.call import CONFERENCE_STATUSES, Conference
from callreel.model.callback import rfc2822
from callreel.model.recording_resource import API_VERSION
from callreel.model.sid import RecordingSid
from callreel.steps.read_calls import fetch_conference, list_conferences
from callreel.web.answers import answer_2010, empty_list_2010, list_answer_2010
from callreel.web.auth import Acting, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of_2010, shape, takes
from callreel.web.forms import Form, Query
from callreel.web.pages import PageWish, links_of
from callreel.web.routes import on_2010
from callreel.web.spans import read_span, span_parameters

router = APIRouter()
CONFERENCE = shape(
    account_sid="text",
    date_created="text",
    date_updated="text",
    api_version="text",
    friendly_name="text?",
    region="text?",
    sid="text",
    status="text",
    uri="text",
    subresource_uris="object",
    reason_conference_ended="text?",
    call_sid_ending_conference="text?",
)
PARTICIPANT = shape(account_sid="text", call_sid="text", conference_sid="text", status="text")
PATH = "/Accounts/{account_sid}/Conferences"
_DATES = span_parameters("DateCreated") | span_parameters("DateUpdated")


@on_2010(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's conferences, newest first", page_of_2010("conferences", CONFERENCE)),
    openapi_extra=asks(FriendlyName="text", Status="text", **_DATES, **PAGING),
)
async def list_of_conferences(request: Request, account: Acting, parts: Opened, query: Query) -> Response:
    """List conferences"""
    wish = PageWish.read(query)
    wanted = ConferenceFilter(
        status=query.choice("Status", CONFERENCE_STATUSES),
        created=read_span(query, "DateCreated"),
        updated=read_span(query, "DateUpdated"),
    )
    page = await list_conferences(
        account.sid,
        wanted,
        friendly_name=query.text("FriendlyName"),
        place=wish.place,
        size=wish.size,
        logs=parts.logs,
    )
    names = ("FriendlyName", "Status", *_DATES)
    filters = [(name, value) for name in names if (value := query.text(name)) is not None]
    links = links_of(request.scope["path"], filters, wish, page)
    rows = [conference_json(conference) for conference in page.rows]
    return list_answer_2010(request, "Conference", "conferences", rows, wish, links)


@on_2010(router, "GET", PATH + "/{sid}", responses=answers(200, "The conference", CONFERENCE))
async def fetch_of_conferences(request: Request, sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a conference"""
    conference = await fetch_conference(account.sid, path_sid("CF", sid), logs=parts.logs)
    return answer_2010(request, "Conference", conference_json(conference))


@on_2010(
    router,
    "GET",
    PATH + "/{sid}/Participants",
    responses=answers(
        200, "Always empty: nobody is left in a conference that is over", page_of_2010("participants", PARTICIPANT)
    ),
    openapi_extra=asks(**PAGING),
)
async def list_participants(request: Request, sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """List a conference's participants"""
    await fetch_conference(account.sid, path_sid("CF", sid), logs=parts.logs)
    return empty_list_2010(request, "Participant", "participants", PageWish.read(query))


@on_2010(router, "POST", PATH + "/{sid}", responses=answers(400, "The conference is over"))
async def update_conference(sid: str, account: Acting, parts: Opened) -> Response:
    """Refuse to change a conference that is over"""
    await fetch_conference(account.sid, path_sid("CF", sid), logs=parts.logs)
    raise CallNotInProgress("The conference is not in-progress; there is nothing to change.")


@on_2010(
    router,
    "POST",
    PATH + "/{conference_sid}/Recordings/{sid}",
    responses=answers(400, "The recording is not live"),
    openapi_extra=takes({"Status": "text", "PauseBehavior": "text"}),
)
async def update_conference_recording(
    conference_sid: str, sid: str, account: Acting, parts: Opened, form: Form
) -> Response:
    """Pause or resume a conference's recording that is in progress"""
    form.required("Status")
    form.choice("Status", ("paused", "in-progress"))
    form.choice("PauseBehavior", ("silence", "skip"))
    conference = await fetch_conference(account.sid, path_sid("CF", conference_sid), logs=parts.logs)
    if sid != "Twilio.CURRENT":
        recording = await parts.ledger.recordings.fetch(account.sid, RecordingSid(path_sid("RE", sid)))
        if recording.conference_sid != conference.sid:
            raise NotFound()
    raise CallNotInProgress()


def conference_json(conference: Conference) -> dict[str, Any]:
    """A conference, with every field of Twilio's schema."""
    base = f"/{API_VERSION}/Accounts/{conference.account_sid}/Conferences/{conference.sid}"
    return {
        "account_sid": conference.account_sid,
        "date_created": rfc2822(conference.date_created),
        "date_updated": rfc2822(conference.date_updated),
        "api_version": API_VERSION,
        "friendly_name": conference.friendly_name,
        "region": "us1",
        "sid": conference.sid,
        "status": conference.status,
        "uri": f"{base}.json",
        "subresource_uris": {
            "participants": f"{base}/Participants.json",
            "recordings": f"{base}/Recordings.json",
        },
        "reason_conference_ended": None,
        "call_sid_ending_conference": None,
    }
