"""Video Compositions: there are none, and creating one says why."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from callreel.errors import InvalidParameter, MissingParameter, NotFound
from callreel.ledger.paging import Page
from callreel.model.sid import parse_sid
from callreel.steps.request_composition import request_composition
from callreel.web.answers import json_answer
from callreel.web.auth import Opened, SignedIn, path_sid
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import Form, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Compositions"
MOST = 100  # Twilio's limit on this list's PageSize
STATUSES = ("enqueued", "processing", "completed", "deleted", "failed")
_FILTERS = ("Status", "DateCreatedAfter", "DateCreatedBefore", "RoomSid")
COMPOSITION = shape(sid="text", account_sid="text", status="text", room_sid="text")


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "Always empty", page_of("compositions", COMPOSITION)),
    openapi_extra=asks(**dict.fromkeys(_FILTERS, "text"), **PAGING),
)
async def list_compositions(caller: SignedIn, parts: Opened, query: Query) -> Response:
    """List compositions"""
    wish = PageWish.read(query, most=MOST)
    query.choice("Status", STATUSES)
    query.moment("DateCreatedAfter")
    query.moment("DateCreatedBefore")
    query.sid("RoomSid", "RM")
    nothing: Page[Any] = Page([], has_next=False, has_previous=False)
    filters = [(name, value) for name in _FILTERS if (value := query.text(name)) is not None]
    links = links_of(f"{parts.public_url}{PATH}", filters, wish, nothing)
    return json_answer(envelope_v1("compositions", [], wish, links))


@on(
    router,
    "POST",
    PATH,
    responses=answers(409, "This installation makes no compositions, and says why"),
    openapi_extra=takes(
        {"RoomSid": "text", "VideoLayout": "text", "AudioSources": "texts", "Resolution": "text", "Format": "text"},
        required=["RoomSid"],
    ),
)
async def create(caller: SignedIn, parts: Opened, form: Form) -> Response:
    """Ask for a composition"""
    room_sid = form.sid("RoomSid", "RM")
    if room_sid is None:
        raise MissingParameter("RoomSid")
    if not form.text("VideoLayout") and not form.all("AudioSources"):
        raise InvalidParameter("A composition needs VideoLayout or AudioSources", parameter="VideoLayout")
    await request_composition(caller.account.sid, parse_sid("RM", room_sid), ledger=parts.ledger)


async def unknown(sid: str, caller: SignedIn) -> Response:
    """A composition by its SID: nobody has one"""
    path_sid("CJ", sid)
    raise NotFound()


for _path, _method in ((f"{PATH}/{{sid}}", "GET"), (f"{PATH}/{{sid}}", "DELETE"), (f"{PATH}/{{sid}}/Media", "GET")):
    on(router, _method, _path, responses=answers(404, "There are none"))(unknown)
