"""Twilio's XML: the answer's names in PascalCase, elements inside `<TwilioResponse>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<TwilioResponse>'


def to_xml(answer: Mapping[str, Any]) -> bytes:
    """One element of a mapping, e.g. `{"Recording": {"sid": …}}`, as a document."""
    (name, value), *_ = answer.items()
    return f"{_HEAD}{_element(name, value)}</TwilioResponse>".encode()


def list_to_xml(plural: str, singular: str, envelope: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A page: the envelope's values are attributes of the outer element, without underscores, as Twilio writes them."""
    attributes = "".join(
        f" {key.replace('_', '')}={quoteattr(_legal('' if value is None else str(value)))}"
        for key, value in envelope.items()
    )
    inside = "".join(_element(singular, row) for row in rows)
    return f"{_HEAD}<{plural}{attributes}>{inside}</{plural}></TwilioResponse>".encode()


def _element(name: str, value: Any) -> str:
    tag = name if name[:1].isupper() else "".join(word.capitalize() for word in name.split("_"))
    if isinstance(value, Mapping):
        return f"<{tag}>{''.join(_element(key, inner) for key, inner in value.items())}</{tag}>"
    if value is None or value == "":
        return f"<{tag}/>"
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"<{tag}>{escape(_legal(text))}</{tag}>"


def _legal(text: str) -> str:
    """XML 1.0 has no way to write control characters, surrogates and the two non-characters of the first plane."""
    return "".join(
        c if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff") else "\ufffd"
        for c in text
    )
