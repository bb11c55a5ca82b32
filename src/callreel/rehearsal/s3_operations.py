"""What the embedded S3 can do: one function an operation, and the table that finds it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree import ElementTree

from aiohttp import ClientPayloadError, web

from callreel.clock import Clock
from callreel.rehearsal.s3_cors import read_rules
from callreel.rehearsal.s3_shelf import MIN_PART_BYTES, BucketShelf, Content, S3Shelf, Upload, Version
from callreel.rehearsal.s3_words import Field, S3Refusal, answer_document

DOCUMENT_BYTES = 2 << 20  # a completion of 10,000 parts with checksums has about 1.6 MB
READ_BYTES = 256 << 10
MAX_PUT_BYTES = 5 << 30  # S3's
MAX_PARTS = 10_000
PAGE = 1000

_CHECKSUM = "x-amz-checksum-sha256"
_SSE = "x-amz-server-side-encryption"
_KMS_KEY = f"{_SSE}-aws-kms-key-id"
_KEPT_HEADERS = ("Content-Type", "Content-Disposition", "Cache-Control", _SSE, _KMS_KEY, "x-amz-storage-class")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request."""

    request: web.BaseRequest
    shelf: S3Shelf
    bucket_name: str
    key: str
    query: Mapping[str, str]
    clock: Clock
    region: str
    echoes_checksums: bool
    cors_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> BucketShelf:
        return self.shelf.bucket(self.bucket_name)

    @property
    def now(self) -> str:
        return self.clock.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    def kept_headers(self) -> dict[str, str]:
        """What is kept with an object. Raises `S3Refusal` for what these buckets do not have."""
        if any(n.lower().startswith("x-amz-object-lock-") for n in self.request.headers):
            raise S3Refusal(400, "InvalidRequest", "Bucket is missing Object Lock Configuration")
        kept = {n: self.request.headers[n] for n in _KEPT_HEADERS if n in self.request.headers}
        return kept | {n.lower(): v for n, v in self.request.headers.items() if n.lower().startswith("x-amz-meta-")}


Operation = Callable[[Asked], Awaitable[web.StreamResponse]]


# --- Bodies ----------------------------------------------------------------------------------------------------------


