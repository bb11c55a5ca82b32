"""S3's own words, as the embedded S3 speaks them: refusals and the XML around every answer."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Field = tuple[str, "str | list[Field]"]


class S3Refusal(Exception):
    """An answer that says no: HTTP status, code and S3's sentence about it. Never leaves the embedded S3."""

    def __init__(self, status: int, code: str, message: str = "", *, extra: Iterable[Field] = ()) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.extra = status, code, message, list(extra)

    def document(self, request_id: str) -> bytes:
        fields: list[Field] = [("Code", self.code), ("Message", self.message or self.code), *self.extra]
        return _written("Error", [*fields, ("RequestId", request_id)], "")


def answer_document(name: str, fields: Iterable[Field]) -> bytes:
    """An answer's XML, in S3's namespace."""
    return _written(name, fields, f' xmlns="{NAMESPACE}"')


def _written(name: str, fields: Iterable[Field], attributes: str) -> bytes:
    inner = "".join(map(_element, fields))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}{attributes}>{inner}</{name}>'.encode()


def _element(field: Field) -> str:
    name, value = field
    inner = escape(value) if isinstance(value, str) else "".join(map(_element, value))
    return f"<{name}>{inner}</{name}>"
