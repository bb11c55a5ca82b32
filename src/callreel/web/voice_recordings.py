"""2010 Recordings of an account, a call and a conference: list, fetch, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from callreel.errors import NotFound
from callreel.ledger.recordings import RecordingFilter
from callreel.model.account import Account
from callreel.model.deed import Actor
from callreel.model.recording import Recording, State
from callreel.model.recording_resource import recording_json
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.steps.request_deletion import request_deletion
from callreel.web.answers import (
    answer_2010,
    call_recording_json,
    conference_recording_json,
    list_answer_2010,
)
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of_2010, shape
from callreel.web.forms import Parameters, Query
from callreel.web.pages import PageWish, links_of
from callreel.web.routes import on_2010
from callreel.web.spans import read_span, span_parameters

router = APIRouter()
_FIELDS = {
    "account_sid": "text",
    "api_version": "text",
    "call_sid": "text?",
    "conference_sid": "text?",
    "channels": "integer",
    "date_created": "text",
    "date_updated": "text",
    "start_time": "text",
    "duration": "text?",
    "sid": "text",
    "price": "text?",
    "price_unit": "text?",
    "source": "text",
    "status": "text",
    "error_code": "integer?",
    "encryption_details": "object?",
    "uri": "text",
}
RECORDING = shape(**_FIELDS, subresource_uris="object", media_url="text")
CALL_RECORDING = shape(**_FIELDS, track="text?")
CONFERENCE_RECORDING = shape(**_FIELDS)
OF_ACCOUNT = "/Accounts/{account_sid}/Recordings"
OF_CALL = "/Accounts/{account_sid}/Calls/{call_sid}/Recordings"
OF_CONFERENCE = "/Accounts/{account_sid}/Conferences/{conference_sid}/Recordings"
_DATES = span_parameters("DateCreated")
_GONE = (State.DELETING, State.DELETED)

Shown = Callable[[Recording], dict[str, Any]]


@on_2010(
    router,
    "GET",
    OF_ACCOUNT,
    responses=answers(200, "Recordings, newest first", page_of_2010("recordings", RECORDING)),
    openapi_extra=asks(**_DATES, CallSid="text", ConferenceSid="text", IncludeSoftDeleted="flag", **PAGING),
)
async def list_of_account(request: Request, account: Acting, parts: Opened, query: Query) -> Response:
    """List an account's recordings"""
    created = read_span(query, "DateCreated")
    wanted = RecordingFilter(
        call_sid=query.sid("CallSid", "CA"),
        conference_sid=query.sid("ConferenceSid", "CF"),
        include_deleted=query.flag("IncludeSoftDeleted") or False,
        created_from=created.start,
        created_before=created.stop,
    )
    return await _list(request, account, wanted, parts, query, lambda r: recording_json(r, parts.public_url))