async def receive(asked: Asked) -> Content:
    """The body, on disk, and exactly what its headers say it is. Raises `S3Refusal`."""
    length = asked.request.content_length
    if length is None:
        raise S3Refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if length > MAX_PUT_BYTES:
        raise S3Refusal(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    declared = declared_sha256(asked)
    try:
        content = await asked.shelf.take_in(_pieces(asked.request))
    except (ClientPayloadError, ConnectionError) as why:
        raise S3Refusal(400, "IncompleteBody", "The request body terminated unexpectedly") from why
    try:
        _check_digests(asked, content, declared)
    except S3Refusal:
        content.path.unlink()
        raise
    return content


def declared_sha256(asked: Asked) -> str | None:
    """The payload hash the request was signed with, None for an unsigned payload. Raises `S3Refusal`."""
    declared = asked.header("x-amz-content-sha256")
    if declared is None and "X-Amz-Signature" not in asked.query:
        raise S3Refusal(400, "MissingSecurityHeader", "Your request is missing a required header")
    if declared in (None, "UNSIGNED-PAYLOAD"):
        return None
    if not re.fullmatch("[0-9a-f]{64}", declared or ""):
        raise S3Refusal(501, "NotImplemented", "aws-chunked bodies are not implemented")
    return declared


async def _document(asked: Asked) -> bytes:
    declared = declared_sha256(asked)
    body = b""
    async for piece in _pieces(asked.request):
        body += piece
        if len(body) > DOCUMENT_BYTES:
            raise S3Refusal(400, "MalformedXML", "The XML you provided is too large")
    if declared is not None and hashlib.sha256(body).hexdigest() != declared:
        raise _hash_mismatch()
    if b"<!" in body:
        raise S3Refusal(400, "MalformedXML", "The XML you provided was not well-formed")
    return body


async def _pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    while piece := await request.content.readany():
        yield piece


def _check_digests(asked: Asked, content: Content, declared: str | None) -> None:
    if declared is not None and declared != content.sha256:
        raise _hash_mismatch()
    md5 = asked.header("Content-MD5")
    if md5 is not None and _from_base64(md5) != bytes.fromhex(content.md5):
        raise S3Refusal(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    checksum = asked.header(_CHECKSUM)
    if checksum is not None and _from_base64(checksum) != bytes.fromhex(content.sha256):
        raise S3Refusal(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")


def _hash_mismatch() -> S3Refusal:
    message = "The provided 'x-amz-content-sha256' header does not match what was computed."
    return S3Refusal(400, "XAmzContentSHA256Mismatch", message)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as why:
        raise S3Refusal(400, "InvalidDigest", "The digest you specified is not valid.") from why


def _base64(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode()


# --- Objects ---------------------------------------------------------------------------------------------------------


async def put_object(asked: Asked) -> web.StreamResponse:
    bucket = asked.bucket
    content = await receive(asked)
    headers = asked.kept_headers()
    echoed = {n: headers[n] for n in (_SSE, _KMS_KEY) if n in headers}
    if asked.header(_CHECKSUM) and asked.echoes_checksums:
        headers[_CHECKSUM] = echoed[_CHECKSUM] = _base64(content.sha256)
    etag = f'"{_etag_of(content.md5, headers)}"'
    bucket.put(asked.key, content, etag=etag, stored_at=asked.now, headers=headers)
    return web.Response(headers={"ETag": etag, **echoed})


async def head_object(asked: Asked) -> web.StreamResponse:
    version = _current(asked)
    headers = _object_headers(asked, version)
    return web.Response(headers={**headers, "Content-Length": str(version.size_bytes)})


async def get_object(asked: Asked) -> web.StreamResponse:
    version = _current(asked)
    start, stop, status = _range_of(asked.header("Range"), version.size_bytes)
    headers = _object_headers(asked, version) | dict(asked.cors_headers)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{version.size_bytes}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = stop - start
    with asked.bucket.path_of(version.content_id).open("rb") as file:
        await response.prepare(asked.request)
        file.seek(start)
        while start < stop:
            piece = file.read(min(READ_BYTES, stop - start))
            await response.write(piece)
            start += len(piece)
    return response


async def delete_object(asked: Asked) -> web.StreamResponse:
    asked.bucket.delete(asked.key)
    return web.Response(status=204)


def _current(asked: Asked) -> Version:
    version = asked.bucket.current.get(asked.key)
    if version is None:
        raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.", extra=[("Key", asked.key)])
    return version


def _object_headers(asked: Asked, version: Version) -> dict[str, str]:
    headers = {"Content-Type": "binary/octet-stream", **version.headers}
    if asked.header("x-amz-checksum-mode") != "ENABLED":
        headers.pop(_CHECKSUM, None)
    for name in ("Content-Type", "Content-Disposition", "Cache-Control"):
        if f"response-{name.lower()}" in asked.query:
            headers[name] = asked.query[f"response-{name.lower()}"]
    headers |= {"ETag": version.etag, "Accept-Ranges": "bytes"}
    headers["Last-Modified"] = format_datetime(datetime.fromisoformat(version.stored_at), usegmt=True)
    return headers


def _range_of(header: str | None, size: int) -> tuple[int, int, int]:
    match = _RANGE.fullmatch(header or "")
    if match is None or match.group(0) == "bytes=-":
        return 0, size, 200
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or stop <= start:
        raise S3Refusal(416, "InvalidRange", "The requested range is not satisfiable")
    return start, stop, 206


def _etag_of(md5: str, headers: Mapping[str, str]) -> str:
    """The MD5, except under a customer's key, where S3's ETag is not one."""
    if headers.get(_SSE, "").startswith("aws:kms"):
        return hashlib.md5(f"kms{md5}".encode(), usedforsecurity=False).hexdigest()
    return md5


# --- Multipart uploads -----------------------------------------------------------------------------------------------


async def create_multipart_upload(asked: Asked) -> web.StreamResponse:
    upload = Upload(
        upload_id=secrets.token_urlsafe(24),
        key=asked.key,
        initiated=asked.now,
        headers=asked.kept_headers(),
        wants_checksum=asked.header("x-amz-checksum-algorithm") == "SHA256",
    )
    asked.bucket.uploads[upload.upload_id] = upload
    fields: list[Field] = [("Bucket", asked.bucket_name), ("Key", asked.key), ("UploadId", upload.upload_id)]
    return _xml("InitiateMultipartUploadResult", fields, _sse_of(upload))


async def upload_part(asked: Asked) -> web.StreamResponse:
    upload = asked.bucket.upload_of(asked.key, asked.query["uploadId"])
    number = asked.query.get("partNumber", "")
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= MAX_PARTS):
        raise S3Refusal(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    content = await receive(asked)
    before = upload.parts.get(int(number))
    upload.parts[int(number)] = content
    if before is not None:
        before.path.unlink(missing_ok=True)
    headers = {"ETag": f'"{_etag_of(content.md5, upload.headers)}"', **_sse_of(upload)}
    if asked.header(_CHECKSUM) and asked.echoes_checksums:
        headers[_CHECKSUM] = _base64(content.sha256)
    return web.Response(headers=headers)


async def list_parts(asked: Asked) -> web.StreamResponse:
    upload = asked.bucket.upload_of(asked.key, asked.query["uploadId"])
    marker = asked.query.get("part-number-marker", "0")
    numbers = sorted(n for n in upload.parts if n > (int(marker) if marker.isdigit() else 0))
    fields: list[Field] = [("Key", asked.key), ("UploadId", upload.upload_id)]
    fields += [
        ("IsTruncated", _flag(len(numbers) > PAGE)),
        ("NextPartNumberMarker", str(max(numbers[:PAGE], default=0))),
    ]
    for number in numbers[:PAGE]:
        part = upload.parts[number]
        described: list[Field] = [("PartNumber", str(number)), ("Size", str(part.size_bytes))]
        described.append(("ETag", f'"{_etag_of(part.md5, upload.headers)}"'))
        if upload.wants_checksum and asked.echoes_checksums:
            described.append(("ChecksumSHA256", _base64(part.sha256)))
        fields.append(("Part", described))
    return _xml("ListPartsResult", fields)


async def complete_multipart_upload(asked: Asked) -> web.StreamResponse:
    bucket = asked.bucket
    upload = bucket.upload_of(asked.key, asked.query["uploadId"])
    parts = _named_parts(upload, await _document(asked))
    content = await asyncio.to_thread(asked.shelf.join, parts)
    headers = dict(upload.headers)
    composite = hashlib.sha256(b"".join(bytes.fromhex(p.sha256) for p in parts)).hexdigest()
    if upload.wants_checksum and asked.echoes_checksums:
        headers[_CHECKSUM] = f"{_base64(composite)}-{len(parts)}"
    of_md5s = hashlib.md5(b"".join(bytes.fromhex(p.md5) for p in parts), usedforsecurity=False).hexdigest()
    etag = f'"{_etag_of(of_md5s, headers)}-{len(parts)}"'
    bucket.put(asked.key, content, etag=etag, stored_at=asked.now, headers=headers)
    bucket.drop_upload(upload)
    fields: list[Field] = [("Bucket", asked.bucket_name), ("Key", asked.key), ("ETag", etag)]
    if _CHECKSUM in headers:
        fields += [("ChecksumSHA256", headers[_CHECKSUM]), ("ChecksumType", "COMPOSITE")]
    return _xml("CompleteMultipartUploadResult", fields, _sse_of(upload))


async def abort_multipart_upload(asked: Asked) -> web.StreamResponse:
    bucket = asked.bucket
    bucket.drop_upload(bucket.upload_of(asked.key, asked.query["uploadId"]))
    return web.Response(status=204)


async def list_multipart_uploads(asked: Asked) -> web.StreamResponse:
    prefix = asked.query.get("prefix", "")
    after = (asked.query.get("key-marker", ""), asked.query.get("upload-id-marker", ""))
    found = sorted((u.key, u.upload_id, u.initiated) for u in asked.bucket.uploads.values() if u.key.startswith(prefix))
    found = [u for u in found if u[:2] > after]
    last = found[:PAGE][-1] if found else ("", "", "")
    fields: list[Field] = [("Bucket", asked.bucket_name), ("Prefix", prefix), ("IsTruncated", _flag(len(found) > PAGE))]
    fields += [("NextKeyMarker", last[0]), ("NextUploadIdMarker", last[1])]
    for key, upload_id, initiated in found[:PAGE]:
        fields.append(("Upload", [("Key", key), ("UploadId", upload_id), ("Initiated", initiated)]))
    return _xml("ListMultipartUploadsResult", fields)


def _named_parts(upload: Upload, document: bytes) -> list[Content]:
    """The parts a completion names, in its order. Raises `S3Refusal` for any that is not exactly there."""
    try:
        root = ElementTree.fromstring(document)  # noqa: S314  (bounded, and without a DOCTYPE)
        named = [{child.tag.rpartition("}")[2]: (child.text or "").strip() for child in part} for part in root]
        numbers = [int(part["PartNumber"]) for part in named]
    except (ElementTree.ParseError, KeyError, ValueError) as why:
        raise S3Refusal(400, "MalformedXML", "The XML you provided was not well-formed") from why
    if not numbers:
        raise S3Refusal(400, "MalformedXML", "The XML you provided names no parts")
    if numbers != sorted(set(numbers)):
        raise S3Refusal(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    parts = []
    for number, part in zip(numbers, named, strict=True):
        content = upload.parts.get(number)
        checksum = part.get("ChecksumSHA256")
        if (
            content is None
            or part.get("ETag", "").strip('"') != _etag_of(content.md5, upload.headers)
            or (checksum is not None and checksum != _base64(content.sha256))
        ):
            raise S3Refusal(400, "InvalidPart", "One or more of the specified parts could not be found.")
        parts.append(content)
    if any(part.size_bytes < MIN_PART_BYTES for part in parts[:-1]):
        raise S3Refusal(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
    return parts


def _sse_of(upload: Upload) -> dict[str, str]:
    return {n: v for n, v in upload.headers.items() if n in (_SSE, _KMS_KEY)}


# --- Buckets ---------------------------------------------------------------------------------------------------------


async def create_bucket(asked: Asked) -> web.StreamResponse:
    asked.shelf.create(asked.bucket_name)
    return web.Response(headers={"Location": f"/{asked.bucket_name}"})


async def head_bucket(asked: Asked) -> web.StreamResponse:
    asked.shelf.bucket(asked.bucket_name)
    return web.Response(headers={"x-amz-bucket-region": asked.region})


async def get_bucket_location(asked: Asked) -> web.StreamResponse:
    asked.shelf.bucket(asked.bucket_name)
    region = "" if asked.region == "us-east-1" else asked.region
    return web.Response(
        body=answer_document("LocationConstraint", []).replace(b"></", f">{region}</".encode()),
        content_type="application/xml",
    )


async def list_objects(asked: Asked) -> web.StreamResponse:
    prefix = asked.query.get("prefix", "")
    after = asked.query.get("continuation-token") or asked.query.get("start-after", "")
    keys = sorted(k for k in asked.bucket.current if k.startswith(prefix) and k > after)
    fields: list[Field] = [("Name", asked.bucket_name), ("Prefix", prefix), ("KeyCount", str(len(keys[:PAGE])))]
    fields += [("MaxKeys", str(PAGE)), ("IsTruncated", _flag(len(keys) > PAGE))]
    if len(keys) > PAGE:
        fields.append(("NextContinuationToken", keys[PAGE - 1]))
    for key in keys[:PAGE]:
        version = asked.bucket.current[key]
        described: list[Field] = [("Key", key), ("LastModified", version.stored_at), ("ETag", version.etag)]
        fields.append(("Contents", [*described, ("Size", str(version.size_bytes)), ("StorageClass", "STANDARD")]))
    return _xml("ListBucketResult", fields)


async def get_bucket_cors(asked: Asked) -> web.StreamResponse:
    document = asked.bucket.cors
    if document is None:
        raise S3Refusal(404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")
    return web.Response(text=document, content_type="application/xml")


async def put_bucket_cors(asked: Asked) -> web.StreamResponse:
    bucket = asked.bucket
    document = (await _document(asked)).decode()
    read_rules(document)
    bucket.set_cors(document)
    return web.Response()


async def delete_bucket_cors(asked: Asked) -> web.StreamResponse:
    asked.bucket.set_cors(None)
    return web.Response(status=204)


def _xml(name: str, fields: list[Field], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=answer_document(name, fields), content_type="application/xml", headers=headers)


def _flag(value: bool) -> str:
    return "true" if value else "false"


# --- The table -------------------------------------------------------------------------------------------------------

OPERATIONS: dict[str, Operation] = {
    "AbortMultipartUpload": abort_multipart_upload,
    "CompleteMultipartUpload": complete_multipart_upload,
    "CreateBucket": create_bucket,
    "CreateMultipartUpload": create_multipart_upload,
    "DeleteBucketCors": delete_bucket_cors,
    "DeleteObject": delete_object,
    "GetBucketCors": get_bucket_cors,
    "GetBucketLocation": get_bucket_location,
    "GetObject": get_object,
    "HeadBucket": head_bucket,
    "HeadObject": head_object,
    "ListMultipartUploads": list_multipart_uploads,
    "ListObjectsV2": list_objects,
    "ListParts": list_parts,
    "PutBucketCors": put_bucket_cors,
    "PutObject": put_object,
    "UploadPart": upload_part,
}

WRITING = frozenset(
    {"AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload", "PutObject", "UploadPart"}
)
"""What a user with `may="write"` is allowed: Twilio's own policy, put and multipart."""

_ON_OBJECTS = {
    ("PUT", "uploadId"): "UploadPart",
    ("PUT", ""): "PutObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("GET", "uploadId"): "ListParts",
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("DELETE", ""): "DeleteObject",
}
_ON_BUCKETS = {
    ("PUT", "cors"): "PutBucketCors",
    ("PUT", ""): "CreateBucket",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "cors"): "GetBucketCors",
    ("GET", "location"): "GetBucketLocation",
    ("GET", ""): "ListObjectsV2",
    ("HEAD", ""): "HeadBucket",
    ("DELETE", "cors"): "DeleteBucketCors",
}
# Some of what S3 has beyond this: answered with 501, not taken for a plain get or put.
_SUBRESOURCES = frozenset(
    {"acl", "attributes", "cors", "delete", "encryption", "legal-hold", "lifecycle", "location", "object-lock"}
    | {"policy", "publicAccessBlock", "replication", "restore", "retention", "select", "tagging", "uploadId"}
    | {"uploads", "versioning", "versions", "website"}
)


def operation_of(method: str, key: str, query: Mapping[str, str]) -> str:
    """The operation's name as S3 has it; empty for one that is not implemented here."""
    asked = sorted(_SUBRESOURCES & query.keys())
    if len(asked) > 1:
        return ""
    return (_ON_OBJECTS if key else _ON_BUCKETS).get((method, asked[0] if asked else ""), "")
