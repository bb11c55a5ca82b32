"""Playing a recording: a fresh signed URL that opens it for an hour, wherever it lies."""

from __future__ import annotations

import hmac
from datetime import timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callreel.errors import NotAllowed, NotFound
from callreel.model.deed import Action
from callreel.model.recording import COMPLETED, Recording
from callreel.model.sid import AccountSid, RecordingSid
from callreel.parts import Parts
from callreel.steps.serve import SIGNED_URL_S, sign
from callreel.web.answers import iso, json_answer
from callreel.web.auth import Acting, By, Opened, bearer_of, opened, path_sid
from callreel.web.description import answers, asks, plain_operation, shape
from callreel.web.forms import read_query
from callreel.web.recording_media import media_answer
from callreel.web.routes import on

router = APIRouter()
PLAYBACK = shape(url="text", expires_at="text", peaks_url="text?")
MEDIA_PATH = "/v1/Accounts/{account_sid}/Recordings/{sid}/Media"
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
    if recording.state not in COMPLETED:
        raise NotFound()
    expires = parts.clock.now() + timedelta(seconds=SIGNED_URL_S)
    if recording.is_external:
        url = await sign(recording, buckets=parts.buckets)
    else:
        url = _hosted_url(recording, int(expires.timestamp()), parts)
    await parts.ledger.audit.write(by.deed(Action.PLAYBACK_ISSUED, account.sid, recording.sid, until=iso(expires)))
    return json_answer({"url": url, "expires_at": iso(expires), "peaks_url": None}, headers=_NO_STORE)


async def signed_media(request: Request) -> Response:
    """Media of service storage for whoever holds a signed URL: a browser cannot send our credentials."""
    parts, query = opened(request), read_query(request)
    account_sid = AccountSid(path_sid("AC", request.path_params["account_sid"]))
    sid = RecordingSid(path_sid("RE", request.path_params["sid"]))
    expires = query.number("Expires", least=0) or 0
    signature = query.text("Signature") or ""
    if not hmac.compare_digest(signature.encode(), _signature(account_sid, sid, expires, parts).encode()):
        raise NotAllowed("The signature is not that of this URL")
    if expires <= parts.clock.now().timestamp():
        raise NotAllowed("The URL has expired; ask for a fresh one")
    recording = await parts.ledger.recordings.fetch(account_sid, sid)
    if recording.is_external:
        raise NotFound()
    answer = await media_answer(request, recording, "", None, parts, bearer_of(request))
    answer.headers["referrer-policy"] = "no-referrer"
    return answer


def _hosted_url(recording: Recording, expires: int, parts: Parts) -> str:
    path = MEDIA_PATH.format(account_sid=recording.account_sid, sid=recording.sid)
    signature = _signature(recording.account_sid, recording.sid, expires, parts)
    return f"{parts.public_url}/callreel{path}?Expires={expires}&Signature={signature}"


def _signature(account_sid: str, sid: str, expires: int, parts: Parts) -> str:
    """A keyed digest that no token can collide with: tokens have no slash."""
    return parts.digest.digest(f"playback/{account_sid}/{sid}/{expires}").hex()


_DESCRIBED = plain_operation(
    "Play a recording by its signed URL; no credential needed",
    says="The media",
    content={"audio/x-wav": {"schema": {"type": "string", "format": "binary"}}},
    security=[],
    **asks(Expires="integer", Signature="text"),
)
ROUTES = ((Route(MEDIA_PATH, signed_media, methods=["GET"]), {"get": _DESCRIBED}),)
