"""A recording's media by URL: none or `.wav` as it was kept, `.mp3` encoded while it is sent.

Nothing is encoded for a HEAD, and nothing on the event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from callreel.at_rest.file import KeptFile
from callreel.at_rest.segments import FileKey
from callreel.errors import BlobAltered, BlobMissing, MediaGone, NotFound, RangeNotSatisfiable, RecordingIsEncrypted
from callreel.media.channels import RequestedChannels
from callreel.media.mp3 import QUALITY, Mp3Rendition, serve_mp3
from callreel.media.rendition_cache import RenditionCache
from callreel.media.samples import read_bytes
from callreel.media.wav import inspect_wav_file
from callreel.media.wav_rendition import BLOCK_BYTES, serve_wav
from callreel.model.deed import Action, Actor, Deed
from callreel.model.recording import COMPLETED, Recording
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.source.twilio_account import SourceMedia
from callreel.steps.serve import AtSource, Elsewhere, OnDisk, serve
from callreel.web.answers import json_answer
from callreel.web.auth import acting_for, actor_of, opened, path_sid, sign_in
from callreel.web.description import asks, plain_operation
from callreel.web.forms import Parameters, read_query

PATH = "/2010-04-01/Accounts/{account_sid}/Recordings/{name}"
TYPES = {"": "audio/x-wav", "wav": "audio/x-wav", "mp3": "audio/mpeg"}  # Twilio's own
CIPHERTEXT = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rendition:
    """Bytes that can be had in any window, with their name for caches."""

    size_bytes: int
    etag: str
    media_type: str
    chunks: Callable[[int, int], AsyncIterator[bytes]]


async def fetch_media(request: Request) -> Response:
    """The media of a recording, for a caller who may act for its account."""
    caller = await sign_in(request)
    parts = opened(request)
    account = await acting_for(caller, request.path_params["account_sid"], parts)
    sid, _, extension = request.path_params["name"].partition(".")
    if extension not in TYPES:
        raise NotFound()
    recording = await parts.ledger.recordings.fetch(account.sid, RecordingSid(path_sid("RE", sid)))
    channels = _requested_channels(read_query(request))
    by = await actor_of(request, caller)
    return await media_answer(request, recording, extension, channels, parts, by)


async def media_answer(
    request: Request, recording: Recording, extension: str, channels: RequestedChannels, parts: Parts, by: Actor
) -> Response:
    """The media itself, a part of it, or the way to the customer's bucket. Whoever gets any of it is in the audit."""
    found = await serve(recording, extension=extension, requested_channels=channels, buckets=parts.buckets)
    heard = by.deed(Action.RECORDING_LISTENED, recording.account_sid, recording.sid, form=extension or "original")
    if isinstance(found, AtSource):
        return await _from_source(request, recording, found, extension, channels, parts, heard)
    if isinstance(found, Elsewhere):
        await parts.ledger.audit.write_once(heard)  # for a HEAD too: its Location opens the media as well
        headers = {"location": found.url, "cache-control": "no-store", "referrer-policy": "no-referrer"}
        return json_answer({"redirect_to": found.url}, 302, headers)
    try:
        rendition = await asyncio.to_thread(_rendition, recording, found, extension, channels, parts.renditions)
    except FileNotFoundError as why:
        again = await parts.ledger.recordings.find(recording.account_sid, recording.sid)
        if again is None or again.state not in COMPLETED:
            raise NotFound() from why  # deleted while we looked
        raise BlobMissing(f"The media of {recording.sid} is not in service storage") from why
    name = f"{recording.sid}.{extension or 'wav'}"
    answer = rendition_answer(request, rendition, disposition=f'attachment; filename="{name}"')
    await note_listening(answer, heard, parts)
    return answer


async def _from_source(
    request: Request,
    recording: Recording,
    found: AtSource,
    extension: str,
    channels: RequestedChannels,
    parts: Parts,
    heard: Deed,
) -> Response:
    """The media as its source sends it, passed on while it comes: whole, or the part that was asked for.

    A source is asked for the whole, since Twilio documents no parts, and what lies before a part is read and dropped;
    what lies behind it is not read.
    """
    source = await parts.ledger.sources.fetch(recording.account_sid, found.source_sid)
    item = await parts.ledger.items.fetch(recording.account_sid, recording.sid)
    client = await parts.sources.open(source)
    wanted, is_streamed = channels or recording.channels, False
    held = AsyncExitStack()
    try:
        media = await held.enter_async_context(
            client.media(
                item.origin.account_sid, item.source_recording_sid, channels=wanted, extension=extension or "wav"
            )
        )
        answer = _source_answer(request, recording, media, f"{extension or 'wav'}-{wanted}", held)
        is_streamed = isinstance(answer, StreamingResponse)
        await note_listening(answer, heard, parts)
        return answer
    except MediaGone as why:
        raise NotFound() from why
    finally:
        if not is_streamed:
            await held.aclose()


def _source_answer(
    request: Request, recording: Recording, media: SourceMedia, variant: str, held: AsyncExitStack
) -> Response:
    extension = variant.partition("-")[0]
    disposition = f'attachment; filename="{recording.sid}.{extension}"'
    if media.length is not None:
        # A source's recording never changes: its name and length are as good as a digest.
        etag = f'"{recording.source_recording_sid}-{variant}-{media.length}"'
        rendition = Rendition(media.length, etag, media.content_type, partial(_passed_on, media, held))
        return rendition_answer(request, rendition, disposition=disposition)
    headers = {"content-type": media.content_type, "cache-control": "private, no-cache"}
    headers |= {"content-disposition": disposition, "accept-ranges": "none"}
    if request.scope.get("callreel.is_head"):
        return Response(status_code=200, headers=headers)
    return StreamingResponse(_passed_on(media, held, 0, None), 200, headers)


