"""How the pretend Twilio spells its answers: recordings, pages, accounts, and errors in JSON and XML.

Written apart from `callreel.source` on purpose: what one writes, the other has to read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from aiohttp import web

from callreel.rehearsal.twilio_shelf import TwilioRecording

VERSION = "/2010-04-01"
MORE_INFO = "https://www.twilio.com/docs/errors/"


class TwilioRefusal(Exception):
    """An answer that says no. Never leaves the pretend Twilio."""

    def __init__(self, status: int, code: int, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after_s = status, code, message, retry_after_s

    def answer(self, *, as_json: bool) -> web.Response:
        """The refusal as an answer: JSON where the path ends in `.json`, XML elsewhere."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(int(self.retry_after_s))}
        facts = {"code": self.code, "message": self.message, "more_info": f"{MORE_INFO}{self.code}"}
        if as_json:
            text, kind = json.dumps(facts | {"status": self.status}), "application/json"
        else:
            text, kind = error_document(self.status, self.code, self.message), "application/xml"
        return web.Response(status=self.status, text=text, content_type=kind, headers=headers)


def error_document(status: int, code: int, message: str) -> str:
    """Twilio's XML error page."""
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><RestException><Code>{code}</Code>"
        f"<Message>{escape(message)}</Message><MoreInfo>{MORE_INFO}{code}</MoreInfo>"
        f"<Status>{status}</Status></RestException></TwilioResponse>"
    )


def moment(at: datetime) -> str:
    """RFC 2822, always +0000."""
    return format_datetime(at.astimezone(UTC).replace(microsecond=0))


def recording_json(one: TwilioRecording, *, host: str, now: datetime) -> dict[str, Any]:
    """A recording as the account list shows it."""
    path = f"{VERSION}/Accounts/{one.account_sid}/Recordings/{one.sid}"
    status = one.status_at(now)
    is_done = status == "completed"
    return {
        "account_sid": one.account_sid,
        "api_version": "2010-04-01",
        "call_sid": one.call_sid,
        "conference_sid": one.conference_sid,
        "channels": one.channels,
        "date_created": moment(one.date_created),
        "date_updated": moment(one.date_created),
        "start_time": moment(one.start_time),
        "price": one.price if is_done else None,
        "price_unit": "USD",
        "duration": str(one.duration_s) if is_done else None,
        "sid": one.sid,
        "source": one.source,
        "status": status,
        "error_code": one.error_code,
        "uri": f"{path}.json",
        "encryption_details": one.encryption_details,
        "subresource_uris": {
            "add_on_results": f"{path}/AddOnResults.json",
            "transcriptions": f"{path}/Transcriptions.json",
        },
        "media_url": f"http://{host}{path}",
    }


def page_json(
    key: str,
    rows: Sequence[Mapping[str, Any]],
    path: str,
    query: Mapping[str, str],
    *,
    size: int,
    next_token: str | None,
) -> dict[str, Any]:
    """The 2010 envelope: filters first, then PageSize, Page and PageToken."""
    filters = [(name, value) for name, value in query.items() if name not in ("PageSize", "Page", "PageToken")]
    number = int(query.get("Page", "0") or 0)

    def address(page: int, token: str | None) -> str:
        asked = [*filters, ("PageSize", str(size)), ("Page", str(page))]
        return f"{path}?{urlencode(asked if token is None else [*asked, ('PageToken', token)])}"

    start = number * size if rows else 0
    return {
        "first_page_uri": address(0, None),
        "next_page_uri": None if next_token is None else address(number + 1, next_token),
        "previous_page_uri": address(number - 1, None) if number == 1 else None,
        "uri": address(number, query.get("PageToken")),
        "page": number,
        "page_size": size,
        "start": start,
        "end": start + len(rows) - 1 if rows else 0,
        key: list(rows),
    }


def callback_form(one: TwilioRecording, *, host: str, status: str) -> dict[str, str]:
    """The parameters of a recording status callback, as captured ones have them."""
    form = {
        "RecordingSource": one.source,
        "RecordingTrack": one.track or "both",
        "RecordingSid": one.sid,
        "RecordingUrl": f"http://{host}{VERSION}/Accounts/{one.account_sid}/Recordings/{one.sid}",
        "RecordingStatus": status,
        "RecordingChannels": str(one.channels),
        "ErrorCode": str(one.error_code or 0),
        "RecordingStartTime": moment(one.start_time),
        "AccountSid": one.account_sid,
    }
    if one.call_sid is not None:
        form["CallSid"] = one.call_sid
    if one.conference_sid is not None:
        form["ConferenceSid"] = one.conference_sid
    if status == "completed":
        form["RecordingDuration"] = str(one.duration_s)
    if one.encryption_details is not None:
        form["EncryptionDetails"] = json.dumps(
            {
                "type": "rsa-aes",
                "public_key_sid": one.encryption_details["encryption_public_key_sid"],
                "encrypted_cek": one.encryption_details["encryption_cek"],
                "iv": one.encryption_details["encryption_iv"],
            }
        )
    return form
