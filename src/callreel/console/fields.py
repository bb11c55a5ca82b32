"""What a browser sent with a form or in its address, read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

from callreel.errors import BodyEncoded, BodyTooLarge, InvalidParameter

LIMIT_BYTES = 1 << 20
MOST_FIELDS = 2000
FORM = "application/x-www-form-urlencoded"
TOKEN = "_token"  # noqa: S105 - a field's name


class Fields:
    """Fields by name, in order, blanks kept. A field that was not sent is empty."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.pairs = [(name, value) for name, value in pairs if name != TOKEN]
        self.token = next((value for name, value in pairs if name == TOKEN), "")

    def __getitem__(self, name: str) -> str:
        return next((value for other, value in reversed(self.pairs) if other == name), "")

    def __contains__(self, name: str) -> bool:
        return any(other == name for other, _ in self.pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def all(self, name: str) -> list[str]:
        """Every value of a repeated field, in order, without empty ones."""
        return [value for other, value in self.pairs if other == name and value]

    def text(self, name: str) -> str:
        """The value without blanks around it."""
        return self[name].strip()

    def changed(self, **changes: str | None) -> str:
        """The same fields as a query string, with these in place of the old ones; None takes one away."""
        kept = [(name, value) for name, value in self.pairs if name not in changes and value]
        return urlencode(kept + [(name, value) for name, value in changes.items() if value])


def read_query(request: Request) -> Fields:
    """The fields of the address."""
    return Fields(_pairs(request.scope["query_string"]))


async def read_form(request: Request) -> Fields:
    """The fields of a posted form. Raises `BodyTooLarge`, `BodyEncoded` and `InvalidParameter`."""
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind != FORM or request.headers.get("content-encoding", "identity") != "identity":
        raise BodyEncoded("Send the form as a browser does")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LIMIT_BYTES:
            raise BodyTooLarge("This form is larger than the Console takes")
        chunks.append(chunk)
    return Fields(_pairs(b"".join(chunks)))


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS, encoding="utf-8"
        )
    except ValueError as why:
        raise InvalidParameter("What was sent is not a form") from why
    if any("\x00" in value or "\x00" in name for name, value in pairs):
        raise InvalidParameter("What was sent has a character that is no text")
    return pairs
