"""Video Recordings of an account and of a room: list, fetch, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Response

from callreel.errors import InvalidParameter, InvalidSid, NotFound
from callreel.ledger.video_tracks import VideoFilter
from callreel.model.recording import Recording
from callreel.model.sid import AccountSid, RecordingSid, parse_sid
from callreel.model.twilio_status import states_of_video_status
from callreel.model.video_recording_resource import video_recording_json
from callreel.model.video_track import TrackType
from callreel.parts import Parts
from callreel.steps.request_deletion import request_deletion
from callreel.web.answers import json_answer
from callreel.web.auth import By, Opened, SignedIn, path_sid
from callreel.web.description import PAGING, answers, asks, page_of
from callreel.web.forms import Parameters, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on
from callreel.web.video_answers import ROOM_RECORDING, VIDEO_RECORDING, room_recording_json

router = APIRouter()
OF_ACCOUNT = "/v1/Recordings"
OF_ROOM = "/v1/Rooms/{room}/Recordings"
MOST_OF_ACCOUNT = 100  # Twilio's limit on this list's PageSize
STATUSES = ("processing", "completed", "deleted", "failed")
_ROOM_FILTERS = ("Status", "SourceSid", "DateCreatedAfter", "DateCreatedBefore")
_FILTERS = (*_ROOM_FILTERS, "MediaType")
_ASKED = dict.fromkeys(_ROOM_FILTERS, "text")
_LIVE = frozenset().union(*(states_of_video_status(word) for word in STATUSES if word != "deleted"))

Shown = Callable[[Recording, str], dict[str, Any]]


@on(
    router,
    "GET",
    OF_ACCOUNT,
    responses=answers(
        200, "Recordings, newest first; deleted ones only with Status=deleted", page_of("recordings", VIDEO_RECORDING)
    ),
    openapi_extra=asks(**_ASKED, GroupingSid="texts", MediaType="text", **PAGING),
)
async def list_of_account(caller: SignedIn, parts: Opened, query: Query) -> Response:
    """List video recordings"""
    wish = PageWish.read(query, most=MOST_OF_ACCOUNT)
    grouping = tuple(_grouping_sid(value) for value in query.all("GroupingSid"))
    kind = query.choice("MediaType", tuple(TrackType))
    wanted = _wanted(query, grouping, TrackType(kind) if kind else None)
    filters = _sent(query, _FILTERS) + [("GroupingSid", sid) for sid in grouping]
    return await _list(caller.account.sid, wanted, wish, OF_ACCOUNT, filters, video_recording_json, parts)


@on(router, "GET", OF_ACCOUNT + "/{sid}", responses=answers(200, "The recording", VIDEO_RECORDING))
async def fetch_of_account(sid: str, caller: SignedIn, parts: Opened) -> Response:
    """Fetch a video recording; a deleted one for 30 days more"""
    recording = await fetch_video(caller.account.sid, sid, parts)
    return json_answer(video_recording_json(recording, parts.public_url))


@on(router, "DELETE", OF_ACCOUNT + "/{sid}", responses=answers(204, "The media is gone for good"))
async def delete_of_account(sid: str, caller: SignedIn, by: By, parts: Opened) -> Response:
    """Delete a video recording"""
    recording = await fetch_video(caller.account.sid, sid, parts)
    await request_deletion(caller.account.sid, recording.sid, ledger=parts.ledger, by=by)
    return Response(status_code=204)


@on(
    router,
    "GET",
    OF_ROOM,
    responses=answers(200, "The room's recordings, newest first", page_of("recordings", ROOM_RECORDING)),
    openapi_extra=asks(**_ASKED, **PAGING),
)
async def list_of_room(room: str, caller: SignedIn, parts: Opened, query: Query) -> Response:
    """List a room's recordings"""
    room_sid = (await parts.ledger.rooms.fetch(caller.account.sid, room)).sid
    wanted = _wanted(query, (room_sid,), None)
    path = OF_ROOM.format(room=room_sid)
    filters = _sent(query, _ROOM_FILTERS)
    return await _list(caller.account.sid, wanted, PageWish.read(query), path, filters, room_recording_json, parts)


@on(router, "GET", OF_ROOM + "/{sid}", responses=answers(200, "The recording", ROOM_RECORDING))
async def fetch_of_room(room: str, sid: str, caller: SignedIn, parts: Opened) -> Response:
    """Fetch a room's recording"""
    recording = await fetch_video_of_room(caller.account.sid, room, sid, parts)
    return json_answer(room_recording_json(recording, parts.public_url))


@on(router, "DELETE", OF_ROOM + "/{sid}", responses=answers(204, "The media is gone for good"))
async def delete_of_room(room: str, sid: str, caller: SignedIn, by: By, parts: Opened) -> Response:
    """Delete a room's recording"""
    recording = await fetch_video_of_room(caller.account.sid, room, sid, parts)
    await request_deletion(caller.account.sid, recording.sid, ledger=parts.ledger, by=by)
    return Response(status_code=204)


async def fetch_video(account_sid: AccountSid, sid: str, parts: Parts) -> Recording:
    """The video recording of a path. Raises `NotFound`."""
    return await parts.ledger.recordings.fetch(account_sid, RecordingSid(path_sid("RT", sid)))


async def fetch_video_of_room(account_sid: AccountSid, room: str, sid: str, parts: Parts) -> Recording:
    """As `fetch_video`, in the room of the path, by its SID or unique name. Raises `NotFound`."""
    room_sid = (await parts.ledger.rooms.fetch(account_sid, room)).sid
    recording = await fetch_video(account_sid, sid, parts)
    if recording.video is None or recording.video.room_sid != room_sid:
        raise NotFound()
    return recording


async def _list(
    account_sid: AccountSid,
    wanted: VideoFilter,
    wish: PageWish,
    path: str,
    filters: Sequence[tuple[str, str]],
    shown: Shown,
    parts: Parts,
) -> Response:
    page = await parts.ledger.recordings.list_video(account_sid, wanted, place=wish.place, size=wish.size)
    links = links_of(f"{parts.public_url}{path}", filters, wish, page)
    rows = [shown(recording, parts.public_url) for recording in page.rows]
    return json_answer(envelope_v1("recordings", rows, wish, links))


def _wanted(query: Parameters, grouping_sids: tuple[str, ...], kind: TrackType | None) -> VideoFilter:
    status = query.choice("Status", STATUSES)
    return VideoFilter(
        states=states_of_video_status(status) if status else _LIVE,
        source_sid=query.sid("SourceSid", "MT"),
        grouping_sids=grouping_sids,
        type=kind,
        created_from=query.moment("DateCreatedAfter"),
        created_before=query.moment("DateCreatedBefore"),
    )


def _grouping_sid(value: str) -> str:
    try:
        return parse_sid("PA" if value.startswith("PA") else "RM", value)
    except InvalidSid as why:
        raise InvalidParameter(f"GroupingSid: {why.message}", parameter="GroupingSid") from why


def _sent(query: Parameters, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value) for name in names if (value := query.text(name)) is not None]
