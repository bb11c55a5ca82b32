"""Settle what was fetched: is the copy proved well enough that the original may go?"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from callreel.bucket.bucket import ObjectFacts
from callreel.bucket.disk import DiskBucket
from callreel.bucket.s3 import S3Bucket
from callreel.errors import BucketStumbled, Final, InvalidDestination, NotFound, NotNow
from callreel.failpoints import reach
from callreel.migration.receipt import write_receipt
from callreel.migration.shelves import Moving
from callreel.model.evidence import VerifyMethod
from callreel.model.moved_item import ItemState, MovedItem, Reason
from callreel.model.receipt import Receipt
from callreel.model.recording import COMPLETED, Recording, State

LOOK_AGAIN_S = 30.0
_DELETED_HERE = frozenset({State.DELETING, State.DELETED, State.PURGED})


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the original stays, and what somebody can do about it."""

    to: ItemState
    reason: Reason
    detail: str
    remedy: str | None


async def settle(item: MovedItem, recording: Recording | None, *, shelves: Moving) -> MovedItem:
    """What becomes of an item whose recording's delivery has come to an end.

    1. the bytes that were fetched are the bytes that were sealed
    2. the bucket proved that it holds them: checksum, MD5 or reading back; `accepted` is read back where that is
       allowed
    3. the object is seen again now, and is the same
    4. the intent is committed: DELETE_INTENT; or KEPT where the account wants both copies

    Every doubt keeps the original and says why. Raises `DatabaseAway` and `Outrun`.
    """
    if recording is None or recording.state in _DELETED_HERE:
        return await _keep(item, recording, _deleted_here(), shelves)
    if recording.state not in COMPLETED:
        return await _fail(item, _undelivered(recording), shelves)
    if not recording.is_external:
        return await _keep(item, recording, _not_external(), shelves)
    try:
        recording, doubt = await _look(item, recording, shelves)
    except NotNow as why:
        return await _look_later(item, why.message, shelves)
    if doubt is not None:
        return await (_keep if doubt.to is ItemState.KEPT else _fail_with)(item, recording, doubt, shelves)
    assert recording.verified_at is not None
    intended = await shelves.ledger.items.move(
        item,
        ItemState.DELETE_INTENT,
        receipt=partial(_receipt, recording=recording, shelves=shelves),
        intent_at=_just_after(recording.verified_at, shelves.clock.now()),
        next_attempt_at=shelves.clock.now(),
        reason=None,
        detail=None,
        remedy=None,
    )
    reach("M3")
    return intended


async def _look(item: MovedItem, recording: Recording, shelves: Moving) -> tuple[Recording, Doubt | None]:
    """The recording with its proof, and the doubt that remains. Raises `NotNow`."""
    if item.media_sha256 != recording.media_sha256 or not _sealed_from(recording):
        return recording, Doubt(
            ItemState.FAILED,
            Reason.OBJECT_DIFFERS,
            "What was sealed is not what was fetched",
            "Nothing was deleted. Keep the original and report this",
        )
    try:
        bucket = await shelves.buckets.of(recording)
        assert recording.object_key is not None
        seen = await bucket.head(recording.object_key)
    except BucketStumbled as why:
        if why.status != 403:
            raise
        return recording, _unseen(recording, "s3:GetObject")
    except (Final, InvalidDestination) as why:
        return recording, Doubt(
            ItemState.KEPT, Reason.INSUFFICIENT_EVIDENCE, f"The object could not be seen again: {why.message}", _ALLOW
        )
    if seen is None:
        return recording, _missing(recording)
    if (difference := _difference(recording, seen)) is not None:
        return recording, Doubt(ItemState.FAILED, Reason.OBJECT_DIFFERS, difference, _KEEP_LOOKING)
    if VerifyMethod(recording.verify_method or VerifyMethod.ACCEPTED).is_proof:
        return recording, None
    return await _read_back(recording, bucket, shelves)


async def _read_back(
    recording: Recording, bucket: S3Bucket | DiskBucket, shelves: Moving
) -> tuple[Recording, Doubt | None]:
    """The bucket gave no proof when it stored the object: read it, every byte."""
    sha256 = hashlib.sha256()
    assert recording.object_key is not None
    try:
        async for chunk in bucket.read(recording.object_key):
            sha256.update(chunk)
    except NotFound:
        return recording, _missing(recording)
    except BucketStumbled as why:
        if why.status != 403:
            raise
        return recording, _unseen(recording, "s3:GetObject")
    except Final as why:
        return recording, Doubt(ItemState.KEPT, Reason.INSUFFICIENT_EVIDENCE, why.message, _ALLOW)
    if sha256.hexdigest() != recording.blob_sha256:
        return recording, Doubt(
            ItemState.FAILED, Reason.OBJECT_DIFFERS, "Reading the object back gave other bytes", _KEEP_LOOKING
        )
    proved = await shelves.ledger.note(recording, verify_method=VerifyMethod.READ, verified_at=shelves.clock.now())
    return proved, None