@on_2010(
    router,
    "GET",
    OF_ACCOUNT + "/{sid}",
    bare=False,
    responses=answers(200, "The recording", RECORDING),
    openapi_extra=asks(IncludeSoftDeleted="flag"),
)
async def fetch_of_account(request: Request, sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """Fetch a recording"""
    recording = await fetch_recording(account, sid, parts, with_deleted=query.flag("IncludeSoftDeleted") or False)
    return answer_2010(request, "Recording", recording_json(recording, parts.public_url))


@on_2010(router, "DELETE", OF_ACCOUNT + "/{sid}", responses=answers(204, "The media is gone for good"))
async def delete_of_account(sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Delete a recording"""
    await _delete(await fetch_recording(account, sid, parts), parts, by)
    return Response(status_code=204)


@on_2010(
    router,
    "GET",
    OF_CALL,
    responses=answers(200, "The call's recordings, newest first", page_of_2010("recordings", CALL_RECORDING)),
    openapi_extra=asks(**_DATES, **PAGING),
)
async def list_of_call(request: Request, call_sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """List a call's recordings"""
    created = read_span(query, "DateCreated")
    wanted = RecordingFilter(call_sid=path_sid("CA", call_sid), created_from=created.start, created_before=created.stop)
    return await _list(request, account, wanted, parts, query, call_recording_json)


@on_2010(router, "GET", OF_CALL + "/{sid}", responses=answers(200, "The recording", CALL_RECORDING))
async def fetch_of_call(request: Request, call_sid: str, sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a call's recording"""
    recording = await _fetch_of_call(account, call_sid, sid, parts)
    return answer_2010(request, "Recording", call_recording_json(recording))


@on_2010(router, "DELETE", OF_CALL + "/{sid}", responses=answers(204, "The media is gone for good"))
async def delete_of_call(call_sid: str, sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Delete a call's recording"""
    await _delete(await _fetch_of_call(account, call_sid, sid, parts), parts, by)
    return Response(status_code=204)


@on_2010(
    router,
    "GET",
    OF_CONFERENCE,
    responses=answers(
        200, "The conference's recordings, newest first", page_of_2010("recordings", CONFERENCE_RECORDING)
    ),
    openapi_extra=asks(**_DATES, **PAGING),
)
async def list_of_conference(
    request: Request, conference_sid: str, account: Acting, parts: Opened, query: Query
) -> Response:
    """List a conference's recordings"""
    created = read_span(query, "DateCreated")
    wanted = RecordingFilter(
        conference_sid=path_sid("CF", conference_sid), created_from=created.start, created_before=created.stop
    )
    return await _list(request, account, wanted, parts, query, conference_recording_json)


@on_2010(router, "GET", OF_CONFERENCE + "/{sid}", responses=answers(200, "The recording", CONFERENCE_RECORDING))
async def fetch_of_conference(
    request: Request, conference_sid: str, sid: str, account: Acting, parts: Opened
) -> Response:
    """Fetch a conference's recording"""
    recording = await _fetch_of_conference(account, conference_sid, sid, parts)
    return answer_2010(request, "Recording", conference_recording_json(recording))


@on_2010(router, "DELETE", OF_CONFERENCE + "/{sid}", responses=answers(204, "The media is gone for good"))
async def delete_of_conference(conference_sid: str, sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Delete a conference's recording"""
    await _delete(await _fetch_of_conference(account, conference_sid, sid, parts), parts, by)
    return Response(status_code=204)


async def _list(
    request: Request, account: Account, wanted: RecordingFilter, parts: Parts, query: Parameters, shown: Shown
) -> Response:
    wish = PageWish.read(query)
    page = await parts.ledger.recordings.list(account.sid, wanted, place=wish.place, size=wish.size)
    names = ("CallSid", "ConferenceSid", *_DATES, "IncludeSoftDeleted")
    filters = [(name, value) for name in names if (value := query.text(name)) is not None]
    links = links_of(request.scope["path"], filters, wish, page)
    return list_answer_2010(request, "Recording", "recordings", [shown(r) for r in page.rows], wish, links)


async def fetch_recording(account: Account, sid: str, parts: Parts, *, with_deleted: bool = False) -> Recording:
    """The voice recording of a path. Raises `NotFound`, for a deleted one too."""
    recording = await parts.ledger.recordings.fetch(account.sid, RecordingSid(path_sid("RE", sid)))
    if recording.state in _GONE and not with_deleted:
        raise NotFound()
    return recording


async def _delete(recording: Recording, parts: Parts, by: Actor) -> None:
    await request_deletion(recording.account_sid, recording.sid, ledger=parts.ledger, by=by)
    await parts.renditions.forget(recording.sid)


async def _fetch_of_call(account: Account, call_sid: str, sid: str, parts: Parts) -> Recording:
    recording = await fetch_recording(account, sid, parts)
    if recording.call_sid != path_sid("CA", call_sid):
        raise NotFound()
    return recording


async def _fetch_of_conference(account: Account, conference_sid: str, sid: str, parts: Parts) -> Recording:
    recording = await fetch_recording(account, sid, parts)
    if recording.conference_sid != path_sid("CF", conference_sid):
        raise NotFound()
    return recording
