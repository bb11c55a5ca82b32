"""What S3 answered becomes one of our errors: the one table.

Fatal is only a well-formed error document whose code is on the list. Everything else, and everything unknown,
means: try again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from callreel.bucket.documents import NotADocument, read_document
from callreel.errors import AddressBlocked, BucketRefused, BucketStumbled, BucketUnreachable, NotNow

FATAL_CODES = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "EntityTooLarge",  # a quota or a bucket policy on size: our own sizes are within S3's limits
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidToken",
        "MethodNotAllowed",
        "NoSuchBucket",
        "SignatureDoesNotMatch",
        # The customer's encryption key. S3 passes the key service's exceptions on with this prefix.
        "KMS.AccessDeniedException",
        "KMS.DisabledException",
        "KMS.InvalidKeyUsageException",
        "KMS.InvalidStateException",
        "KMS.KMSInvalidStateException",  # pending deletion, or its key material was withdrawn
        "KMS.NotFoundException",
    }
)
"""Codes nobody but the bucket's owner can cure. Seen twice, they end a delivery."""

OUR_FAULT_CODES = frozenset({"InvalidArgument", "InvalidRequest", "MalformedXML", "MissingContentLength"})
"""Codes that speak of a mistake in callreel, or of a provider that lacks what was asked for: retried, and alarmed."""

# Not on any list, and so retried; named here because they look final:
# ExpiredToken (a fresh session token cures it), RequestTimeTooSkewed (our clock), NoSuchUpload (begin again),
# BadDigest, XAmzContentSHA256Mismatch, IncompleteBody (send again), KMS.ThrottlingException, NotImplemented.

_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_MESSAGE_CHARACTERS = 300


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None
) -> BucketRefused | BucketStumbled:
    """The error of an answer that does not mean "stored". The caller raises it.

    A status of 2xx with an error document is never fatal. `now` makes a Retry-After that is a date into seconds.
    """
    request_id = headers.get("x-amz-request-id")
    code, message, id_in_body = _read_error(body)
    request_id = request_id or id_in_body
    if code in FATAL_CODES and status >= 400:
        return BucketRefused(code, message, status=status, request_id=request_id)
    return BucketStumbled(
        code or f"Http{status}",
        message or ("" if code else "the answer is not one of S3's: a proxy or a gateway spoke"),
        status=status,
        request_id=request_id,
        retry_after_s=retry_after_s(headers, now=now),
    )


def is_error_document(body: bytes) -> bool:
    """Whether a body that came with 2xx says that it failed all the same."""
    try:
        return read_document(body).name == "Error"
    except NotADocument:
        return False


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Retry-After in seconds, or None when there is none that can be read. Never negative."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    if not value or now is None:
        return None
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def translate_transport_error(error: BaseException) -> NotNow:
    """The error of a request that got no whole answer. The caller raises it `from` the foreign one."""
    if isinstance(error.__cause__, AddressBlocked):
        return AddressBlocked(error.__cause__.message)
    if isinstance(error, TimeoutError):
        return BucketUnreachable("The bucket did not answer in time")
    if isinstance(error, aiohttp.ClientSSLError):
        return BucketUnreachable(f"The connection to the bucket could not be secured: {_kind(error)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return BucketUnreachable(f"The bucket could not be reached: {_kind(error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return BucketUnreachable("The bucket's answer was cut short")
    return BucketUnreachable(f"The connection to the bucket broke: {_kind(error)}")


TRANSPORT_ERRORS = (aiohttp.ClientError, OSError)
"""What a request may raise instead of answering (TimeoutError is an OSError); the guard's own word passes as it is."""


def _kind(error: BaseException) -> str:
    # The class and the system's words, not the text: aiohttp's texts may show whole URLs, signatures included.
    number = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__} {number}".strip()


def _read_error(body: bytes) -> tuple[str | None, str, str | None]:
    try:
        document = read_document(body)
    except NotADocument:
        return None, "", None
    code = document.text("Code") if document.name == "Error" else None
    if not code or not _CODE.fullmatch(code):
        return None, "", None
    message = "".join(c for c in document.text("Message") or "" if c.isprintable())
    return code, message[:_MESSAGE_CHARACTERS], document.text("RequestId")
