"""Twilio's answers, read: the odd spellings, and what is no answer of Twilio's at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from callreel.errors import SourceRefused, SourceStumbled, SourceUnauthorized, SourceUnreachable
from callreel.model.source import SourceRecording, SourceStatus
from callreel.source.twilio_words import is_media, read_error, read_moment, read_object, read_recording, refusal

SID, ACCOUNT, CALL = "RE" + "a" * 32, "AC" + "b" * 32, "CA" + "c" * 32
XML = b"<TwilioResponse><RestException><Code>20404</Code><Message>not found</Message></RestException></TwilioResponse>"


def listed(**changes: Any) -> dict[str, Any]:
    """A recording as the published example shows it."""
    return {
        "sid": SID,
        "account_sid": ACCOUNT,
        "call_sid": CALL,
        "conference_sid": None,
        "channels": 2,
        "date_created": "Fri, 14 Oct 2016 21:56:34 +0000",
        "start_time": "Fri, 14 Oct 2016 21:56:30 +0000",
        "duration": "4",
        "price": "-0.0025",
        "price_unit": "USD",
        "source": "DialVerb",
        "status": "completed",
        "error_code": None,
        "encryption_details": None,
        "media_url": "http://169.254.169.254/RE",
    } | changes


def read(**changes: Any) -> SourceRecording:
    return read_recording(listed(**changes), account_sid=ACCOUNT, host="source")


def test_a_listed_recording_is_read() -> None:
    one = read()
    assert (one.sid, one.call_sid, one.channels, one.duration_ms) == (SID, CALL, 2, 4000)
    assert one.date_created == datetime(2016, 10, 14, 21, 56, 34, tzinfo=UTC)
    assert one.is_ready
    assert SourceRecording.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_a_recording_belongs_to_the_account_that_was_asked_whatever_the_body_says() -> None:
    assert read(account_sid="AC" + "9" * 32).account_sid == ACCOUNT


@pytest.mark.parametrize(
    "details",
    [
        {"encryption_public_key_sid": "CR1", "encryption_cek": "cek", "encryption_iv": "iv"},
        {"type": "rsa-aes", "encryption_public_key_sid": "CR1", "encryption_cek": "cek", "iv": "iv"},
        {"type": "rsa-aes", "public_key_sid": "CR1", "encrypted_cek": "cek", "iv": "iv"},
        '{"type": "rsa-aes", "public_key_sid": "CR1", "encrypted_cek": "cek", "iv": "iv"}',
    ],
)
def test_encryption_details_are_read_in_every_spelling(details: object) -> None:
    kept = read(encryption_details=details).encryption_details
    assert kept == {"type": "rsa-aes", "public_key_sid": "CR1", "encrypted_cek": "cek", "iv": "iv"}


@pytest.mark.parametrize("duration", [None, "-1", "", "x", {}])
def test_a_duration_that_is_not_known_yet_is_none(duration: object) -> None:
    assert read(duration=duration).duration_s is None


def test_a_status_nobody_knew_is_not_ready() -> None:
    assert read(status="archived").status is SourceStatus.UNKNOWN
    assert not read(status="archived").is_ready


@pytest.mark.parametrize(
    "changes",
    [
        {"sid": "../../etc"},
        {"sid": None},
        {"date_created": None},
        {"date_created": "yesterday"},
        {"call_sid": "CA1"},
        {"encryption_details": "{"},
    ],
    ids=str,
)
def test_a_recording_that_cannot_be_read_says_so(changes: dict[str, Any]) -> None:
    with pytest.raises(SourceUnreachable, match="cannot be read"):
        read(**changes)


def test_moments_of_both_apis_are_read() -> None:
    same = datetime(2016, 10, 14, 21, 56, 34, tzinfo=UTC)
    assert read_moment("Fri, 14 Oct 2016 22:56:34 +0100") == same
    assert read_moment("2016-10-14T21:56:34Z") == same
    assert read_moment("") is None


@pytest.mark.parametrize("kind", ["text/html", "application/xml; charset=utf-8", "application/json", "TEXT/XML"])
def test_an_error_page_is_no_media(kind: str) -> None:
    assert not is_media(kind)


@pytest.mark.parametrize("kind", ["audio/x-wav", "audio/wav", "application/octet-stream", "binary/octet-stream", ""])
def test_audio_is_media(kind: str) -> None:
    assert is_media(kind)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/html", b"<html>"), ("application/json", b"<html>"), ("application/json", b"[1]"), ("", b"{}")],
)
def test_a_page_instead_of_json_is_no_answer(kind: str, body: bytes) -> None:
    with pytest.raises(SourceUnreachable):
        read_object(200, kind, body, host="source")


def test_both_error_bodies_are_read() -> None:
    assert read_error(XML) == (20404, "not found")
    assert read_error(b'{"code": 20003, "message": "Authenticate\\u001b[2J"}') == (20003, "Authenticate [2J")
    assert read_error(b"<html>404</html>") == (None, "")
    assert read_error(b"{" * 100_000) == (None, "")


@pytest.mark.parametrize(
    ("status", "body", "meant"),
    [
        (401, b'{"code": 20003, "message": "Authenticate"}', SourceUnauthorized),
        (403, b'{"code": 20006, "message": "Access denied"}', SourceUnauthorized),
        (401, b"<html>log in</html>", SourceUnreachable),
        (400, b'{"code": 20001, "message": "bad"}', SourceRefused),
        (404, XML, SourceRefused),
        (404, b"<html>", SourceUnreachable),
        (500, b"<html>", SourceStumbled),
        (503, b'{"code": 20503, "message": "later"}', SourceStumbled),
        (408, b"", SourceStumbled),
    ],
)
def test_a_no_is_believed_only_in_twilios_own_words(status: int, body: bytes, meant: type[Exception]) -> None:
    assert type(refusal(status, "text/html", body, host="source", retry_after_s=None)) is meant
