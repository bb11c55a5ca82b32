"""Twilio's answers in our words: recordings of a listing, error bodies, and what a status means. No connection here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from callreel.errors import (
    CallreelError,
    InvalidSid,
    SourceRefused,
    SourceStumbled,
    SourceUnauthorized,
    SourceUnreachable,
)
from callreel.model.call import CALL_STATUSES
from callreel.model.encryption_details import details_from_source
from callreel.model.sid import parse_sid
from callreel.model.source import SourceCall, SourceRecording, SourceStatus

NOT_YET_AVAILABLE = 21501  # post-processing still
MONO_ASKED_FOR_DUAL = 16113
LONGEST_PARTY = 256
_COMES_LATER = frozenset({408, 425, 500, 502, 503, 504})
_CODE = re.compile(rb"<Code>(\d{1,6})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{0,400})</Message>")
_NOT_MEDIA = ("text/", "application/xml", "application/json", "application/xhtml", "application/problem")


def is_media(content_type: str) -> bool:
    """Whether an answer of this type can be audio: an error page with status 200 is none."""
    return not content_type.lower().startswith(_NOT_MEDIA)


def read_object(status: int, content_type: str, body: bytes, *, host: str) -> dict[str, Any]:
    """The JSON object of a successful answer. Raises `SourceUnreachable` for anything else, HTML above all."""
    if "json" not in content_type.lower():
        raise not_twilio(status, content_type, host=host)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as why:
        raise SourceUnreachable(f"{host} answered {status} with a body that is not JSON") from why
    if not isinstance(found, dict):
        raise SourceUnreachable(f"{host} answered {status} with JSON that is no object")
    return found


def not_twilio(status: int, content_type: str, *, host: str) -> SourceUnreachable:
    """What an answer in nobody's words is."""
    kind = content_type.partition(";")[0][:60] or "no content type"
    return SourceUnreachable(
        f"{host} answered {status} with {kind}, which is not an answer of Twilio's API. Check the source's base URL, "
        "and whether a proxy stands in between"
    )


def refusal(status: int, content_type: str, body: bytes, *, host: str, retry_after_s: float | None) -> CallreelError:
    """The error that an answer of 4xx or 5xx stands for. A no is believed only in Twilio's own words."""
    code, message = read_error(body)
    said = f"{host} answered {status}" + (f", {code}: {message}" if code is not None else "")
    if status in _COMES_LATER or status >= 500:
        return SourceStumbled(said, status=status, retry_after_s=retry_after_s)
    if code is None:
        return not_twilio(status, content_type, host=host)
    if status in (401, 403):
        return SourceUnauthorized(f"{said}. Check the credential of the source, and that its account is active")
    return SourceRefused(said, status=status, code=code)


def read_error(body: bytes) -> tuple[int | None, str]:
    """Twilio's code and words from either of its error bodies; None when it is neither."""
    if body.lstrip()[:1] == b"{":
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return None, ""
        code = found.get("code")
        return (code, _plain(str(found.get("message", "")))) if isinstance(code, int) else (None, "")
    number, words = _CODE.search(body), _MESSAGE.search(body)
    if b"RestException" not in body or number is None:
        return None, ""
    return int(number[1]), _plain(words[1].decode("utf-8", "replace") if words else "")


def read_recording(found: object, *, account_sid: str, host: str) -> SourceRecording:
    """One recording of a listing or a fetch, under the account it was asked of.

    Where its media lies is not read: no host is ever taken from a body. Raises `SourceUnreachable` for what is no
    recording.
    """
    if not isinstance(found, Mapping):
        raise SourceUnreachable(f"{host} listed something that is no recording")
    try:
        sid = parse_sid("RE", str(found.get("sid", "")))
        created = read_moment(found.get("date_created"))
        if created is None:
            raise ValueError("no date_created")
        return SourceRecording(
            sid=sid,
            account_sid=account_sid,
            call_sid=_sid("CA", found.get("call_sid")),
            conference_sid=_sid("CF", found.get("conference_sid")),
            date_created=created,
            start_time=read_moment(found.get("start_time")),
            duration_s=_duration(found.get("duration")),
            channels=2 if str(found.get("channels", 1)) == "2" else 1,
            source=_word(found.get("source")) or "OutboundAPI",
            track=_word(found.get("track")),
            price=_word(found.get("price")),
            price_unit=_word(found.get("price_unit")),
            status=SourceStatus.read(found.get("status")),
            error_code=_number(found.get("error_code")),
            encryption_details=read_details(found.get("encryption_details")),
        )
    except (ValueError, InvalidSid) as why:
        raise SourceUnreachable(f"{host} listed a recording that cannot be read: {_plain(str(why))}") from why


def read_call(found: object, *, host: str) -> SourceCall:
    """One call of a listing or a fetch. Raises `SourceUnreachable` for what is no call."""
    if not isinstance(found, Mapping):
        raise SourceUnreachable(f"{host} listed something that is no call")
    try:
        status = _word(found.get("status"))
        return SourceCall(
            sid=parse_sid("CA", str(found.get("sid", ""))),
            from_number=_party(found.get("from")),
            to_number=_party(found.get("to")),
            direction=_word(found.get("direction")),
            status=status if status in CALL_STATUSES else "completed",
            start_time=read_moment(found.get("start_time")),
            end_time=read_moment(found.get("end_time")),
            duration_s=_duration(found.get("duration")),
        )
    except (ValueError, InvalidSid) as why:
        raise SourceUnreachable(f"{host} listed a call that cannot be read: {_plain(str(why))}") from why


def read_moment(value: object) -> datetime | None:
    """A moment of the 2010 API (RFC 2822) or an ISO one, in UTC; None for nothing. Raises `ValueError`."""
    if not isinstance(value, str) or not value:
        return None
    moment = datetime.fromisoformat(value) if value[:4].isdigit() else parsedate_to_datetime(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_details(value: object) -> dict[str, str] | None:
    """Encryption details as a row keeps them: from an object, or from a callback's string. Raises `ValueError`."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except RecursionError as why:
            raise ValueError("nested too deep") from why
    return details_from_source(value if isinstance(value, Mapping) else None)


def _sid(prefix: str, value: object) -> str | None:
    return parse_sid(prefix, value) if isinstance(value, str) and value else None


def _duration(value: object) -> int | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None  # -1 is Twilio's "not known yet" of older days


def _number(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII) else None


def _party(value: object) -> str | None:
    """A number, or a SIP address as long as they get."""
    return _plain(value)[:LONGEST_PARTY] if isinstance(value, str) and value else None


def _word(value: object) -> str | None:
    return _plain(value)[:64] if isinstance(value, str) and value else None


def _plain(text: str) -> str:
    """Without control characters: it goes to logs, status lines and terminals."""
    return "".join(c if c.isprintable() else " " for c in text)[:400]
