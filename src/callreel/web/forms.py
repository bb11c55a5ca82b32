"""What a caller sent, read once: query, form and JSON. Twilio's PascalCase ends here.

The last of a repeated parameter wins, unless a list is asked for; the body wins over the query; unknown
parameters are ignored, as Twilio does. An empty value is there (it clears a field), a missing one is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from callreel.errors import BodyCutShort, BodyEncoded, BodyTooLarge, InvalidParameter, InvalidSid, MissingParameter
from callreel.model.sid import parse_sid

LIMIT_BYTES = 1 << 20
MOST_FIELDS = 1000
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_SPACED_OFFSET = re.compile(r"(T.*) (\d\d:?\d\d)$")  # a "+" that nobody encoded


class Parameters:
    """Parameters by their wire names."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
                raise InvalidParameter(f"{name[:80]} has a character that is no text", parameter=name)
            self._values.setdefault(name, []).append(value)

    def sent(self, name: str) -> str | None:
        """The value as it was sent, empty included; None when it is missing."""
        values = self._values.get(name)
        return values[-1] if values else None

    def text(self, name: str) -> str | None:
        """The value, or None when it is missing or empty."""
        return self.sent(name) or None

    def required(self, name: str) -> str:
        """The value. Raises `MissingParameter` when it is missing or empty."""
        value = self.text(name)
        if value is None:
            raise MissingParameter(name)
        return value

    def all(self, name: str) -> Sequence[str]:
        """Every value of a list parameter, in order, without empty ones."""
        return [value for value in self._values.get(name, ()) if value]

    def flag(self, name: str) -> bool | None:
        """A boolean, None when missing or empty. Raises `InvalidParameter`."""
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise InvalidParameter(f"{name} must be true or false", parameter=name)
        return value.lower() == "true"

    def number(self, name: str, *, least: int) -> int | None:
        """A whole number, None when missing or empty. Raises `InvalidParameter`."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,15}", value, re.ASCII) or int(value) < least:
            raise InvalidParameter(f"{name} must be a whole number of at least {least}", parameter=name)
        return int(value)

    def choice(self, name: str, among: Sequence[str]) -> str | None:
        """One of some words, None when missing or empty. Raises `InvalidParameter`."""
        value = self.text(name)
        if value is not None and value not in among:
            raise InvalidParameter(f"{name} must be one of {', '.join(among)}", parameter=name)
        return value

    def sid(self, name: str, prefix: str) -> str | None:
        """A SID, None when missing or empty. Raises `InvalidParameter`."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return parse_sid(prefix, value)
        except InvalidSid as why:
            raise InvalidParameter(f"{name}: {why.message}", parameter=name) from why

    def moment(self, name: str) -> datetime | None:
        """A date or date-time in UTC, None when missing or empty. A date is its midnight. Raises `InvalidParameter`."""
        value = self.text(name)
        return None if value is None else parse_moment(name, value)

    def pairs(self) -> list[tuple[str, str]]:
        """Everything that was sent, sorted by name: what an idempotency key is bound to."""
        return [(name, value) for name in sorted(self._values) for value in self._values[name]]


def parse_moment(name: str, text: str) -> datetime:
    """`2026-11-21`, `2026-11-21T12:00:00Z`, `2026-11-21 12:00:00`; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(_SPACED_OFFSET.sub(r"\1+\2", text.strip()))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as why:
        raise InvalidParameter(f"{name} must be a date (YYYY-MM-DD) or an ISO 8601 date-time", parameter=name) from why


def read_query(request: Request) -> Parameters:
    """The parameters of the query string."""
    return Parameters(_pairs(request.scope["query_string"], "query"))


async def read_form(request: Request) -> Parameters:
    """The parameters of query and body, the body's behind. Form only.

    Raises `BodyTooLarge`, `BodyEncoded` and `InvalidParameter`.
    """
    return await _read(request, accept_json=False)


async def read_form_or_json(request: Request) -> Parameters:
    """As `read_form`, and JSON objects too: lists are repeated values, null is an empty one."""
    return await _read(request, accept_json=True)


async def read_body_pairs(request: Request) -> list[tuple[str, str]]:
    """The decoded parameters of a form body alone: what a signature covers. Raises as `read_form`."""
    body = await read_body(request)
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if body and kind != FORM:
        raise BodyEncoded(f"Send the parameters as {FORM}")
    return _pairs(body, "body")


Query = Annotated[Parameters, Depends(read_query)]
Form = Annotated[Parameters, Depends(read_form)]
FormOrJson = Annotated[Parameters, Depends(read_form_or_json)]


async def _read(request: Request, *, accept_json: bool) -> Parameters:
    sent = _pairs(request.scope["query_string"], "query")
    body = await read_body(request)
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if not body:
        return Parameters(sent)
    if kind == JSON and accept_json:
        return Parameters(sent + _json_pairs(body))
    if kind != FORM:
        raise BodyEncoded(f"Send the parameters as {FORM}" + (f" or {JSON}" if accept_json else ""))
    return Parameters(sent + _pairs(body, "body"))


async def read_body(request: Request) -> bytes:
    """A small body, whole. Raises `BodyTooLarge` above 1 MiB, `BodyEncoded` when it is compressed, `BodyCutShort`."""
    refuse_encoded(request)
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > LIMIT_BYTES:
        raise BodyTooLarge(f"The parameters have more than {LIMIT_BYTES} bytes")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LIMIT_BYTES:
            raise BodyTooLarge(f"The parameters have more than {LIMIT_BYTES} bytes")
        chunks.append(chunk)
    if announced.isdigit() and "content-length" in request.headers and size != int(announced):
        raise BodyCutShort()
    return b"".join(chunks)


def refuse_encoded(request: Request) -> None:
    """Compressed bodies are not taken: what is announced must be what is kept."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise BodyEncoded(f"Content-Encoding {encoding[:40]} is not accepted; send the body as it is")


def _pairs(raw: bytes, where: str) -> list[tuple[str, str]]:
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS, encoding="utf-8"
        )
    except UnicodeDecodeError as why:
        raise InvalidParameter(f"The {where} is not percent-encoded UTF-8") from why
    except ValueError as why:
        raise InvalidParameter(f"The {where} has more than {MOST_FIELDS} parameters") from why


def _json_pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as why:
        raise InvalidParameter("The body is not JSON") from why
    if not isinstance(sent, dict):
        raise InvalidParameter("The body must be a JSON object")
    pairs = []
    for name, value in sent.items():
        for single in value if isinstance(value, list) else [value]:
            pairs.append((name, _as_text(name, single)))
    return pairs


def _as_text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InvalidParameter(f"{name[:80]} must be text, a number, true, false, null, or a list of those")
