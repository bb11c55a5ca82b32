"""What a voice recording's `subresource_uris` name: transcriptions and results of add-ons. callreel makes neither."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from callreel.web.answers import empty_list_2010
from callreel.web.auth import Acting, Opened
from callreel.web.description import PAGING, answers, asks, page_of_2010, shape
from callreel.web.forms import Query
from callreel.web.pages import PageWish
from callreel.web.routes import on_2010
from callreel.web.voice_recordings import OF_ACCOUNT, fetch_recording

router = APIRouter()
TRANSCRIPTION = shape(sid="text", account_sid="text", recording_sid="text", status="text")
ADD_ON_RESULT = shape(sid="text", account_sid="text", reference_sid="text", status="text")


@on_2010(
    router,
    "GET",
    OF_ACCOUNT + "/{sid}/Transcriptions",
    responses=answers(200, "Always empty", page_of_2010("transcriptions", TRANSCRIPTION)),
    openapi_extra=asks(**PAGING),
)
async def list_transcriptions(request: Request, sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """List a recording's transcriptions"""
    await fetch_recording(account, sid, parts)
    return empty_list_2010(request, "Transcription", "transcriptions", PageWish.read(query))


@on_2010(
    router,
    "GET",
    OF_ACCOUNT + "/{sid}/AddOnResults",
    responses=answers(200, "Always empty", page_of_2010("add_on_results", ADD_ON_RESULT)),
    openapi_extra=asks(**PAGING),
)
async def list_add_on_results(request: Request, sid: str, account: Acting, parts: Opened, query: Query) -> Response:
    """List a recording's add-on results"""
    await fetch_recording(account, sid, parts)
    return empty_list_2010(request, "AddOnResult", "add_on_results", PageWish.read(query))
