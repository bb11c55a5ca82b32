"""A video recording's media: first a temporary URL, which then gives it to whoever holds it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from starlette.requests import Request
from starlette.routing import Route

from callreel.errors import InvalidParameter, NotFound
from callreel.model.deed import Action, Actor
from callreel.model.encryption_details import METADATA_PREFIX, envelope_of
from callreel.model.recording import Recording
from callreel.parts import Parts
from callreel.sealing.media_ticket import Disposition
from callreel.steps.serve import file_name_of, serve_ticket, serve_video
from callreel.web.answers import json_answer
from callreel.web.auth import By, Opened, SignedIn, bearer_of, opened
from callreel.web.description import answers, asks, plain_operation, shape
from callreel.web.forms import Parameters, Query
from callreel.web.recording_media import CIPHERTEXT, file_rendition, note_listening, rendition_answer
from callreel.web.routes import on
from callreel.web.video_recordings import OF_ACCOUNT, OF_ROOM, fetch_video, fetch_video_of_room

router = APIRouter()
TICKET_PATH = "/media/{ticket}"
DEFAULT_TTL_S, LONGEST_TTL_S = 600, 3600  # Twilio's
_NO_STORE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
_DESCRIBED: dict[str, Any] = {
    "responses": answers(302, "A temporary URL, also in Location", shape(redirect_to="text")),
    "openapi_extra": asks(Ttl="integer", ContentDisposition="text"),
}


@on(router, "GET", OF_ACCOUNT + "/{sid}/Media", **_DESCRIBED)
@on(router, "GET", OF_ACCOUNT + "/{sid}/Media/", in_schema=False, **_DESCRIBED)
async def media_of_account(sid: str, caller: SignedIn, by: By, parts: Opened, query: Query) -> Response:
    """Get a temporary URL of a video recording's media"""
    return await _redirect(await fetch_video(caller.account.sid, sid, parts), query, parts, by)


@on(router, "GET", OF_ROOM + "/{sid}/Media", **_DESCRIBED)
@on(router, "GET", OF_ROOM + "/{sid}/Media/", in_schema=False, **_DESCRIBED)
async def media_of_room(room: str, sid: str, caller: SignedIn, by: By, parts: Opened, query: Query) -> Response:
    """Get a temporary URL of a room recording's media"""
    return await _redirect(await fetch_video_of_room(caller.account.sid, room, sid, parts), query, parts, by)


async def give(request: Request) -> Response:
    """The media behind a ticket; 403 for one that is not ours or has expired."""
    parts = opened(request)
    ticket = parts.tickets.open(request.path_params["ticket"], now=parts.clock.now())
    recording, found = await serve_ticket(ticket, ledger=parts.ledger, buckets=parts.buckets)
    kind = CIPHERTEXT if recording.encryption_details is not None else recording.media_type
    try:
        rendition = await asyncio.to_thread(file_rendition, recording, found.file, kind)
    except FileNotFoundError as why:
        raise NotFound() from why  # deleted while we looked
    disposition = str(Disposition.INLINE)
    if ticket.disposition is Disposition.ATTACHMENT:
        disposition = f'attachment; filename="{file_name_of(recording)}"'
    answer = rendition_answer(request, rendition, disposition=disposition)
    heard = bearer_of(request).deed(Action.RECORDING_LISTENED, recording.account_sid, recording.sid, form="original")
    await note_listening(answer, heard, parts)
    answer.headers["referrer-policy"] = "no-referrer"
    for name, value in envelope_of(recording.encryption_details or {}).items():
        answer.headers[f"{METADATA_PREFIX}{name}"] = value  # what opens it, where Twilio's decrypters look for it
    return answer


async def _redirect(recording: Recording, query: Parameters, parts: Parts, by: Actor) -> Response:
    ttl_s = query.number("Ttl", least=1) or DEFAULT_TTL_S
    if ttl_s > LONGEST_TTL_S:
        raise InvalidParameter(f"Ttl must be 1 to {LONGEST_TTL_S} seconds", parameter="Ttl")
    disposition = query.choice("ContentDisposition", tuple(Disposition)) or Disposition.ATTACHMENT
    url = await serve_video(
        recording,
        ttl_s=ttl_s,
        disposition=Disposition(disposition),
        public_url=parts.public_url,
        buckets=parts.buckets,
        tickets=parts.tickets,
        clock=parts.clock,
    )
    action = Action.RECORDING_LISTENED if recording.is_external else Action.PLAYBACK_ISSUED
    await parts.ledger.audit.write(
        by.deed(action, recording.account_sid, recording.sid, seconds=ttl_s, disposition=str(disposition))
    )
    return json_answer({"redirect_to": url}, 302, {"location": url, **_NO_STORE})


_GIVING = plain_operation(
    "Fetch video media by its temporary URL; no credential needed",
    says="The media; 206 for a Range",
    content={
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("audio/x-matroska", "video/x-matroska")
    },
    security=[],
)
ROUTES = ((Route(TICKET_PATH, give, methods=["GET"]), {"get": _GIVING}),)