def _sealed_from(recording: Recording) -> bool:
    """Whether the blob is the media. Ciphertext of ours is: sealing hashed what it read."""
    encrypted_here = recording.blob_sha256 != recording.media_sha256
    return not encrypted_here or (recording.settings.encryption_enabled and recording.encryption_details is not None)


def _difference(recording: Recording, seen: ObjectFacts) -> str | None:
    if seen.size_bytes != recording.blob_size_bytes:
        return f"The object has {seen.size_bytes} bytes where {recording.blob_size_bytes} were delivered"
    if seen.etag and recording.etag and seen.etag.strip('"').lower() != recording.etag:
        return "The object's ETag is another than when it was delivered: it was replaced"
    checksum = seen.checksum_sha256
    if checksum and "-" not in checksum and checksum != _base64(recording.blob_sha256 or ""):
        return "The object's checksum is not that of what was delivered"
    return None


async def _keep(item: MovedItem, recording: Recording | None, doubt: Doubt, shelves: Moving) -> MovedItem:
    receipt = None if recording is None else partial(_receipt, recording=recording, shelves=shelves)
    return await shelves.ledger.items.move(
        item,
        ItemState.KEPT,
        receipt=receipt,
        next_attempt_at=None,
        reason=doubt.reason,
        detail=doubt.detail[:500],
        remedy=doubt.remedy,
    )


async def _fail(item: MovedItem, doubt: Doubt, shelves: Moving) -> MovedItem:
    return await shelves.ledger.items.move(
        item,
        ItemState.FAILED,
        next_attempt_at=None,
        reason=doubt.reason,
        detail=doubt.detail[:500],
        remedy=doubt.remedy,
    )


async def _fail_with(item: MovedItem, _: Recording | None, doubt: Doubt, shelves: Moving) -> MovedItem:
    return await _fail(item, doubt, shelves)


async def _look_later(item: MovedItem, said: str, shelves: Moving) -> MovedItem:
    return await shelves.ledger.items.move(
        item,
        ItemState.FETCHED,
        next_attempt_at=shelves.clock.now() + timedelta(seconds=LOOK_AGAIN_S),
        detail=f"The object could not be seen again yet: {said}"[:500],
    )


def _receipt(item: MovedItem, *, recording: Recording, shelves: Moving) -> Receipt:
    return write_receipt(item, recording, key=shelves.receipt_key, now=shelves.clock.now())


def _just_after(verified_at: datetime, now: datetime) -> datetime:
    """The intent comes after the proof, also by a clock that was set back."""
    return max(now, verified_at + timedelta(microseconds=1))


def _base64(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode()


_ALLOW = "Give the bucket's credential s3:GetObject on the recordings, then resume the migration"
_KEEP_LOOKING = "Nothing was deleted. Find out who changed the object, then take it up again: callreel migrate resume"


def _unseen(recording: Recording, permission: str) -> Doubt:
    return Doubt(
        ItemState.KEPT,
        Reason.INSUFFICIENT_EVIDENCE,
        "The bucket's credential may write and not read: the object could not be seen again, so both copies are kept",
        f"Allow {permission} on arn:aws:s3:::{recording.bucket}/* for the bucket's credential, then start a migration",
    )


def _missing(recording: Recording) -> Doubt:
    return Doubt(
        ItemState.FAILED,
        Reason.OBJECT_MISSING,
        f"The object {recording.object_key} was delivered and is not in the bucket now",
        _KEEP_LOOKING,
    )


def _undelivered(recording: Recording) -> Doubt:
    said = recording.last_error or "the bucket did not take it"
    return Doubt(
        ItemState.FAILED,
        Reason.DELIVERY_FAILED,
        f"The delivery is {recording.state}: {said}",
        f"Mend the destination, then: callreel deliveries restart --recording {recording.sid}",
    )


def _deleted_here() -> Doubt:
    return Doubt(
        ItemState.KEPT,
        Reason.DELETED_HERE,
        "The recording was deleted here before its original was; the original is kept",
        "Delete the original at the source if it is not wanted either",
    )


def _not_external() -> Doubt:
    return Doubt(
        ItemState.KEPT,
        Reason.EXTERNAL_STORAGE_OFF,
        "External storage was switched off before it was delivered: the copy lies in service storage",
        "Switch external storage on and start a migration, or delete the original yourself",
    )
