"""What no log line may carry is taken out of it: by the name of its field, by its shape, and by its value.

The code logs no secret. This is for the day when it does, or a library does: an exception quotes a URL or a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

HIDDEN = "•••"
SHORTEST_KNOWN = 8  # a shorter value would be found inside innocent words

_NAMES = re.compile(
    r"secret|password|passwd|token|authorization|cookie|private_?key|master_?key|signature|credential(?!_sid)|smtp_url"
    r"|database_url",
    re.IGNORECASE,
)
_NAMES_THAT_MAY = frozenset({"credential_sid", "idempotency_token"})
_SHAPES = (
    # the query of a presigned URL, Amazon's and ours
    re.compile(
        r"(X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|ticket)=[^&\s\"'<>]+", re.IGNORECASE
    ),
    # who signs in where, inside a URL
    re.compile(r"(://)[^/\s:@\"'<>]*:[^@/\s\"'<>]+(?=@)"),
    re.compile(r"(\b(?:Basic|Bearer))\s+[A-Za-z0-9+/=._~-]{8,}"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # an access key as Twilio has it pasted: KEY_ID:SECRET
    re.compile(r"\b([A-Z0-9]{16,20}):[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=])"),
)  # fmt: skip


class Redaction:
    """A structlog processor. `known` are secrets of the installation itself, hidden wherever they turn up."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known: list[str] = []
        self.know(known)

    def know(self, secrets: Iterable[str]) -> None:
        """Hide these values too, from now on."""
        kept = {*self._known, *(text for text in secrets if len(text) >= SHORTEST_KNOWN)}
        self._known = sorted(kept, key=len, reverse=True)  # the longest first: one may be part of another

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in line.items():
            line[name] = HIDDEN if _is_secret(name) and value is not None else self._cleaned(value)
        return line

    def text(self, text: str) -> str:
        """The text without what must not be in it."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        for shape in _SHAPES:
            text = shape.sub(_hide, text)
        return text

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {k: HIDDEN if _is_secret(str(k)) else self._cleaned(v) for k, v in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._cleaned(each) for each in value]
        if isinstance(value, bytes):
            return f"{len(value)} bytes"
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.text(str(value))


def _is_secret(name: str) -> bool:
    return name not in _NAMES_THAT_MAY and _NAMES.search(name) is not None


def _hide(found: re.Match[str]) -> str:
    sign = "=" if found.group(0).startswith(f"{found.group(1)}=") else " " if found.group(1).isalpha() else ""
    return f"{found.group(1)}{sign}{HIDDEN}"
