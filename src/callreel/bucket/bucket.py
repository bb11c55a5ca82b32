"""The seam to object stores: verbs about bytes and keys.

Recordings, accounts and encryption stay above. What an `Answer` is worth, `model/evidence.py` decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from callreel.model.evidence import Answer
from callreel.model.object_lock import ObjectLock

MULTIPART_ABOVE_BYTES = 8 << 20  # a single put holds its blob in memory; 8 MiB was the quickest part size measured


class Blob(Protocol):
    """The exact bytes that become the object: made once, hashed once, sent as often as needed.

    Digests are lower-case hex of the whole.
    """

    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    @property
    def md5(self) -> str: ...

    def read(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer only at the end.

        Blocks, so callers run it in a thread; may be called from several threads. Raises `BlobMissing`.
        """
        ...


@runtime_checkable
class BlobFile(Blob, Protocol):
    """A blob that is one durable file, never written again, only unlinked: a bucket on the same disk may link to it.

    The file may be sealed at rest: then only the blob can read its content.
    """

    @property
    def path(self) -> Path: ...

    def sha256_of(self, link: Path) -> str:
        """The digest of the content as it can be read from a link to the file, or a copy of it. Blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """How the object is to be kept. `sse_algorithm` is `AES256` or `aws:kms`; None leaves it to the bucket.

    `metadata` are kept with the object and come back with it; names without `x-amz-meta-`, values in ASCII.
    `lock` asks for Object Lock; a bucket without it refuses the put (`BucketRefused`).
    """

    content_type: str
    sse_algorithm: str | None = None
    sse_kms_key_id: str | None = None
    storage_class: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """What the bucket says of an object without sending it. `checksum_sha256` is Base64, as S3 writes it.

    `metadata` has no prefix and lower-case names. `lock` is None for an object that is not locked, and for a
    credential that may not know (s3:GetObjectRetention, s3:GetObjectLegalHold).
    """

    size_bytes: int
    etag: str | None
    checksum_sha256: str | None
    sse_algorithm: str | None
    version_id: str | None
    content_type: str
    sse_kms_key_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None


class OpenUpload(NamedTuple):
    """A multipart upload that was begun and neither completed nor aborted. `initiated` is in UTC."""

    key: str
    upload_id: str
    initiated: datetime


class Listed(NamedTuple):
    """One content that lies under a key. `version_id` is None where the bucket keeps no versions."""

    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None


class Bucket(Protocol):
    """A place for objects. Every verb may be called twice with the same effect as once."""

    async def put(self, key: str, blob: Blob, options: PutOptions) -> Answer:
        """Store the blob under the key, in one piece. Repeating it with the same blob is harmless.

        Hashes what it reads: bytes that are not `blob.sha256` raise `BlobAltered` and are not sent.
        Returns what the bucket said, which is not yet proof. Raises `BucketRefused` when it said no in its own
        words, `BucketStumbled` or `BucketUnreachable` for everything else, `BlobMissing`. After an error or a
        cancel the object may be there or not; it is never there in part.
        """
        ...

    async def head(self, key: str) -> ObjectFacts | None:
        """What the bucket holds under the key; None when it holds nothing there.

        An answer to HEAD has no body, so a refusal has no code: a credential that may only write gets
        `BucketStumbled` with status 403. That is not a failure of delivery.
        """
        ...

    def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The object's bytes from `start` up to, not including, `stop` (None: to the end), in pieces.

        Ends only when every byte asked for has come. Raises `NotFound` for a key that holds nothing,
        `RangeNotSatisfiable` when `start` lies behind the end, and as `put` else.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the object. A key that holds nothing is as good as removed."""
        ...


@runtime_checkable
class MultipartBucket(Protocol):
    """A bucket that takes large blobs in parts. For blobs above `MULTIPART_ABOVE_BYTES`."""

    async def begin_upload(self, key: str, options: PutOptions) -> str:
        """Open an upload and return its id.

        Commit the id before the first part is sent; an id that was lost leaves an upload for the sweep.
        Called twice it opens two. Raises as `Bucket.put`.
        """
        ...

    async def finish_upload(self, key: str, upload_id: str, blob: Blob, options: PutOptions) -> Answer:
        """Send every part and complete the upload. Repeating it with the same blob is harmless.

        Two parts at most are in memory. Keeps a hash of the whole: when it is not `blob.sha256` the upload is
        aborted, `BlobAltered` raised, and no object appears. A cancel aborts the upload too. After any other
        error the upload stays open, to be resumed or aborted by the caller; `BucketStumbled` with code
        `NoSuchUpload` means it is gone, which after an unanswered completion may be success: look with `head`,
        else begin again.
        """
        ...

    async def resume_upload(self, key: str, upload_id: str, blob: Blob, options: PutOptions) -> Answer:
        """As `finish_upload`, but first ask which parts the bucket holds, and send only the others.

        Where listing is denied or not known, all parts are sent again.
        """
        ...

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts. One that is gone already is as good as dropped."""
        ...

    def list_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]:
        """Every open upload whose key begins with the prefix, in the bucket's order."""
        ...