async def _passed_on(media: SourceMedia, held: AsyncExitStack, start: int, stop: int | None) -> AsyncIterator[bytes]:
    """The bytes from `start` up to `stop`; the connection to the source is given back at the end of them."""
    async with held:
        at = 0
        async for chunk in media.chunks():
            first, at = at, at + len(chunk)
            piece = chunk[max(0, start - first) : None if stop is None else max(0, stop - first)]
            if piece:
                yield piece
            if stop is not None and at >= stop and stop != media.length:
                return


async def note_listening(answer: Response, deed: Deed, parts: Parts) -> None:
    """Write down who gets the media before they get it; nothing for a HEAD, or for one who has it already."""
    if isinstance(answer, StreamingResponse):
        await parts.ledger.audit.write_once(deed)


def _rendition(
    recording: Recording, found: OnDisk, extension: str, channels: RequestedChannels, cache: RenditionCache
) -> Rendition:
    file, name = found.file, (recording.blob_sha256 or "")[:40]
    original = file_rendition(recording, file, CIPHERTEXT)
    if recording.encryption_details is not None:
        if channels is not None and channels != recording.channels:
            raise RecordingIsEncrypted("The recording is encrypted; decrypt it before you change its channels")
        return original
    facts = inspect_wav_file(file)
    if extension == "mp3":
        mp3 = serve_mp3(file, facts, channels)
        variant = f"mp3-{mp3.channels}-q{QUALITY}"
        chunks = partial(_from_cache, cache, recording.sid, variant, mp3, file.key)
        return Rendition(mp3.size_bytes, f'"{name}-{variant}"', TYPES["mp3"], chunks)
    wav = serve_wav(file, facts, channels)
    etag = f'"{name}"' if wav.is_original else f'"{name}-wav-{wav.channels}"'
    return Rendition(wav.size_bytes, etag, TYPES["wav"], _in_threads(wav.chunks))


def _in_threads(chunks: Callable[[int, int], Iterator[bytes]]) -> Callable[[int, int], AsyncIterator[bytes]]:
    return lambda start, stop: iterate_in_threadpool(chunks(start, stop))


async def _from_cache(
    cache: RenditionCache, sid: str, variant: str, mp3: Mp3Rendition, key: FileKey | None, start: int, stop: int
) -> AsyncIterator[bytes]:
    """Encoded once, however many ask for parts of it, and whatever parts."""
    async with cache.open(sid, variant, mp3, key=key) as lease:
        async for chunk in lease.chunks(start, stop):
            yield chunk


def file_rendition(recording: Recording, file: KeptFile, media_type: str) -> Rendition:
    """The bytes of service storage as they are. Blocks; raises `FileNotFoundError` and `BlobAltered`."""
    size = file.size_bytes()
    if size != recording.blob_size_bytes:
        raise BlobAltered(f"The media of {recording.sid} has {size} bytes; {recording.blob_size_bytes} were kept")
    chunks = _in_threads(lambda start, stop: read_bytes(file, start, stop, BLOCK_BYTES))
    return Rendition(size, f'"{(recording.blob_sha256 or "")[:40]}"', media_type, chunks)


def rendition_answer(request: Request, rendition: Rendition, *, disposition: str) -> Response:
    """The whole, a part, or word that the caller has it."""
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-disposition": disposition,
        "etag": rendition.etag,
    }
    if _is_known(request.headers.get("if-none-match", ""), rendition.etag):
        return Response(status_code=304, headers=headers)
    window = _window(request, rendition)
    start, stop = window or (0, rendition.size_bytes)
    headers |= {"content-type": rendition.media_type, "content-length": str(stop - start)}
    if window is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{rendition.size_bytes}"
    status = 206 if window is not None else 200
    if request.scope.get("callreel.is_head"):
        return Response(status_code=status, headers=headers)
    return StreamingResponse(rendition.chunks(start, stop), status, headers)


def _is_known(if_none_match: str, etag: str) -> bool:
    return if_none_match.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]


def _window(request: Request, rendition: Rendition) -> tuple[int, int] | None:
    """The bytes a single range asks for; None for the whole.

    Several ranges, other units, and a range of another version (`If-Range`) get the whole, as RFC 9110 allows.
    Raises `RangeNotSatisfiable`.
    """
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or request.headers.get("if-range", rendition.etag) != rendition.etag:
        return None
    first, last = asked.groups()
    size = rendition.size_bytes
    if not first and not last:
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return start, stop


def _requested_channels(query: Parameters) -> RequestedChannels:
    wanted = query.choice("RequestedChannels", ("1", "2"))
    return {"1": 1, "2": 2}[wanted] if wanted else None  # type: ignore[return-value]


_DESCRIBED = plain_operation(
    "Fetch a recording's media: SID alone or .wav as WAV, .mp3 as MP3",
    says="The media; 206 for a Range; 302 to a signed URL when it lies in the account's own bucket",
    content={kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(set(TYPES.values()))},
    **asks(RequestedChannels="integer"),
)
ROUTES = ((Route(PATH, fetch_media, methods=["GET"]), {"get": _DESCRIBED}),)
