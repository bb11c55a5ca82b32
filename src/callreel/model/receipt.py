"""A receipt: what was moved, where it lies, how that was proved, and whether the original is gone. Signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt as it is kept. `document` is canonical JSON, `signature` Base64 of Ed25519 over its UTF-8 bytes."""

    recording_sid: str
    account_sid: str
    source_sid: str
    document: str
    signature: str
    key_id: str
    date_created: datetime
