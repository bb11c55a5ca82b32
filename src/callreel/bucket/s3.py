"""A bucket of AWS S3, or of anything that speaks its language.

Permissions it needs
- s3:PutObject on the keys, for everything a delivery does: put, begin, parts, complete.
- s3:AbortMultipartUpload to leave no parts behind; s3:ListMultipartUploadParts only makes resuming cheaper.
- s3:GetObject for `head`, `read` and presigned URLs; s3:DeleteObject for `delete` and `remove`, with
  s3:DeleteObjectVersion where the bucket keeps versions;
  s3:ListBucketMultipartUploads for `list_uploads`.
- kms:GenerateDataKey (and kms:Decrypt for multipart) on the key, when SSE-KMS is asked for.
- s3:PutObjectRetention and s3:PutObjectLegalHold when Object Lock is asked for; s3:GetObjectRetention and
  s3:GetObjectLegalHold only to see it in `head`.

- s3:ListBucketVersions, or s3:ListBucket, only for `list_contents`, which a checker asks; a delivery never lists.

Calls it never makes: ListBuckets, HeadBucket, anything on ACLs and policies.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Set
from datetime import UTC, datetime
from functools import partial

import aiohttp

from callreel.bucket.bucket import Blob, Listed, ObjectFacts, OpenUpload, PutOptions
from callreel.bucket.dialects import Dialect, dialect_of
from callreel.bucket.documents import (
    LEGAL_HOLD,
    LISTING_BYTES,
    NO_LEGAL_HOLD,
    CompletedPart,
    Document,
    NotADocument,
    completion,
    read_document,
    retention,
)
from callreel.bucket.multipart import HeldPart, Part, SentPart, base64_of, composite_of, send_parts
from callreel.bucket.wire import Reply, Wire, pieces
from callreel.clock import Clock
from callreel.errors import (
    BlobAltered,
    BucketRefused,
    BucketStumbled,
    Final,
    NotFound,
    NotNow,
    PromiseBroken,
    RangeNotSatisfiable,
)
from callreel.model.credential import AccessKey
from callreel.model.destination import Destination
from callreel.model.evidence import Answer
from callreel.model.object_lock import LockMode, ObjectLock

MOST_VERSIONS = 20  # of one key that are removed at once; each is a put whose answer was lost
ABORT_S = 10.0  # what a cancelled task may still spend on leaving nothing behind

_SSE = "x-amz-server-side-encryption"
_KMS_KEY = f"{_SSE}-aws-kms-key-id"
_META = "x-amz-meta-"
_LOCK = "x-amz-object-lock"
_CHECKSUM = "x-amz-checksum-sha256"
_UPLOAD_GONE = frozenset({"NoSuchUpload", "NoSuchKey"})  # Ceph has the second for ListParts
_LISTING_DENIED = frozenset({403, 405, 501})
_NOT_IN_A_FILENAME = re.compile(r"[^A-Za-z0-9._ -]")


class S3Bucket:
    """`Bucket` and `MultipartBucket` over HTTP. Cheap to make; holds no connection of its own.

    `http` is given from outside: its connector decides which addresses may be called. The dialect is picked by
    the endpoint's host unless given.
    """

    def __init__(
        self,
        destination: Destination,
        access_key: AccessKey,
        http: aiohttp.ClientSession,
        *,
        clock: Clock,
        session_token: str | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self._wire = Wire(destination, access_key, http, clock=clock, session_token=session_token)
        self._dialect = dialect or dialect_of(destination.endpoint)

    @property
    def destination(self) -> Destination:
        """Where requests go: as given, or in the region the bucket has named since."""
        return self._wire.destination

    # --- Bucket ------------------------------------------------------------------------------------------------------

    async def put(self, key: str, blob: Blob, options: PutOptions) -> Answer:
        body = await asyncio.to_thread(_read_unaltered, blob)
        headers = _storing(options)
        # The blob's MD5 was taken together with its SHA-256, which was just found to be right.
        headers["Content-MD5"] = base64_of(bytes.fromhex(blob.md5))
        if self._dialect.takes_checksum:
            headers[_CHECKSUM] = base64_of(bytes.fromhex(blob.sha256))
        reply = await self._wire.exchange("PUT", key, headers=headers, body=body, payload_sha256=blob.sha256)
        if not reply.is_success:
            raise self._refusal_of(reply, options)
        await self._make_sure_of_lock(key, reply.headers.get("x-amz-version-id"), options)
        sse = reply.headers.get(_SSE)
        return Answer(
            etag=reply.headers.get("ETag"),
            version_id=reply.headers.get("x-amz-version-id"),
            request_id=reply.headers.get("x-amz-request-id"),
            checksum_sha256=reply.headers.get(_CHECKSUM),
            sse_algorithm=sse,
            sse_kms_key_id=reply.headers.get(_KMS_KEY),
            etag_is_md5=self._dialect.etag_is_md5 and not _hides_md5(sse),
        )

    async def head(self, key: str) -> ObjectFacts | None:
        headers = {"x-amz-checksum-mode": "ENABLED"} if self._dialect.takes_checksum else None
        reply = await self._wire.exchange("HEAD", key, headers=headers)
        if reply.status == 404:
            return None
        if not reply.is_success:
            raise self._wire.refusal(reply)
        length = reply.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise BucketStumbled("NoContentLength", "the answer does not say how long the object is", status=200)
        return ObjectFacts(
            size_bytes=int(length),
            etag=reply.headers.get("ETag"),
            checksum_sha256=reply.headers.get(_CHECKSUM),
            sse_algorithm=reply.headers.get(_SSE),
            version_id=reply.headers.get("x-amz-version-id"),
            content_type=reply.headers.get("Content-Type", "application/octet-stream"),
            sse_kms_key_id=reply.headers.get(_KMS_KEY),
            metadata=_metadata_in(reply.headers),
            lock=_lock_in(reply.headers),
        )

    @property
    def may_hide_md5(self) -> bool:
        """Whether even an ETag of 32 digits need not be the MD5 of what it stands for."""
        return not self._dialect.etag_is_md5

    async def read(
        self, key: str, start: int = 0, stop: int | None = None, *, version_id: str | None = None
    ) -> AsyncIterator[bytes]:
        ranged = start > 0 or stop is not None
        if stop is not None and stop <= start:
            return
        headers = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if ranged else {}
        try:
            async with self._wire.stream(key, headers, _version(version_id)) as response:
                if ranged and response.status != 206:
                    raise BucketStumbled("RangeIgnored", "the bucket sent the whole object", status=response.status)
                async for piece in pieces(response):
                    yield piece
        except BucketStumbled as error:
            if error.status == 404 and error.code == "NoSuchKey":
                raise NotFound("The bucket holds no object of this key") from error
            if error.status == 416:
                facts = await self.head(key)
                raise RangeNotSatisfiable(facts.size_bytes if facts else 0) from error
            raise

    async def delete(self, key: str) -> None:
        reply = await self._wire.exchange("DELETE", key)
        if not reply.is_success:
            _unless_gone(self._wire.refusal(reply), {"NoSuchKey"})

    async def hold(self, key: str, *, version_id: str | None, is_on: bool) -> None:
        """Set or lift S3's legal hold of an object. Needs s3:PutObjectLegalHold. Raises as `put`."""
        body = LEGAL_HOLD if is_on else NO_LEGAL_HOLD
        await self._put_lock(key, version_id, "legal-hold", body)

    async def remove(self, key: str, *, version_id: str | None) -> None:
        """Remove the object's bytes, not only hide them behind a marker. May be repeated.

        In a bucket that keeps versions a plain DELETE leaves every byte where it is. So the version we stored is
        named, and whatever comes to light below it, since a put whose answer was lost was sent again; and the version
        of before versioning was switched on. Where looking is not allowed, the answer to the DELETE is all there is.
        Needs s3:DeleteObject, and s3:DeleteObjectVersion for what has a version. Raises as `put`.
        """
        for _ in range(MOST_VERSIONS):
            query = [("versionId", version_id)] if version_id else []
            reply = await self._wire.exchange("DELETE", key, query=query)
            if not reply.is_success:
                _unless_gone(self._wire.refusal(reply), {"NoSuchKey", "NoSuchVersion"})
            if version_id is None and reply.headers.get("x-amz-delete-marker") == "true":
                version_id = "null"
                continue
            try:
                left = await self.head(key)
            except BucketStumbled as why:
                if why.status == 403:
                    return
                raise
            if left is None:
                return
            version_id = left.version_id
        raise BucketStumbled("StillThere", "the bucket keeps showing the object after it was deleted", status=200)

    def presign_get(
        self, key: str, *, expires_s: int, response_content_type: str | None = None, filename: str | None = None
    ) -> str:
        """A URL that gives the object to whoever holds it, for so many seconds (1 to 604,800, else `ValueError`).

        The bucket answers with this content type, and as a download of this name, when they are given.
        No request is made; whether the key may read shows when the URL is used.
        """
        query = {}
        if response_content_type is not None:
            query["response-content-type"] = response_content_type
        if filename is not None:
            query["response-content-disposition"] = f'attachment; filename="{_NOT_IN_A_FILENAME.sub("_", filename)}"'
        return self._wire.signer.presign("GET", self.destination.url_of(key), query, expires_s=expires_s)

    # --- The bucket itself: for the doctor ---------------------------------------------------------------------------

    async def probe(self, key: str) -> Reply:
        """The plain answer to a GET of a key, whatever it says. Raises `BucketUnreachable` and `AddressBlocked`."""
        return await self._wire.exchange("GET", key)

    async def read_cors(self) -> bytes | None:
        """The bucket's CORS configuration as it is, None when there is none. Needs s3:GetBucketCORS."""
        try:
            return (await self._wire.ask("GET", "", query=[("cors", "")])).body
        except BucketStumbled as why:
            if why.code in ("NoSuchCORSConfiguration", "NoSuchCORS", "NoSuchConfiguration"):
                return None
            raise

    async def write_cors(self, document: bytes) -> None:
        """Put this CORS configuration in the place of the one there is. Needs s3:PutBucketCORS."""
        await self._wire.ask(
            "PUT",
            "",
            query=[("cors", "")],
            headers={
                "Content-Type": "application/xml",
                "Content-MD5": base64_of(hashlib.md5(document, usedforsecurity=False).digest()),
            },
            body=document,
            payload_sha256=hashlib.sha256(document).hexdigest(),
        )

    async def keeps_versions(self) -> bool:
        """Whether the bucket keeps versions now. Needs s3:GetBucketVersioning."""
        reply = await self._wire.ask("GET", "", query=[("versioning", "")])
        # moto names its answer after the call; what it says of the status is the same.
        answer = _document(reply, "VersioningConfiguration", "GetBucketVersioningResponse")
        return answer.text("Status") == "Enabled"

    async def has_object_lock(self) -> bool:
        """Whether the bucket has Object Lock. Needs s3:GetBucketObjectLockConfiguration."""
        try:
            reply = await self._wire.ask("GET", "", query=[("object-lock", "")])
        except BucketStumbled as why:
            if why.status == 404:
                return False
            raise
        return _document(reply, "ObjectLockConfiguration").text("ObjectLockEnabled") == "Enabled"

    # --- MultipartBucket ---------------------------------------------------------------------------------------------

    async def begin_upload(self, key: str, options: PutOptions) -> str:
        headers = _storing(options)
        if self._dialect.takes_checksum:
            headers["x-amz-checksum-algorithm"] = "SHA256"
        reply = await self._wire.exchange("POST", key, query=[("uploads", "")], headers=headers)
        if not reply.is_success:
            raise self._refusal_of(reply, options)
        upload_id = _document(reply, "InitiateMultipartUploadResult").text("UploadId")
        if not upload_id:
            raise _cut_short(reply)
        return upload_id

    async def finish_upload(self, key: str, upload_id: str, blob: Blob, options: PutOptions) -> Answer:
        return await self._send_and_complete(key, upload_id, blob, options, held={})

    async def resume_upload(self, key: str, upload_id: str, blob: Blob, options: PutOptions) -> Answer:
        try:
            held = await self._held_parts(key, upload_id)
        except BucketStumbled as error:
            raise _as_gone(error) from error.__cause__
        return await self._send_and_complete(key, upload_id, blob, options, held)

    async def abort_upload(self, key: str, upload_id: str) -> None:
        reply = await self._wire.exchange("DELETE", key, query=[("uploadId", upload_id)])
        if not reply.is_success:
            _unless_gone(self._wire.refusal(reply), _UPLOAD_GONE)

    async def list_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]:
        after: list[tuple[str, str]] = []
        while True:
            query = [("uploads", ""), ("prefix", prefix), *after]
            page = _document(
                await self._wire.ask("GET", "", query=query, limit=LISTING_BYTES), "ListMultipartUploadsResult"
            )
            for upload in page.children("Upload"):
                key, upload_id = upload.text("Key"), upload.text("UploadId")
                if key and upload_id and key.startswith(prefix):
                    yield OpenUpload(key, upload_id, _time(upload.text("Initiated")))
            here = [
                ("key-marker", page.text("NextKeyMarker") or ""),
                ("upload-id-marker", page.text("NextUploadIdMarker") or ""),
            ]
            if page.text("IsTruncated") != "true" or here == after:
                return
            after = here

    async def list_contents(self, prefix: str) -> AsyncIterator[Listed]:
        """Every content under keys that begin with the prefix, all versions of a key one after the other.

        Where versions may not be listed, or are not known, the current contents alone. For examinations: needs more
        than a delivery. Raises `BucketRefused` or `BucketStumbled` where nothing may be listed, as `put` else.
        """
        try:
            async for listed in self._list("versions", "ListVersionsResult", "Version", prefix):
                yield listed
            return
        except (BucketRefused, BucketStumbled) as error:
            if error.status not in _LISTING_DENIED:
                raise
        async for listed in self._list("list-type", "ListBucketResult", "Contents", prefix):
            yield listed

    async def _list(self, verb: str, document: str, element: str, prefix: str) -> AsyncIterator[Listed]:
        after: list[tuple[str, str]] = []
        while True:
            query = [(verb, "2" if verb == "list-type" else ""), ("prefix", prefix), *after]
            page = _document(await self._wire.ask("GET", "", query=query, limit=LISTING_BYTES), document)
            for one in page.children(element):
                key, size = one.text("Key"), one.text("Size") or ""
                if key and key.startswith(prefix) and size.isdecimal():
                    version_id = one.text("VersionId")
                    yield Listed(key, int(size), one.text("ETag") or "", None if version_id == "null" else version_id)
            marks = [
                ("continuation-token", page.text("NextContinuationToken")),
                ("key-marker", page.text("NextKeyMarker")),
                ("version-id-marker", page.text("NextVersionIdMarker")),
            ]
            here = [(name, mark) for name, mark in marks if mark]
            if page.text("IsTruncated") != "true" or not here or here == after:
                return
            after = here

    def _refusal_of(self, reply: Reply, options: PutOptions) -> Exception:
        """The error of a put or begin. One that says there is no Object Lock is the bucket's no, not a mistake."""
        return self._refusal_of_lock(reply) if options.lock is not None else self._wire.refusal(reply)

    def _refusal_of_lock(self, reply: Reply) -> Exception:
        error = self._wire.refusal(reply)
        if not isinstance(error, BucketStumbled) or not _says_no_lock(error):
            return error
        return BucketRefused(
            error.code,
            "The bucket has no Object Lock. Turn it on for the bucket, or take ObjectLockMode and "
            "ObjectLockLegalHold out of the recording settings",
            status=error.status,
            request_id=error.request_id,
        )

    async def _make_sure_of_lock(self, key: str, version_id: str | None, options: PutOptions) -> None:
        """Ask again, and be answered, where the headers of a put may be ignored. Harmless when it is locked."""
        lock = options.lock
        if lock is None or self._dialect.keeps_lock_headers:
            return
        bodies = {"legal-hold": LEGAL_HOLD} if lock.legal_hold else {}
        if lock.mode and lock.until:
            bodies["retention"] = retention(lock.mode, lock.until)
        for name, body in bodies.items():
            reply = await self._put_document(key, name, version_id, body)
            if not reply.is_success:
                raise self._refusal_of(reply, options)
            if reply.headers.get("ETag"):
                # Only storing an object is answered with one: a server that does not know the query has
                # taken our request for the recording itself. Whatever lies there now is no delivery.
                raise BucketStumbled("LockNotKnown", "the provider does not know Object Lock", status=reply.status)

    async def _put_lock(self, key: str, version_id: str | None, name: str, body: bytes) -> None:
        reply = await self._put_document(key, name, version_id, body)
        if not reply.is_success:
            raise self._refusal_of_lock(reply)
        if reply.headers.get("ETag"):
            raise BucketStumbled("LockNotKnown", "the provider does not know Object Lock", status=reply.status)

    async def _put_document(self, key: str, name: str, version_id: str | None, body: bytes) -> Reply:
        return await self._wire.exchange(
            "PUT",
            key,
            query=[(name, ""), *_version(version_id)],
            headers={
                "Content-Type": "application/xml",
                "Content-MD5": base64_of(hashlib.md5(body, usedforsecurity=False).digest()),
            },
            body=body,
            payload_sha256=hashlib.sha256(body).hexdigest(),
        )

    async def _send_and_complete(
        self, key: str, upload_id: str, blob: Blob, options: PutOptions, held: Mapping[int, HeldPart]
    ) -> Answer:
        try:
            parts = await send_parts(blob, partial(self._send_part, key, upload_id, held))
            answer = await self._complete(key, upload_id, parts)
            await self._make_sure_of_lock(key, answer.version_id, options)
            return answer
        except (asyncio.CancelledError, PromiseBroken):
            await self._leave_nothing(key, upload_id)
            raise
        except BucketStumbled as error:
            raise _as_gone(error) from error.__cause__

    async def _send_part(self, key: str, upload_id: str, held: Mapping[int, HeldPart], part: Part) -> SentPart:
        there = held.get(part.number)
        if there is not None and there.holds(part):
            return SentPart(part.number, there.etag, part.sha256, part.md5)
        headers = {"Content-MD5": base64_of(part.md5)}
        if self._dialect.takes_checksum:
            headers[_CHECKSUM] = base64_of(part.sha256)
        reply = await self._wire.ask(
            "PUT",
            key,
            query=[("partNumber", str(part.number)), ("uploadId", upload_id)],
            headers=headers,
            body=part.body,
            payload_sha256=part.sha256.hex(),
        )
        etag = reply.headers.get("ETag")
        if not etag:
            raise BucketStumbled("NoETag", "the part's answer has no ETag", status=reply.status)
        return SentPart(part.number, etag, part.sha256, part.md5, reply.headers.get(_SSE), reply.headers.get(_KMS_KEY))

    async def _complete(self, key: str, upload_id: str, parts: list[SentPart]) -> Answer:
        checked = self._dialect.takes_checksum
        body = completion([CompletedPart(p.number, p.etag, base64_of(p.sha256) if checked else None) for p in parts])
        reply = await self._wire.ask(
            "POST",
            key,
            query=[("uploadId", upload_id)],
            headers={"Content-Type": "application/xml"},
            body=body,
            payload_sha256=hashlib.sha256(body).hexdigest(),
        )
        document = _document(reply, "CompleteMultipartUploadResult")
        sse = reply.headers.get(_SSE) or parts[-1].sse_algorithm
        checksum = document.text("ChecksumSHA256") or reply.headers.get(_CHECKSUM)
        composite = composite_of(parts)
        return Answer(
            etag=document.text("ETag") or reply.headers.get("ETag"),
            version_id=reply.headers.get("x-amz-version-id"),
            request_id=reply.headers.get("x-amz-request-id"),
            checksum_sha256=checksum,
            checksum_is_composite=document.text("ChecksumType") != "FULL_OBJECT",
            # Some servers leave the number of parts off.
            expected_composite=composite if checksum and "-" in checksum else composite.partition("-")[0],
            part_md5s_match=all(p.etag_matches for p in parts),
            sse_algorithm=sse,
            sse_kms_key_id=reply.headers.get(_KMS_KEY) or parts[-1].sse_kms_key_id,
            etag_is_md5=self._dialect.part_etag_is_md5 and not _hides_md5(sse) and all(p.etag_is_an_md5 for p in parts),
        )

    async def _held_parts(self, key: str, upload_id: str) -> dict[int, HeldPart]:
        """What ListParts says, or nothing where it may not be asked: a credential may be for writing alone."""
        held: dict[int, HeldPart] = {}
        marker = ""
        while True:
            query = [("uploadId", upload_id), *([("part-number-marker", marker)] if marker else [])]
            try:
                reply = await self._wire.ask("GET", key, query=query, limit=LISTING_BYTES)
            except BucketRefused:
                return {}  # if it refuses more than the listing, the first part will say so
            except BucketStumbled as error:
                if error.status in _LISTING_DENIED:
                    return {}
                raise
            page = _document(reply, "ListPartsResult", "ListPartsResponse")  # moto has the second
            for part in page.children("Part"):
                held[int(part.text("PartNumber") or 0)] = HeldPart(
                    part.text("ETag") or "", int(part.text("Size") or -1), part.text("ChecksumSHA256")
                )
            following = page.text("NextPartNumberMarker") or ""
            if page.text("IsTruncated") != "true" or following in ("", marker):
                return held
            marker = following

    async def _leave_nothing(self, key: str, upload_id: str) -> None:
        try:
            async with asyncio.timeout(ABORT_S):
                await self.abort_upload(key, upload_id)
        except (NotNow, Final, TimeoutError):
            pass  # the error under way matters more; the sweep aborts what is left


