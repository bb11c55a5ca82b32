"""What makes a create that is sent twice one create."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey:
    """The key a caller sent with a create, and a hash of everything it asked for."""

    key: str
    request_hash: str
