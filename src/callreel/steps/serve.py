"""Find the media of a recording for somebody who may hear it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from callreel.at_rest.file import KeptFile
from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import Final, InvalidDestination, NotFound, NotNow, RecordingIsEncrypted, RecordingIsMono
from callreel.ledger.ledger import Ledger
from callreel.model.recording import COMPLETED, Recording, State
from callreel.model.storage_settings import ExternalMedia
from callreel.sealing.media_ticket import Disposition, Ticket, TicketOffice
from callreel.sealing.tokens import TokenDigest

SIGNED_URL_S = 3600  # BRIEF3: signed URLs live 60 minutes, a fresh one for each play


@dataclass(frozen=True, slots=True)
class OnDisk:
    """The media lies in service storage."""

    file: KeptFile


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The media lies in the customer's bucket; this URL opens it for an hour."""

    url: str


@dataclass(frozen=True, slots=True)
class AtSource:
    """The media lies at the recording's source still, which is asked for it."""

    source_sid: str


async def serve(
    recording: Recording, *, extension: str, requested_channels: int | None, buckets: Buckets
) -> OnDisk | Elsewhere | AtSource:
    """Where the media is to be had.

    Raises `NotFound` unless the recording is completed and its media can be reached, `RecordingIsEncrypted`
    for an `.mp3` of ciphertext and `RecordingIsMono` for two channels of one.
    """
    if recording.state not in COMPLETED and recording.state is not State.AT_SOURCE:
        raise NotFound()
    if recording.encryption_details is not None and extension == "mp3":
        raise RecordingIsEncrypted()
    if requested_channels == 2 and recording.channels == 1:
        raise RecordingIsMono()
    if recording.state is State.AT_SOURCE:
        return AtSource(recording.source_sid or "")
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


@dataclass(frozen=True, slots=True)
class Playable:
    """A URL that plays a recording for whoever holds it, until then."""

    url: str
    expires_at: datetime


async def serve_playing(
    recording: Recording, *, save_as: str = "", public_url: str, buckets: Buckets, digest: TokenDigest, clock: Clock
) -> Playable:
    """A fresh URL for 60 minutes, in the bucket or here; with `save_as` (`wav`, `mp3`) one that a browser saves.

    What lies at its source is played through here. MP3 is to be had of what lies here or there. Raises `NotFound`
    unless the recording is completed and its object is there, and what the bucket said when it did not let us look:
    `BucketRefused`, `CredentialMissing`, `InvalidDestination`, or any `NotNow`.
    """
    if recording.state not in COMPLETED and recording.state is not State.AT_SOURCE:
        raise NotFound()
    expires = clock.now() + timedelta(seconds=SIGNED_URL_S)
    if not recording.is_external or recording.state is State.AT_SOURCE:
        name = "Media.mp3" if save_as == "mp3" else "Media"
        return Playable(hosted_url(recording, name, int(expires.timestamp()), public_url, digest), expires)
    assert recording.object_key is not None
    bucket = await buckets.of(recording)
    if not isinstance(bucket, S3Bucket) or await bucket.head(recording.object_key) is None:
        raise NotFound("The bucket has no object of this name any more")
    url = bucket.presign_get(
        recording.object_key,
        expires_s=SIGNED_URL_S,
        response_content_type=recording.media_type,
        filename=f"{recording.sid}.{save_as}" if save_as else None,
    )
    return Playable(url, expires)


def hosted_url(recording: Recording, name: str, expires: int, public_url: str, digest: TokenDigest) -> str:
    """The URL of something of a recording of ours, `Media`, `Media.mp3` or `Peaks`, signed until a second since 1970.

    It opens without a credential: a browser cannot send ours.
    """
    signature = hosted_signature(recording.account_sid, recording.sid, name, expires, digest)
    path = f"/callreel/v1/Accounts/{recording.account_sid}/Recordings/{recording.sid}/{name}"
    return f"{public_url}{path}?Expires={expires}&Signature={signature}"


def hosted_signature(account_sid: str, sid: str, name: str, expires: int, digest: TokenDigest) -> str:
    """A keyed digest that no token can collide with: tokens have no slash."""
    return digest.digest(f"playback/{account_sid}/{sid}/{name}/{expires}").hex()


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
