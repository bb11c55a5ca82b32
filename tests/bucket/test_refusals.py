from __future__ import annotations

from datetime import UTC, datetime

import pytest

from callreel.bucket.documents import LISTING_BYTES, NotADocument, read_document
from callreel.bucket.refusals import FATAL_CODES, refusal, translate_transport_error
from callreel.errors import AddressBlocked, BucketRefused, BucketStumbled, BucketUnreachable

RETRIED = [
    *("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "BadDigest"),
    *("XAmzContentSHA256Mismatch", "IncompleteBody", "RequestTimeTooSkewed", "ExpiredToken", "NoSuchUpload"),
    *("NoSuchKey", "NotImplemented", "KMS.ThrottlingException", "InvalidArgument", "MalformedXML"),
    *("MissingContentLength", "SomethingNobodyKnows"),
]


def error_document(code: str, message: str = "why", extra: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message>{extra}'
        "<RequestId>R1</RequestId></Error>"
    ).encode()


@pytest.mark.parametrize("code", sorted(FATAL_CODES))
def test_a_code_on_the_list_is_fatal(code: str) -> None:
    error = refusal(403, {}, error_document(code))
    assert isinstance(error, BucketRefused)
    assert (error.code, error.status, error.request_id) == (code, 403, "R1")


@pytest.mark.parametrize("code", RETRIED)
@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_any_other_code_is_retried(code: str, status: int) -> None:
    error = refusal(status, {}, error_document(code))
    assert isinstance(error, BucketStumbled)
    assert error.code == code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Forbidden</body></html>",
        b"AccessDenied",
        error_document("AccessDenied")[:-5],
        error_document("AccessDenied") + b"trailing",
        b"<!DOCTYPE Error [<!ENTITY c 'AccessDenied'>]><Error><Code>&c;</Code></Error>",
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE Error><Error><Code>AccessDenied</Code></Error>'.encode(
            "utf-16"
        ),
        b"<Error><Message>AccessDenied</Message></Error>",
        b"<Answer><Code>AccessDenied</Code></Answer>",
        b"<Error><Code>Access Denied\n</Code></Error>",
        error_document("AccessDenied", "x" * (64 << 10)),
    ],
    ids=["empty", "html", "text", "cut", "trailing", "entity", "utf16-doctype", "codeless", "other", "odd", "large"],
)
@pytest.mark.parametrize("status", [403, 404])
def test_a_403_or_404_without_s3_xml_is_retried(status: int, body: bytes) -> None:
    error = refusal(status, {}, body)
    assert isinstance(error, BucketStumbled)
    assert (error.code, error.status) == (f"Http{status}", status)


def test_a_fatal_code_under_200_is_retried() -> None:
    assert isinstance(refusal(200, {}, error_document("AccessDenied")), BucketStumbled)


def test_a_namespace_makes_no_difference() -> None:
    body = error_document("NoSuchBucket").replace(
        b"<Error>", b'<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    )
    assert isinstance(refusal(404, {}, body), BucketRefused)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 30, None),
        ("", None),
    ],
)
def test_retry_after_is_kept_in_seconds(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    error = refusal(503, {"Retry-After": value}, error_document("SlowDown"), now=now)
    assert isinstance(error, BucketStumbled)
    assert error.retry_after_s == seconds


def test_a_message_keeps_no_control_characters_and_has_an_end() -> None:
    error = refusal(403, {}, error_document("AccessDenied", "line&#10;feed" + "x" * 1000))
    assert "\n" not in error.message
    assert len(error.message) < 400


def test_the_headers_request_id_comes_first() -> None:
    assert refusal(503, {"x-amz-request-id": "R2"}, error_document("SlowDown")).request_id == "R2"


def test_a_document_larger_than_its_bound_is_not_read() -> None:
    with pytest.raises(NotADocument):
        read_document(b"<a>" + b" " * LISTING_BYTES + b"</a>", limit=LISTING_BYTES)


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(104, "reset"), OSError(113, "no route")])
def test_a_broken_connection_is_unreachable(error: BaseException) -> None:
    assert isinstance(translate_transport_error(error), BucketUnreachable)


def test_a_blocked_address_stays_a_blocked_address() -> None:
    wrapped = OSError("cannot connect")
    wrapped.__cause__ = AddressBlocked("10.0.0.1 is not allowed")
    error = translate_transport_error(wrapped)
    assert isinstance(error, AddressBlocked)
    assert error.message == "10.0.0.1 is not allowed"
