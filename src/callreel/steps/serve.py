"""Find the media of a recording for somebody who may hear it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.errors import Final, InvalidDestination, NotFound, NotNow, RecordingIsEncrypted, RecordingIsMono
from callreel.model.recording import COMPLETED, Recording
from callreel.model.storage_settings import ExternalMedia

SIGNED_URL_S = 3600  # BRIEF3: signed URLs live 60 minutes, a fresh one for each play


@dataclass(frozen=True, slots=True)
class OnDisk:
    """The media lies in service storage."""

    path: Path


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
        assert recording.object_key is not None
        return OnDisk(buckets.storage.path_of(recording.object_key))
    if recording.settings.external_media is ExternalMedia.NOT_FOUND:
        raise NotFound()
    return Elsewhere(await sign(recording, buckets=buckets))


async def sign(recording: Recording, *, buckets: Buckets) -> str:
    """A fresh URL that plays the recording straight from the bucket for an hour.

    Raises `NotFound` when the credential may not read, the object is gone, or the bucket does not answer.
    """
    assert recording.object_key is not None
    try:
        bucket = await buckets.of(recording)
        if not isinstance(bucket, S3Bucket) or await bucket.head(recording.object_key) is None:
            raise NotFound()
    except (Final, NotNow, InvalidDestination) as why:
        raise NotFound() from why
    return bucket.presign_get(recording.object_key, expires_s=SIGNED_URL_S, response_content_type=recording.media_type)