def _version(version_id: str | None) -> list[tuple[str, str]]:
    return [("versionId", version_id)] if version_id else []


def _read_unaltered(blob: Blob) -> bytes:
    body = blob.read(0, blob.size_bytes)
    if len(body) != blob.size_bytes or hashlib.sha256(body).hexdigest() != blob.sha256:
        raise BlobAltered
    return body


def _storing(options: PutOptions) -> dict[str, str]:
    headers = {"Content-Type": options.content_type}
    if options.sse_algorithm:
        headers[_SSE] = options.sse_algorithm
    if options.sse_kms_key_id:
        headers[_KMS_KEY] = options.sse_kms_key_id
    if options.storage_class:
        headers["x-amz-storage-class"] = options.storage_class
    headers |= {f"{_META}{name}": value for name, value in options.metadata.items()}
    if options.lock is not None:
        headers |= options.lock.headers
    return headers


def _says_no_lock(error: BucketStumbled) -> bool:
    """AWS: InvalidRequest, "Bucket is missing Object Lock Configuration". Ceph says InvalidRequest alone."""
    return error.code == "InvalidRequest" and ("lock" in error.message.lower() or error.message == error.code)


def _metadata_in(headers: Mapping[str, str]) -> dict[str, str]:
    return {n.lower().removeprefix(_META): v for n, v in headers.items() if n.lower().startswith(_META)}


