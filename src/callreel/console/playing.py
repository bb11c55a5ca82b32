"""What the player asks for: a fresh signed URL, the peaks, and a file to save. And why there is nothing to play."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from callreel.console.visit import Visit, screen
from callreel.errors import (
    BucketRefused,
    CallreelError,
    CredentialMissing,
    Final,
    InvalidDestination,
    NotAudio,
    NotFound,
    NotNow,
)
from callreel.media.mp3 import Mp3Rendition
from callreel.model.deed import Action
from callreel.model.person import Right
from callreel.model.recording import COMPLETED, Recording, State
from callreel.steps.draw_peaks import draw_peaks
from callreel.steps.encode_mp3 import encode_mp3
from callreel.steps.serve import Playable, serve_playing

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a recording cannot be played, for the person who wants to hear it."""

    title: str
    words: str
    kind: str = "info"
    status: int = 409


def obstacle_of(recording: Recording) -> Obstacle | None:
    """What its row says already; None when it should play, which the bucket may still refuse."""
    state = recording.state
    if recording.is_held:
        why = recording.last_error or "refused for good"
        words = f"Your bucket refused it ({why}). The media is kept on this server; restart the delivery to hear it."
        return Obstacle("This recording is held.", words, "warn")
    if state is State.PARKED:
        words = "It could not be delivered for two hours. The media is kept on this server; restart the delivery."
        return Obstacle("This recording is parked.", words, "warn")
    if state in (State.DELETING, State.DELETED, State.PURGED):
        return Obstacle("The media was removed.", "What is left are the details on this page.", "info", 404)
    if state in (State.ABSENT, State.ERASED, State.FATAL):
        return Obstacle("There is no media.", recording.last_error or "Nothing was recorded.", "bad", 404)
    if state not in COMPLETED and state is not State.AT_SOURCE:
        return Obstacle("This recording is on its way.", "It plays as soon as it is stored; this page says when.")
    return None


def refusal_of(why: CallreelError, recording: Recording) -> Obstacle:
    """What the bucket's answer means for somebody who pressed Play."""
    bucket = recording.bucket or "the bucket"
    if isinstance(why, CredentialMissing):
        words = "The credential this recording was stored with no longer exists, so nobody here can read the bucket."
        return Obstacle("The key to the bucket is gone.", words, "warn", 409)
    if isinstance(why, NotFound):
        words = f"{bucket} has no object of this name any more; somebody removed it there. callreel keeps no copy."
        return Obstacle("The file is not in the bucket any more.", words, "bad", 404)
    if isinstance(why, BucketRefused) or getattr(why, "status", 0) == 403:
        words = (
            f"{bucket} let us write and does not let us read. That is a safe way to set it up: the file is there, and "
            "the media URL says where. To play here, allow s3:GetObject for this credential."
        )
        return Obstacle("The credential may write, not read.", words, "info", 409)
    if isinstance(why, NotNow):
        words = f"{bucket} does not answer right now ({why.message[:160]}). The recording is there; try again soon."
        return Obstacle("The bucket is away.", words, "warn", 503)
    return Obstacle("This recording cannot be played.", why.message[:300], "warn", 409)


def bucket_origin(recording: Recording) -> str:
    """Where a page may fetch the media from, beside here: the scheme and host of its object, or nothing."""
    parsed = urlsplit(recording.object_url or "")
    origin = f"{parsed.scheme}://{parsed.netloc}"
    return origin if recording.is_external and _ORIGIN.fullmatch(origin) else ""


@screen(Right.PLAY)
async def playback(visit: Visit) -> Response:
    """A signed URL for 60 minutes, or why there is none. Whoever is given one is in the audit."""
    recording = await _fetch(visit)
    obstacle = obstacle_of(recording)
    if obstacle is None:
        try:
            playable = await _playable(visit, recording, "")
        except (Final, NotNow, InvalidDestination, NotFound) as why:
            obstacle = refusal_of(why, recording)
    if obstacle is not None:
        return _json({"title": obstacle.title, "words": obstacle.words, "kind": obstacle.kind}, obstacle.status)
    heard = visit.by.deed(Action.RECORDING_LISTENED, visit.account.sid, recording.sid, form="console")
    await visit.parts.ledger.audit.write_once(heard)
    return _json({"url": playable.url, "expires_at": playable.expires_at.isoformat()}, 200)


@screen(Right.PLAY)
async def peaks(visit: Visit) -> Response:
    """One byte for each channel of each tenth of a second; or why there is nothing to draw, in words."""
    recording, parts = await _fetch(visit), visit.parts
    try:
        drawn = await draw_peaks(
            recording, ledger=parts.ledger, buckets=parts.buckets, keyring=parts.keyring, clock=parts.clock
        )
    except (Final, NotNow, InvalidDestination, NotFound, NotAudio) as why:
        obstacle = obstacle_of(recording) or refusal_of(why, recording)
        return _json({"title": obstacle.title, "words": obstacle.words, "kind": obstacle.kind}, obstacle.status)
    headers = {"cache-control": "private, max-age=600", "x-channels": str(drawn.channels)}
    return Response(drawn.values, 200, headers, "application/octet-stream")


@screen(Right.DOWNLOAD)
async def download(visit: Visit) -> Response:
    """To a signed URL that a browser saves."""
    recording = await _fetch(visit)
    save_as = visit.query["as"]
    if save_as not in ("wav", "mp3") or (save_as == "mp3" and not offers_mp3(recording)):
        raise NotFound()
    try:
        if save_as == "mp3" and recording.is_external:
            answer = _as_file(recording, await encode_mp3(recording, buckets=visit.parts.buckets))
        else:
            url = (await _playable(visit, recording, save_as)).url
            answer = RedirectResponse(url, 303, {"cache-control": "no-store"})
    except (Final, NotNow, InvalidDestination) as why:
        refused = refusal_of(why, recording)
        raise NotNow(f"{refused.title} {refused.words}") from why
    saved = visit.by.deed(Action.RECORDING_DOWNLOADED, visit.account.sid, recording.sid, form=save_as)
    await visit.parts.ledger.audit.write(saved)
    return answer


def offers_mp3(recording: Recording) -> bool:
    """MP3 is encoded here, so of what we can read: of media in a bucket while it is saved, and nothing is kept."""
    return recording.encryption_details is None


def _as_file(recording: Recording, mp3: Mp3Rendition) -> Response:
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{recording.sid}.mp3"',
        "content-length": str(mp3.size_bytes),
    }
    return StreamingResponse(iterate_in_threadpool(mp3.chunks()), 200, headers, "audio/mpeg")


async def _playable(visit: Visit, recording: Recording, save_as: str) -> Playable:
    parts = visit.parts
    return await serve_playing(
        recording, save_as=save_as, public_url="", buckets=parts.buckets, digest=parts.digest, clock=parts.clock
    )


async def _fetch(visit: Visit) -> Recording:
    return await visit.parts.ledger.recordings.fetch(visit.account.sid, visit.recording_sid())


def _json(body: dict[str, str], status: int) -> Response:
    return Response(json.dumps(body), status, {"cache-control": "no-store"}, "application/json")


ROUTES = (
    Route("/recordings/{sid}/playback", playback, methods=["GET"]),
    Route("/recordings/{sid}/peaks", peaks, methods=["GET"]),
    Route("/recordings/{sid}/download", download, methods=["GET"]),
)
