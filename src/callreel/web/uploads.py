"""Taking a finished recording in: the body is streamed to the spool, the answer waits until it is durable."""

from __future__ import annotations

import hashlib
import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callreel.errors import AccountNotActive, BodyEncoded, BodyTooLarge, ForbiddenAddress, InvalidParameter
from callreel.model.account import Account
from callreel.model.callback import parse_events
from callreel.model.campaign import CampaignStatus
from callreel.model.intake import DEFAULT_SOURCE, DIRECTIONS, SOURCES, TRACKS, Intake
from callreel.model.recording import SILENT_SOURCE, CallbackWish
from callreel.model.recording_resource import recording_json
from callreel.model.sid import is_sid
from callreel.outbound.guard import Guard
from callreel.parts import Parts
from callreel.steps.ingest import ingest
from callreel.web.answers import json_answer
from callreel.web.auth import acting_for, opened, sign_in
from callreel.web.description import asks, plain_operation
from callreel.web.forms import Parameters, read_query, refuse_encoded

PATH = "/v1/Accounts/{account_sid}/Recordings"
LONGEST_TEXT = 256
LONGEST_KEY = 255
TRIMS = ("do-not-trim", "trim-silence")


async def upload(request: Request) -> Response:
    """Take a recording in.

    Everything that can be refused is refused before the body is read; 201 is sent when the recording is durable.
    """
    caller = await sign_in(request)
    parts = opened(request)
    account = await acting_for(caller, request.path_params["account_sid"], parts)
    if not account.is_active:
        raise AccountNotActive()
    announced = announced_bytes(request, parts.chosen.max_upload_bytes)
    _check_type(request)
    intake = _intake(account, read_query(request), idempotency_key(request), parts.guard)
    await check_campaign(intake, parts)
    recording = await ingest(
        request.stream(),
        intake,
        announced_bytes=announced,
        limit_bytes=parts.chosen.max_upload_bytes,
        births=parts.births,
        keyring=parts.keyring,
        index=parts.index,
    )
    return json_answer(recording_json(recording, parts.public_url), 201)


async def check_campaign(intake: Intake, parts: Parts) -> None:
    """A campaign that is named by its SID must be there. Raises `InvalidParameter`; a name is made on the way."""
    if intake.campaign is None or not is_sid("CG", intake.campaign):
        return
    found = await parts.ledger.campaigns.find(intake.account_sid, intake.campaign)
    if found is None or found.status is not CampaignStatus.ACTIVE:
        raise InvalidParameter(
            f"Campaign {intake.campaign} is no active campaign of this account", parameter="Campaign"
        )


def announced_bytes(request: Request, limit_bytes: int) -> int | None:
    """The Content-Length; None for a chunked body. The HTTP parser has refused what is no number."""
    refuse_encoded(request)
    text = request.headers.get("content-length")
    if text is None:
        return None
    if int(text) > limit_bytes:
        raise BodyTooLarge(
            f"The body has {int(text)} bytes; this installation accepts {limit_bytes}. Nothing was kept."
        )
    return int(text)


def idempotency_key(request: Request) -> str | None:
    """The key of a create, None without one. Raises `InvalidParameter` for one that is empty or too long."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise InvalidParameter(f"Idempotency-Key must have 1 to {LONGEST_KEY} characters")
    return key


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if not kind.startswith("audio/") and kind != "application/octet-stream":
        raise BodyEncoded(f"Send the audio itself as audio/* or application/octet-stream, not as {kind[:80]}")


def _intake(account: Account, query: Parameters, key: str | None, guard: Guard) -> Intake:
    source = query.choice("Source", SOURCES) or DEFAULT_SOURCE
    callback, problem = (None, None) if source == SILENT_SOURCE else _callback(query, guard)
    pairs = json.dumps([account.sid, query.pairs()]).encode()
    return Intake(
        account_sid=account.sid,
        call_sid=query.sid("CallSid", "CA"),
        conference_sid=query.sid("ConferenceSid", "CF"),
        from_number=short_text(query, "From"),
        to_number=short_text(query, "To"),
        direction=query.choice("Direction", DIRECTIONS),
        start_time=query.moment("StartTime"),
        source=source,
        track=query.choice("Track", TRACKS),
        campaign=short_text(query, "Campaign"),
        trim_silence=query.choice("Trim", TRIMS) == "trim-silence",
        callback=callback,
        callback_problem=problem,
        idempotency_key=key,
        parameters_hash=hashlib.sha256(pairs).hexdigest(),
    )


def _callback(query: Parameters, guard: Guard) -> tuple[CallbackWish | None, str | None]:
    """The callback asked for, or why it will not be made: a wrong URL does not cost the recording (13256)."""
    method = query.choice("RecordingStatusCallbackMethod", ("GET", "POST")) or "POST"
    events = parse_events(query.all("RecordingStatusCallbackEvent"))
    url = query.text("RecordingStatusCallback")
    if url is None:
        return None, None
    try:
        guard.check_url(url)
    except ForbiddenAddress as why:
        return None, f"RecordingStatusCallback cannot be called: {why.message}"
    return CallbackWish(url=url, method=method, events=events), None


def short_text(query: Parameters, name: str) -> str | None:
    """A text of at most 256 characters, None when missing or empty. Raises `InvalidParameter`."""
    value = query.text(name)
    if value is not None and len(value) > LONGEST_TEXT:
        raise InvalidParameter(f"{name} must have at most {LONGEST_TEXT} characters", parameter=name)
    return value


_DESCRIBED = plain_operation(
    "Take a finished recording in",
    status=201,
    says="The recording, durable from now on",
    requestBody={
        "required": True,
        "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
    },
    **asks(
        CallSid="text",
        ConferenceSid="text",
        From="text",
        To="text",
        Direction="text",
        StartTime="text",
        Source="text",
        Track="text",
        Campaign="text",
        RecordingStatusCallback="text",
        RecordingStatusCallbackMethod="text",
        RecordingStatusCallbackEvent="texts",
        Trim="text",
    ),
)
ROUTES = ((Route(PATH, upload, methods=["POST"]), {"post": _DESCRIBED}),)
