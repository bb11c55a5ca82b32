"""The copies of a recording: which there should be, and whether they are what they should be.

A copy in the spool is read by the spool's own methods only, since how its files lie there is its business.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import StrEnum

from callreel.bucket.bucket import Blob, ObjectFacts
from callreel.bucket.disk import DiskBucket
from callreel.bucket.s3 import S3Bucket
from callreel.errors import (
    BlobAltered,
    BlobMissing,
    BucketRefused,
    BucketStumbled,
    CredentialMissing,
    Final,
    InvalidDestination,
    NotFound,
    NotNow,
    RangeNotSatisfiable,
    SealBroken,
)
from callreel.examine.scene import Scene
from callreel.model.recording import Recording
from callreel.spool.spool import SpooledBlob

READ_BYTES = 1 << 20


class Is(StrEnum):
    """What a look at a copy found."""

    WHOLE = "whole"
    MISSING = "missing"
    ALTERED = "altered"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and in words what is wrong with it or why it could not be seen."""

    found: Is
    text: str = ""


async def look_in_spool(recording: Recording, scene: Scene) -> Look:
    """The one file of the spool that counts: the blob once it is sealed, the media before."""
    if recording.host_id != scene.spool.host_id:
        return Look(Is.UNSEEN, "lies in the spool of another host; check it there")
    try:
        blob = await spooled_copy(recording, scene)
        kept = await asyncio.to_thread(blob.kept_bytes)
        if kept is None:
            return Look(Is.MISSING, "is not in the spool")
        if kept != blob.size_bytes:
            return Look(Is.ALTERED, f"has {kept} bytes in the spool and should have {blob.size_bytes}")
        if scene.deep and await asyncio.to_thread(_sha256_of, blob) != blob.sha256:
            return Look(Is.ALTERED, "has other bytes in the spool than were acknowledged")
    except BlobMissing:
        return Look(Is.MISSING, "is not in the spool")
    except (BlobAltered, SealBroken) as why:
        return Look(Is.ALTERED, f"cannot be opened in the spool: {why.message}")
    except NotNow as why:
        return Look(Is.UNSEEN, why.message)
    return Look(Is.WHOLE)


async def spooled_copy(recording: Recording, scene: Scene) -> SpooledBlob:
    """The file the spool has to hold of a recording, whether it is there or not."""
    if recording.blob_sha256 is None:
        size_bytes, sha256, md5 = recording.media_size_bytes, recording.media_sha256, recording.media_md5
    else:
        assert recording.blob_size_bytes is not None
        assert recording.blob_md5 is not None
        size_bytes, sha256, md5 = recording.blob_size_bytes, recording.blob_sha256, recording.blob_md5
    # What its source had encrypted has its details before it is sealed, and lies as it came until then.
    is_sealed = recording.encryption_details is not None and recording.blob_sha256 is not None
    return scene.spool.blob(
        recording.sid,
        sealed=is_sealed,
        size_bytes=size_bytes,
        sha256=sha256,
        md5=md5,
        key=await (scene.buckets.keys.of_blob if is_sealed else scene.buckets.keys.of_media)(recording),
    )


async def look_in_bucket(recording: Recording, scene: Scene) -> Look:
    """The object, by what the bucket says of it; read and hashed when that leaves a doubt, and always when deep."""
    if recording.object_key is None or recording.blob_sha256 is None:
        return Look(Is.MISSING, "names no object")
    if not recording.is_external:
        return await _look_in_storage(recording, scene)
    place = (recording.account_sid, recording.bucket or "")
    if place in scene.out_of_reach:
        return Look(Is.UNSEEN, "may not be looked at with the credential it was written with")
    try:
        bucket = await scene.buckets.of(recording)
        facts = await bucket.head(recording.object_key)
        if facts is None:
            return Look(Is.MISSING, "is not in its bucket")
        if facts.size_bytes != recording.blob_size_bytes:
            return Look(Is.ALTERED, f"has {facts.size_bytes} bytes in its bucket, not {recording.blob_size_bytes}")
        if not scene.deep and _is_told_whole(recording, facts):
            return Look(Is.WHOLE)
        if await _sha256_in(bucket, recording.object_key) != recording.blob_sha256:
            return Look(Is.ALTERED, "has other bytes in its bucket than were delivered")
    except (NotFound, RangeNotSatisfiable):
        return Look(Is.MISSING, "is not in its bucket")
    except (BucketStumbled, BucketRefused) as why:
        if why.status not in (401, 403, 405, 501):
            return Look(Is.UNSEEN, f"could not be looked at in its bucket: {why.message}")
        scene.out_of_reach.add(place)
        return Look(Is.UNSEEN, "may not be looked at with the credential it was written with")
    except (NotNow, Final, CredentialMissing, InvalidDestination) as why:
        return Look(Is.UNSEEN, f"could not be looked at in its bucket: {why.message}")
    return Look(Is.WHOLE)


async def _look_in_storage(recording: Recording, scene: Scene) -> Look:
    """The file in service storage: sealed, so that opening it says whether it is what was kept."""
    try:
        file = await scene.buckets.hosted(recording)
        kept = await asyncio.to_thread(file.size_bytes)
        if kept != recording.blob_size_bytes:
            return Look(Is.ALTERED, f"has {kept} bytes in service storage, not {recording.blob_size_bytes}")
        if scene.deep and await asyncio.to_thread(_sha256_of_all, file.pieces()) != recording.blob_sha256:
            return Look(Is.ALTERED, "has other bytes in service storage than were delivered")
    except FileNotFoundError:
        return Look(Is.MISSING, "is not in service storage")
    except (BlobAltered, SealBroken) as why:
        return Look(Is.ALTERED, f"cannot be opened in service storage: {why.message}")
    except (OSError, NotNow) as why:
        return Look(Is.UNSEEN, f"could not be looked at in service storage: {why}")
    return Look(Is.WHOLE)


def _is_told_whole(recording: Recording, facts: ObjectFacts) -> bool:
    """Whether size and what the bucket keeps beside the object are those of the delivery: no need to read it."""
    if facts.checksum_sha256 is not None and "-" not in facts.checksum_sha256:
        return facts.checksum_sha256 == base64.b64encode(bytes.fromhex(recording.blob_sha256 or "")).decode()
    return facts.etag is None or recording.etag is None or facts.etag.strip('"') == recording.etag.strip('"')


async def _sha256_in(bucket: S3Bucket | DiskBucket, key: str) -> str:
    return await sha256_of_pieces(bucket.read(key))


async def sha256_of_pieces(pieces: AsyncIterator[bytes]) -> str:
    """The SHA-256 of what comes, in lower-case hex."""
    digest = hashlib.sha256()
    async for piece in pieces:
        if len(piece) > READ_BYTES // 4:
            await asyncio.to_thread(digest.update, piece)
        else:
            digest.update(piece)
    return digest.hexdigest()


def _sha256_of_all(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _sha256_of(blob: Blob) -> str:
    digest = hashlib.sha256()
    for start in range(0, blob.size_bytes, READ_BYTES):
        digest.update(blob.read(start, min(READ_BYTES, blob.size_bytes - start)))
    return digest.hexdigest()
