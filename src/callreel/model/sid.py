"""SIDs: two letters and 32 hexadecimal digits. Nothing else ever becomes a file name or an object key."""

from __future__ import annotations

import re
import secrets
from typing import NewType

from callreel.errors import InvalidSid

AccountSid = NewType("AccountSid", str)
ApiKeySid = NewType("ApiKeySid", str)
CallSid = NewType("CallSid", str)
ConferenceSid = NewType("ConferenceSid", str)
CredentialSid = NewType("CredentialSid", str)
RecordingSid = NewType("RecordingSid", str)
RetentionClassSid = NewType("RetentionClassSid", str)
SourceSid = NewType("SourceSid", str)

_SHAPE = re.compile(r"[A-Z]{2}[0-9a-f]{32}", re.ASCII)


def mint_sid(prefix: str) -> str:
    """A new SID with this two-letter prefix, from 128 random bits."""
    return prefix + secrets.token_hex(16)


def is_sid(prefix: str, text: str) -> bool:
    """Whether the text has exactly the shape of a SID with this prefix (lower-case digits, ASCII)."""
    return text.startswith(prefix) and _SHAPE.fullmatch(text) is not None


def parse_sid(prefix: str, text: str) -> str:
    """The text itself if it is a SID with this prefix.

    Twilio's pattern accepts hexadecimal digits of either case; callreel keeps them in lower case, so that
    one recording has one name. Raises `InvalidSid` for everything else.
    """
    sid = prefix + text[2:].lower() if text[:2] == prefix else text
    if not is_sid(prefix, sid):
        raise InvalidSid(f"'{text[:40]}' is not a SID: expected {prefix} and 32 hexadecimal digits")
    return sid