def _lock_in(headers: Mapping[str, str]) -> ObjectLock | None:
    mode, until = headers.get(f"{_LOCK}-mode"), headers.get(f"{_LOCK}-retain-until-date")
    legal_hold = headers.get(f"{_LOCK}-legal-hold") == "ON"
    if not (mode and until) and not legal_hold:
        return None
    return ObjectLock(
        mode=LockMode(mode) if mode in tuple(LockMode) else None,
        retain_until=_time(until) if until else None,
        legal_hold=legal_hold,
    )


def _hides_md5(sse: str | None) -> bool:
    """Objects under a customer's key have ETags that are no MD5; those under S3's own key (AES256) do."""
    return sse is not None and sse.startswith("aws:kms")


def _document(reply: Reply, *names: str) -> Document:
    """The answer's document of one of these names. A success without it was cut short: not one to believe."""
    try:
        document = read_document(reply.body, limit=LISTING_BYTES)
    except NotADocument as why:
        raise _cut_short(reply) from why
    if document.name not in names:
        raise _cut_short(reply)
    return document


def _cut_short(reply: Reply) -> BucketStumbled:
    return BucketStumbled(
        "AnswerCutShort",
        "a success without its document",
        status=reply.status,
        request_id=reply.headers.get("x-amz-request-id"),
    )


def _unless_gone(error: Exception, codes: Set[str]) -> None:
    if not (isinstance(error, BucketStumbled) and error.code in codes):
        raise error


def _as_gone(error: BucketStumbled) -> BucketStumbled:
    """The same error, under the one name for an upload that is gone."""
    if error.code not in _UPLOAD_GONE:
        return error
    return BucketStumbled("NoSuchUpload", error.message, status=error.status, request_id=error.request_id)


def _time(text: str | None) -> datetime:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError as why:
        # Whether the sweep may abort an upload hangs on its age, so no age is guessed.
        raise BucketStumbled("AnswerUnreadable", f"{text!r:.40} is not a time") from why
    return at if at.tzinfo else at.replace(tzinfo=UTC)
