"""Taking a finished video track in: the body is streamed to the spool, the answer waits until it is durable."""

from __future__ import annotations

import hashlib
import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callreel.errors import AccountNotActive, BodyEncoded, ForbiddenAddress, InvalidParameter
from callreel.model.account import Account
from callreel.model.video_intake import VideoIntake
from callreel.model.video_recording_resource import video_recording_json
from callreel.model.video_track import TrackType
from callreel.outbound.guard import Guard
from callreel.steps.ingest_video import ingest_video
from callreel.web.answers import json_answer
from callreel.web.auth import acting_for, opened, sign_in
from callreel.web.description import asks, plain_operation
from callreel.web.forms import Parameters, read_query
from callreel.web.uploads import announced_bytes, idempotency_key, short_text

PATH = "/v1/Accounts/{account_sid}/VideoRecordings"
TYPES = ("video/", "audio/")
RECORDED = (TrackType.AUDIO, TrackType.VIDEO)


async def upload(request: Request) -> Response:
    """Take a track in.

    Everything that can be refused is refused before the body is read; 201 is sent when the recording is durable.
    """
    caller = await sign_in(request)
    parts = opened(request)
    account = await acting_for(caller, request.path_params["account_sid"], parts)
    if not account.is_active:
        raise AccountNotActive()
    announced = announced_bytes(request, parts.chosen.max_upload_bytes)
    _check_type(request)
    recording = await ingest_video(
        request.stream(),
        _intake(account, read_query(request), idempotency_key(request), parts.guard),
        announced_bytes=announced,
        limit_bytes=parts.chosen.max_upload_bytes,
        births=parts.births,
        ledger=parts.ledger,
    )
    return json_answer(video_recording_json(recording, parts.public_url), 201)


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if not kind.startswith(TYPES) and kind != "application/octet-stream":
        raise BodyEncoded(f"Send the track itself as video/*, audio/* or application/octet-stream, not as {kind[:80]}")


def _intake(account: Account, query: Parameters, key: str | None, guard: Guard) -> VideoIntake:
    kind = query.choice("Type", RECORDED)
    url, problem = _callback(query, guard)
    pairs = json.dumps([account.sid, query.pairs()]).encode()
    return VideoIntake(
        account_sid=account.sid,
        room_sid=query.sid("RoomSid", "RM"),
        participant_sid=query.sid("ParticipantSid", "PA"),
        participant_identity=short_text(query, "ParticipantIdentity"),
        source_sid=query.sid("SourceSid", "MT"),
        track_name=short_text(query, "TrackName"),
        type=TrackType(kind) if kind else None,
        start_time=query.moment("StartTime"),
        offset_ms=_offset(query),
        status_callback=url,
        status_callback_method=query.choice("StatusCallbackMethod", ("GET", "POST")) or "POST",
        callback_problem=problem,
        idempotency_key=key,
        parameters_hash=hashlib.sha256(pairs).hexdigest(),
    )


def _offset(query: Parameters) -> int | None:
    offset = query.number("Offset", least=0)
    if offset is not None and offset > 10**14:
        raise InvalidParameter("Offset must be at most 100000000000000 milliseconds", parameter="Offset")
    return offset


def _callback(query: Parameters, guard: Guard) -> tuple[str | None, str | None]:
    """The callback asked for, or why it will not be made: a wrong URL does not cost the recording (53662)."""
    url = query.text("StatusCallback")
    if url is None:
        return None, None
    try:
        guard.check_url(url)
    except ForbiddenAddress as why:
        return None, f"StatusCallback cannot be called: {why.message}"
    return url, None


_DESCRIBED = plain_operation(
    "Take a finished video track in",
    status=201,
    says="The recording, durable from now on",
    requestBody={
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("video/x-matroska", "audio/x-matroska")
        },
    },
    **asks(
        RoomSid="text",
        ParticipantSid="text",
        ParticipantIdentity="text",
        SourceSid="text",
        TrackName="text",
        Type="text",
        StartTime="text",
        Offset="integer",
        StatusCallback="text",
        StatusCallbackMethod="text",
    ),
)
ROUTES = ((Route(PATH, upload, methods=["POST"]), {"post": _DESCRIBED}),)
