"""A bucket's CORS rules: whether a page of ours may read, and how to let it without touching anybody else's rules."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from xml.etree import ElementTree

from callreel.bucket.documents import NotADocument, read_document

METHODS = ("GET", "HEAD")
ALLOWED_HEADERS = ("Range", "If-None-Match", "If-Range")
EXPOSED = ("ETag", "Content-Length", "Content-Range", "Accept-Ranges", "Content-Encoding", "x-amz-version-id")
_NEEDED = ("Content-Range", "Accept-Ranges", "ETag")
MAX_AGE_S = 3600
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def lets_play(document: bytes | None, origin: str) -> bool:
    """Whether a page of this origin may fetch objects, ranges of them too, and see what it was given.

    Raises `NotADocument` for what is no CORS configuration.
    """
    return document is not None and any(_lets_play(rule, origin) for rule in _rules(document))


def with_rule_for(document: bytes | None, origin: str) -> bytes:
    """The configuration with a rule for this origin, every other rule as it was. May be repeated.

    Raises `NotADocument`.
    """
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.Element(f"{{{_NAMESPACE}}}CORSConfiguration")
    name = rule_id(origin)
    for rule in _rules(document) if document is not None else []:
        if _texts(rule, "ID") != [name]:
            root.append(_in_namespace(rule))
    root.append(_our_rule(name, origin))
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def rule_id(origin: str) -> str:
    """The name of our rule for an origin, by which it is found again."""
    return f"callreel-{hashlib.sha256(origin.encode()).hexdigest()[:12]}"


def _rules(document: bytes) -> list[ElementTree.Element]:
    read_document(document)  # bounded, and without a DOCTYPE
    root = ElementTree.fromstring(document.strip())  # noqa: S314  (as was just made sure)
    if root.tag.rpartition("}")[2] != "CORSConfiguration":
        raise NotADocument("it is not a CORS configuration")
    return [child for child in root if child.tag.rpartition("}")[2] == "CORSRule"]


def _lets_play(rule: ElementTree.Element, origin: str) -> bool:
    exposed = [text.lower() for text in _texts(rule, "ExposeHeader")]
    allowed = [text.lower() for text in _texts(rule, "AllowedHeader")]
    return (
        any(fnmatchcase(origin, pattern) for pattern in _texts(rule, "AllowedOrigin"))
        and set(METHODS) <= set(_texts(rule, "AllowedMethod"))
        and any(fnmatchcase("range", pattern) for pattern in allowed)
        and all(name.lower() in exposed for name in _NEEDED)
    )


def _texts(rule: ElementTree.Element, name: str) -> list[str]:
    return [(child.text or "").strip() for child in rule if child.tag.rpartition("}")[2] == name]


def _in_namespace(element: ElementTree.Element) -> ElementTree.Element:
    """The same element, in S3's namespace whether or not the provider wrote it."""
    copy = ElementTree.Element(f"{{{_NAMESPACE}}}{element.tag.rpartition('}')[2]}", element.attrib)
    copy.text = element.text
    copy.extend(_in_namespace(child) for child in element)
    return copy


def _our_rule(name: str, origin: str) -> ElementTree.Element:
    rule = ElementTree.Element(f"{{{_NAMESPACE}}}CORSRule")
    values = [("ID", name), ("AllowedOrigin", origin)]
    values += [("AllowedMethod", method) for method in METHODS]
    values += [("AllowedHeader", header) for header in ALLOWED_HEADERS]
    values += [("ExposeHeader", header) for header in EXPOSED]
    values.append(("MaxAgeSeconds", str(MAX_AGE_S)))
    for tag, text in values:
        ElementTree.SubElement(rule, f"{{{_NAMESPACE}}}{tag}").text = text
    return rule
