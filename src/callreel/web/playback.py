"""Playing a recording: a fresh signed URL that opens it for an hour, wherever it lies."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callreel.errors import Final, InvalidDestination, NotAllowed, NotAudio, NotFound, NotNow
from callreel.model.callback import iso
from callreel.model.deed import Action
from callreel.model.recording import COMPLETED, Recording, State
from callreel.model.sid import AccountSid, RecordingSid
from callreel.steps.draw_peaks import draw_peaks
from callreel.steps.serve import hosted_signature, hosted_url, serve_playing
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, bearer_of, opened, path_sid
from callreel.web.description import answers, asks, plain_operation, shape
from callreel.web.forms import read_query
from callreel.web.recording_media import media_answer
from callreel.web.routes import on

router = APIRouter()
PLAYBACK = shape(url="text", expires_at="text", peaks_url="text?")
MEDIA_PATH = "/v1/Accounts/{account_sid}/Recordings/{sid}/Media"
PEAKS_PATH = "/v1/Accounts/{account_sid}/Recordings/{sid}/Peaks"
_NO_STORE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


@on(
    router,
    "GET",
    "/v1/Accounts/{account_sid}/Recordings/{sid}/Playback",
    responses=answers(200, "A URL that plays the recording for 60 minutes", PLAYBACK),
)
async def playback(sid: str, account: Acting, by: By, parts: Opened) -> Response:
    """Get a signed URL to play a recording"""
    recording = await parts.ledger.recordings.fetch(account.sid, RecordingSid(path_sid("RE", sid)))
    is_at_source = recording.state is State.AT_SOURCE
    if recording.state not in COMPLETED and not is_at_source:
        raise NotFound()
    try:
        playable = await serve_playing(
            recording,
            public_url=parts.public_url,
            buckets=parts.buckets,
            digest=parts.digest,
            clock=parts.clock,
        )
    except (Final, NotNow, InvalidDestination) as why:
        raise NotFound() from why
    until = iso(playable.expires_at)
    await parts.ledger.audit.write(by.deed(Action.PLAYBACK_ISSUED, account.sid, recording.sid, until=until))
    peaks_url = None
    if recording.encryption_details is None and recording.video is None and not is_at_source:
        expires = int(playable.expires_at.timestamp())
        peaks_url = hosted_url(recording, "Peaks", expires, parts.public_url, parts.digest)
    return json_answer({"url": playable.url, "expires_at": until, "peaks_url": peaks_url}, headers=_NO_STORE)


async def signed_media(request: Request) -> Response:
    """Media of service storage for whoever holds a signed URL: a browser cannot send our credentials."""
    recording = await _signed(request, "Media")
    return await _media(request, recording, "")


async def signed_mp3(request: Request) -> Response:
    """The same as MP3."""
    recording = await _signed(request, "Media.mp3")
    return await _media(request, recording, "mp3")


async def signed_peaks(request: Request) -> Response:
    """What a waveform is drawn from, for whoever holds a signed URL; in audiowaveform's JSON."""
    parts, recording = opened(request), await _signed(request, "Peaks")
    try:
        peaks = await draw_peaks(
            recording, ledger=parts.ledger, buckets=parts.buckets, keyring=parts.keyring, clock=parts.clock
        )
    except (Final, NotNow, InvalidDestination, NotAudio) as why:
        raise NotFound() from why
    return json_answer(peaks.as_json(), headers={"cache-control": "private, max-age=3600"})


async def _media(request: Request, recording: Recording, extension: str) -> Response:
    if recording.is_external:
        raise NotFound()
    answer = await media_answer(request, recording, extension, None, opened(request), bearer_of(request))
    answer.headers["referrer-policy"] = "no-referrer"
    return answer


async def _signed(request: Request, name: str) -> Recording:
    """The recording of a signed URL. Raises `NotAllowed` unless it is ours and not over."""
    parts, query = opened(request), read_query(request)
    account_sid = AccountSid(path_sid("AC", request.path_params["account_sid"]))
    sid = RecordingSid(path_sid("RE", request.path_params["sid"]))
    expires = query.number("Expires", least=0) or 0
    signature = query.text("Signature") or ""
    right = hosted_signature(account_sid, sid, name, expires, parts.digest)
    if not hmac.compare_digest(signature.encode(), right.encode()):
        raise NotAllowed("The signature is not that of this URL")
    if expires <= parts.clock.now().timestamp():
        raise NotAllowed("The URL has expired; ask for a fresh one")
    return await parts.ledger.recordings.fetch(account_sid, sid)


def _described(does: str, media_type: str, kind: Mapping[str, str]) -> Mapping[str, Any]:
    return plain_operation(
        does,
        says="What was asked for",
        content={media_type: {"schema": dict(kind)}},
        security=[],
        **asks(Expires="integer", Signature="text"),
    )


_BYTES = {"type": "string", "format": "binary"}
ROUTES = (
    (
        Route(MEDIA_PATH, signed_media, methods=["GET"]),
        {"get": _described("Play a recording by its signed URL; no credential needed", "audio/x-wav", _BYTES)},
    ),
    (
        Route(MEDIA_PATH + ".mp3", signed_mp3, methods=["GET"]),
        {"get": _described("Play a recording as MP3 by its signed URL; no credential needed", "audio/mpeg", _BYTES)},
    ),
    (
        Route(PEAKS_PATH, signed_peaks, methods=["GET"]),
        {"get": _described("The peaks of a recording by their signed URL", "application/json", {"type": "object"})},
    ),
)
