"""Video Rooms: the rooms recordings are handed in under. Nobody meets in them here."""

from __future__ import annotations

from fastapi import APIRouter, Response

from callreel.errors import ForbiddenAddress, InvalidParameter
from callreel.ledger.rooms import RoomFilter
from callreel.model.room import LONGEST_NAME, RoomOptions, RoomStatus, RoomType
from callreel.outbound.guard import Guard
from callreel.steps.open_room import open_room
from callreel.web.answers import json_answer
from callreel.web.auth import Opened, SignedIn
from callreel.web.description import PAGING, answers, asks, page_of, takes
from callreel.web.forms import Form, Parameters, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on
from callreel.web.video_answers import ROOM, room_json

router = APIRouter()
PATH = "/v1/Rooms"
_FILTERS = ("Status", "UniqueName", "DateCreatedAfter", "DateCreatedBefore")
_FLAGS = {
    "EnableTurn": "enable_turn",
    "RecordParticipantsOnConnect": "record_participants_on_connect",
    "AudioOnly": "audio_only",
    "LargeRoom": "large_room",
}
_NUMBERS = {
    "MaxParticipants": "max_participants",
    "MaxParticipantDuration": "max_participant_duration",
    "EmptyRoomTimeout": "empty_room_timeout",
    "UnusedRoomTimeout": "unused_room_timeout",
}
_TAKEN = {
    "UniqueName": "text",
    "Type": "text",
    "StatusCallback": "text",
    "StatusCallbackMethod": "text",
    "VideoCodecs": "texts",
    "MediaRegion": "text",
    **dict.fromkeys(_FLAGS, "flag"),
    **dict.fromkeys(_NUMBERS, "integer"),
}


@on(
    router,
    "POST",
    PATH,
    responses=answers(201, "The room, in progress", ROOM),
    openapi_extra=takes(_TAKEN),
)
async def create(caller: SignedIn, parts: Opened, form: Form) -> Response:
    """Create a room"""
    room = await open_room(
        caller.account.sid,
        unique_name=_unique_name(form),
        type=RoomType(form.choice("Type", tuple(RoomType)) or RoomType.GROUP),
        status_callback=_callback(form, parts.guard),
        status_callback_method=form.choice("StatusCallbackMethod", ("GET", "POST")) or "POST",
        options=_options(form),
        ledger=parts.ledger,
        clock=parts.clock,
    )
    return json_answer(room_json(room, parts.public_url), 201)


@on(
    router,
    "GET",
    PATH,
    responses=answers(
        200, "Rooms, newest first; those in progress unless Status says otherwise", page_of("rooms", ROOM)
    ),
    openapi_extra=asks(**dict.fromkeys(_FILTERS, "text"), **PAGING),
)
async def list_rooms(caller: SignedIn, parts: Opened, query: Query) -> Response:
    """List rooms"""
    wish = PageWish.read(query)
    wanted = RoomFilter(
        status=RoomStatus(query.choice("Status", tuple(RoomStatus)) or RoomStatus.IN_PROGRESS),
        unique_name=query.text("UniqueName"),
        created_from=query.moment("DateCreatedAfter"),
        created_before=query.moment("DateCreatedBefore"),
    )
    page = await parts.ledger.rooms.list(caller.account.sid, wanted, place=wish.place, size=wish.size)
    filters = [(name, value) for name in _FILTERS if (value := query.text(name)) is not None]
    links = links_of(f"{parts.public_url}{PATH}", filters, wish, page)
    return json_answer(envelope_v1("rooms", [room_json(r, parts.public_url) for r in page.rows], wish, links))


@on(router, "GET", PATH + "/{name}", responses=answers(200, "The room", ROOM))
async def fetch(name: str, caller: SignedIn, parts: Opened) -> Response:
    """Fetch a room by its SID or unique name"""
    room = await parts.ledger.rooms.fetch(caller.account.sid, name)
    return json_answer(room_json(room, parts.public_url))


@on(
    router,
    "POST",
    PATH + "/{name}",
    responses=answers(202, "The room, completed", ROOM),
    openapi_extra=takes({"Status": "text"}, required=["Status"]),
)
async def update(name: str, caller: SignedIn, parts: Opened, form: Form) -> Response:
    """Complete a room"""
    room = await parts.ledger.rooms.fetch(caller.account.sid, name)
    form.required("Status")
    form.choice("Status", (RoomStatus.COMPLETED,))
    ended = await parts.ledger.rooms.complete(room, now=parts.clock.now())
    return json_answer(room_json(ended, parts.public_url), 202)


def _unique_name(form: Parameters) -> str | None:
    name = form.text("UniqueName")
    if name is not None and (len(name) > LONGEST_NAME or not name.isprintable() or "/" in name):
        raise InvalidParameter(
            f"UniqueName must have at most {LONGEST_NAME} printable characters and no slash", parameter="UniqueName"
        )
    return name


def _callback(form: Parameters, guard: Guard) -> str | None:
    url = form.text("StatusCallback")
    if url is not None:
        try:
            guard.check_url(url)
        except ForbiddenAddress as why:
            raise InvalidParameter(
                f"StatusCallback cannot be called: {why.message}", parameter="StatusCallback"
            ) from why
    return url


def _options(form: Parameters) -> RoomOptions:
    given: dict[str, object] = {}
    for name, field in _FLAGS.items():
        if (flag := form.flag(name)) is not None:
            given[field] = flag
    for name, field in _NUMBERS.items():
        if (number := form.number(name, least=1)) is not None:
            if number > 1_000_000:
                raise InvalidParameter(f"{name} must be at most 1000000", parameter=name)
            given[field] = number
    if (region := form.text("MediaRegion")) is not None:
        if len(region) > 32:
            raise InvalidParameter("MediaRegion must have at most 32 characters", parameter="MediaRegion")
        given["media_region"] = region
    if codecs := [word.upper() for value in form.all("VideoCodecs") for word in value.split()]:
        if any(codec not in ("VP8", "H264") for codec in codecs):
            raise InvalidParameter("VideoCodecs must be VP8 or H264", parameter="VideoCodecs")
        given["video_codecs"] = tuple(dict.fromkeys(codecs))
    return RoomOptions(**given)  # type: ignore[arg-type]
