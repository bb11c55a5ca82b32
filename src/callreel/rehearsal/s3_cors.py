"""Cross-origin rules of the embedded S3's buckets."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from xml.etree import ElementTree

from callreel.rehearsal.s3_words import S3Refusal


@dataclass(frozen=True, slots=True)
class Rule:
    """One CORSRule."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age_s: str

    def allows(self, origin: str, method: str, headers: list[str]) -> bool:
        return (
            any(fnmatch.fnmatchcase(origin, pattern) for pattern in self.origins)
            and method in self.methods
            and all(any(fnmatch.fnmatchcase(h, p.lower()) for p in self.headers) for h in headers)
        )


def read_rules(document: str) -> list[Rule]:
    """The rules of a CORSConfiguration. Raises `S3Refusal`."""
    try:
        root = ElementTree.fromstring(document)  # noqa: S314  (bounded and without a DOCTYPE, by its reader)
    except ElementTree.ParseError as why:
        raise S3Refusal(400, "MalformedXML", "The XML you provided was not well-formed") from why
    return [_rule(element) for element in root if _name(element) == "CORSRule"]


def answer_headers(document: str | None, origin: str | None, method: str, headers: list[str]) -> dict[str, str] | None:
    """What to add to the answer for a page of this origin; None when no rule allows it."""
    if document is None or origin is None:
        return None
    rule = next((r for r in read_rules(document) if r.allows(origin, method, headers)), None)
    if rule is None:
        return None
    added = {
        "Access-Control-Allow-Origin": "*" if "*" in rule.origins else origin,
        "Access-Control-Allow-Methods": ", ".join(rule.methods),
        "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }
    optional = {
        "Access-Control-Expose-Headers": ", ".join(rule.exposed),
        "Access-Control-Allow-Headers": ", ".join(headers),
        "Access-Control-Max-Age": rule.max_age_s,
    }
    return added | {name: value for name, value in optional.items() if value}


def _rule(element: ElementTree.Element) -> Rule:
    def texts(name: str) -> tuple[str, ...]:
        return tuple((child.text or "").strip() for child in element if _name(child) == name)

    return Rule(
        texts("AllowedOrigin"),
        texts("AllowedMethod"),
        texts("AllowedHeader"),
        texts("ExposeHeader"),
        next(iter(texts("MaxAgeSeconds")), ""),
    )


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
