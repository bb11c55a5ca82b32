"""2010 Calls: the logs of calls that recordings belong to. Calls are not placed here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from callreel.errors import CallNotInProgress, CallsNotPlaced, NotFound
from callreel.ledger.calls import CallFilter
from callreel.model.call import CALL_STATUSES, Call
from callreel.model.callback import rfc2822
from callreel.model.recording_resource import API_VERSION
from callreel.model.sid import RecordingSid
from callreel.steps.delete_call import delete_call as delete_call_log
from callreel.steps.read_calls import fetch_call, list_calls
from callreel.web.answers import answer_2010, list_answer_2010
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of_2010, shape, takes
from callreel.web.forms import Form, Query
from callreel.web.pages import PageWish, links_of
from callreel.web.routes import on_2010
from callreel.web.spans import read_span, span_parameters

router = APIRouter()
CALL = shape(
    sid="text",
    date_created="text",
    date_updated="text",
    parent_call_sid="text?",
    account_sid="text",
    to="text?",
    to_formatted="text?",
    **{"from": "text?"},
    from_formatted="text?",
    phone_number_sid="text?",
    status="text",
    start_time="text?",
    end_time="text?",
    duration="text?",
    price="text?",
    price_unit="text?",
    direction="text?",
    answered_by="text?",
    api_version="text",
    forwarded_from="text?",
    group_sid="text?",
    caller_name="text?",
    queue_time="text?",
    trunk_sid="text?",
    uri="text",
    subresource_uris="object",
)
PATH = "/Accounts/{account_sid}/Calls"
_DATES = span_parameters("StartTime") | span_parameters("EndTime")
_FILTERS = ("To", "From", "ParentCallSid", "Status", "Campaign", *_DATES)


@on_2010(
    router,
    "GET",
    PATH,
    responses=answers(200, "The account's call logs, newest first", page_of_2010("calls", CALL)),
    openapi_extra=asks(
        To="text", From="text", ParentCallSid="text", Status="text", Campaign="text", **_DATES, **PAGING
    ),
)
async def list_of_calls(request: Request, account: Acting, parts: Opened, query: Query) -> Response:
    """List call logs"""
    wish = PageWish.read(query)
    parent = query.sid("ParentCallSid", "CA")
    wanted = CallFilter(
        status=query.choice("Status", CALL_STATUSES),
        started=read_span(query, "StartTime"),
        ended=read_span(query, "EndTime"),
        is_child=parent is not None,
        campaign_sid=query.sid("Campaign", "CG"),  # ours
    )
    page = await list_calls(
        account.sid,
        wanted,
        from_number=query.text("From"),
        to_number=query.text("To"),
        place=wish.place,
        size=wish.size,
        logs=parts.logs,
    )
    filters = [(name, value) for name in _FILTERS if (value := query.text(name)) is not None]
    links = links_of(request.scope["path"], filters, wish, page)
    return list_answer_2010(request, "Call", "calls", [call_json(call) for call in page.rows], wish, links)


@on_2010(router, "POST", PATH, responses=answers(403, "Calls are not placed here"))
async def create_call(account: Acting) -> Response:
    """Refuse to place a call"""
    raise CallsNotPlaced()


@on_2010(router, "GET", PATH + "/{sid}", responses=answers(200, "The call log", CALL))
async def fetch_of_calls(request: Request, sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a call log"""
    call = await fetch_call(account.sid, path_sid("CA", sid), logs=parts.logs)
    return answer_2010(request, "Call", call_json(call))


@on_2010(router, "POST", PATH + "/{sid}", responses=answers(400, "The call is over"))
async def update_call(sid: str, account: Acting, parts: Opened) -> Response:
    """Refuse to change a call that is over"""
    await fetch_call(account.sid, path_sid("CA", sid), logs=parts.logs)
    raise CallNotInProgress("Call is not in-progress. Cannot redirect.")


@on_2010(
    router,
    "DELETE",
    PATH + "/{sid}",
    responses=answers(204, "The call log is gone, and its recordings where the deletion settings say so"),
)
async def delete_call(sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Delete a call log"""
    await delete_call_log(account.sid, path_sid("CA", sid), ledger=parts.ledger, by=by)
    return Response(status_code=204)


@on_2010(
    router,
    "POST",
    PATH + "/{call_sid}/Recordings",
    responses=answers(400, "The call is not in progress"),
    openapi_extra=takes(
        {
            "RecordingStatusCallback": "text",
            "RecordingStatusCallbackMethod": "text",
            "RecordingStatusCallbackEvent": "texts",
            "Trim": "text",
            "RecordingChannels": "text",
            "RecordingTrack": "text",
        }
    ),
)
async def create_call_recording(call_sid: str, account: Acting, parts: Opened, form: Form) -> Response:
    """Start recording a call that is in progress"""
    form.choice("RecordingChannels", ("mono", "dual"))
    form.choice("RecordingTrack", ("inbound", "outbound", "both"))
    form.choice("Trim", ("trim-silence", "do-not-trim"))
    await fetch_call(account.sid, path_sid("CA", call_sid), logs=parts.logs)
    # Every call log here is of a call that is over; live calls open this door.
    raise CallNotInProgress()


@on_2010(
    router,
    "POST",
    PATH + "/{call_sid}/Recordings/{sid}",
    responses=answers(400, "The recording is not live"),
    openapi_extra=takes({"Status": "text", "PauseBehavior": "text"}),
)
async def update_call_recording(call_sid: str, sid: str, account: Acting, parts: Opened, form: Form) -> Response:
    """Pause, resume or stop a recording that is in progress"""
    form.required("Status")
    form.choice("Status", ("paused", "in-progress", "stopped"))
    form.choice("PauseBehavior", ("silence", "skip"))
    call = await fetch_call(account.sid, path_sid("CA", call_sid), logs=parts.logs)
    if sid != "Twilio.CURRENT":
        recording = await parts.ledger.recordings.fetch(account.sid, RecordingSid(path_sid("RE", sid)))
        if recording.call_sid != call.sid:
            raise NotFound()
    raise CallNotInProgress()


def call_json(call: Call) -> dict[str, Any]:
    """A call log, with every field of Twilio's schema."""
    base = f"/{API_VERSION}/Accounts/{call.account_sid}/Calls/{call.sid}"
    return {
        "sid": call.sid,
        "date_created": rfc2822(call.date_created),
        "date_updated": rfc2822(call.date_updated),
        "parent_call_sid": None,
        "account_sid": call.account_sid,
        "to": call.to_number,
        "to_formatted": call.to_number,
        "from": call.from_number,
        "from_formatted": call.from_number,
        "phone_number_sid": None,
        "status": call.status,
        "start_time": rfc2822(call.start_time),
        "end_time": rfc2822(call.end_time) if call.end_time else None,
        "duration": None if call.duration_s is None else str(call.duration_s),
        "price": None,
        "price_unit": "USD",
        "direction": call.direction,
        "answered_by": None,
        "api_version": API_VERSION,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": "0",
        "trunk_sid": None,
        "uri": f"{base}.json",
        "subresource_uris": {"recordings": f"{base}/Recordings.json"},
    }
