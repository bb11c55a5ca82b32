"""Find the media of a recording for somebody who may hear it."""

from __future__ import annotations

from dataclasses import dataclass

from callreel.at_rest.file import KeptFile
from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import Final, InvalidDestination, NotFound, NotNow, RecordingIsEncrypted, RecordingIsMono
from callreel.ledger.ledger import Ledger
from callreel.model.recording import COMPLETED, Recording
from callreel.model.storage_settings import ExternalMedia
from callreel.sealing.media_ticket import Disposition, Ticket, TicketOffice

SIGNED_URL_S = 3600  # BRIEF3: signed URLs live 60 minutes, a fresh one for each play


@dataclass(frozen=True, slots=True)
class OnDisk:
    """The media lies in service storage."""

    file: KeptFile


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The media lies in the customer's bucket; this URL opens it for an hour."""

    url: str


async def serve(
    recording: Recording, *, extension: str, requested_channels: int | None, buckets: Buckets
) -> OnDisk | Elsewhere:
    """Where the media is to be had.

    Raises `NotFound` unless the recording is completed and its media can be reached, `RecordingIsEncrypted`
    for an `.mp3` of ciphertext and `RecordingIsMono` for two channels of one.
    """
    if recording.state not in COMPLETED:
        raise NotFound()
    if recording.encryption_details is not None and extension == "mp3":
        raise RecordingIsEncrypted()
    if requested_channels == 2 and recording.channels == 1:
        raise RecordingIsMono()
    if not recording.is_external:
        return OnDisk(await buckets.hosted(recording))
    if recording.settings.external_media is ExternalMedia.NOT_FOUND:
        raise NotFound()
    return Elsewhere(await sign(recording, buckets=buckets))


async def serve_video(
    recording: Recording,
    *,
    ttl_s: int,
    disposition: Disposition,
    public_url: str,
    buckets: Buckets,
    tickets: TicketOffice,
    clock: Clock,
) -> str:
    """A URL that gives a video recording's media to whoever holds it, for so many seconds.

    Raises `NotFound` unless the recording is completed and its media can be reached.
    """
    if recording.state not in COMPLETED:
        raise NotFound()
    if recording.is_external:
        if recording.settings.external_media is ExternalMedia.NOT_FOUND:
            raise NotFound()
        filename = file_name_of(recording) if disposition is Disposition.ATTACHMENT else None
        return await sign(recording, buckets=buckets, expires_s=ttl_s, filename=filename)
    ticket = tickets.issue(recording.account_sid, recording.sid, ttl_s=ttl_s, disposition=disposition, now=clock.now())
    return f"{public_url}/callreel/media/{ticket}"


async def serve_ticket(ticket: Ticket, *, ledger: Ledger, buckets: Buckets) -> tuple[Recording, OnDisk]:
    """The media a ticket was issued for. Raises `NotFound` when it is gone meanwhile."""
    recording = await ledger.recordings.fetch(ticket.account_sid, ticket.recording_sid)
    if recording.state not in COMPLETED or recording.is_external:
        raise NotFound()
    return recording, OnDisk(await buckets.hosted(recording))


def file_name_of(recording: Recording) -> str:
    """The name a video recording is saved under."""
    assert recording.video is not None
    return f"{recording.sid}.{recording.video.container}"


async def sign(
    recording: Recording, *, buckets: Buckets, expires_s: int = SIGNED_URL_S, filename: str | None = None
) -> str:
    """A fresh URL that plays the recording straight from the bucket, or saves it under this name, for a while.

    Raises `NotFound` when the credential may not read, the object is gone, or the bucket does not answer.
    """
    assert recording.object_key is not None
    try:
        bucket = await buckets.of(recording)
        if not isinstance(bucket, S3Bucket) or await bucket.head(recording.object_key) is None:
            raise NotFound()
    except (Final, NotNow, InvalidDestination) as why:
        raise NotFound() from why
    return bucket.presign_get(
        recording.object_key, expires_s=expires_s, response_content_type=recording.media_type, filename=filename
    )
