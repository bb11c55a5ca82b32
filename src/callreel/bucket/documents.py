"""S3's XML documents: read within bounds, and the few we write.

A document comes from outside, so it is small, has no DOCTYPE (hence no entities to expand), or is not read at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

ERROR_BYTES = 64 << 10  # S3's error documents have under 2 KiB; a proxy's error page may have any size
LISTING_BYTES = 1 << 20  # a page of 1,000 parts or uploads has about 350 KiB


class NotADocument(ValueError):
    """The bytes are not a document of S3's: cut short, too large, not XML, or XML with a DOCTYPE."""


class CompletedPart(NamedTuple):
    """A part as Complete names it: the bucket's ETag as it came, and our checksum in Base64 (None: left out)."""

    number: int
    etag: str
    checksum_sha256: str | None


class Document:
    """One element and what is under it; namespaces are dropped, S3's differ between providers."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    @property
    def name(self) -> str:
        return _local(self._element.tag)

    def text(self, name: str) -> str | None:
        """The text of the first child of this name, or None."""
        child = next(self.children(name), None)
        return (child._element.text or "").strip() if child else None

    def child(self, name: str) -> Document | None:
        """The first child of this name, or None."""
        return next(self.children(name), None)

    def children(self, name: str) -> Iterator[Document]:
        """The direct children of this name, in order."""
        return (Document(child) for child in self._element if _local(child.tag) == name)


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds the tree, and stops at a DOCTYPE before anything in it is read."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise NotADocument(f"a document type ({name[:40]}) is not accepted")


def read_document(body: bytes, *, limit: int = ERROR_BYTES) -> Document:
    """Parse the body. Raises `NotADocument`."""
    if not body.strip() or len(body) > limit:
        raise NotADocument(f"{len(body)} bytes")
    # Bounded above, and without a DOCTYPE there is no entity that could expand.
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314
    try:
        parser.feed(body.strip())
        return Document(parser.close())
    except (ElementTree.ParseError, ValueError, LookupError) as why:  # LookupError: an encoding nobody knows
        raise NotADocument(str(why)) from why


def completion(parts: Sequence[CompletedPart]) -> bytes:
    """The body of CompleteMultipartUpload."""
    written = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
        + (f"<ChecksumSHA256>{part.checksum_sha256}</ChecksumSHA256>" if part.checksum_sha256 else "")
        + "</Part>"
        for part in parts
    )
    return f"<CompleteMultipartUpload>{written}</CompleteMultipartUpload>".encode()


def retention(mode: str, retain_until: str) -> bytes:
    """The body of PutObjectRetention."""
    return f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{retain_until}</RetainUntilDate></Retention>".encode()


LEGAL_HOLD = b"<LegalHold><Status>ON</Status></LegalHold>"
"""The body of PutObjectLegalHold."""
NO_LEGAL_HOLD = b"<LegalHold><Status>OFF</Status></LegalHold>"


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
