"""One plain mail address: nothing that a header or an SMTP dialogue could read as more than that."""

from __future__ import annotations

import re

from callreel.errors import InvalidParameter

LONGEST = 254  # RFC 5321
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    re.ASCII,
)


def parse_mail_address(name: str, text: str) -> str:
    """The text itself if it is one address in ASCII, without a display name. Raises `InvalidParameter`."""
    if len(text) > LONGEST or len(text.partition("@")[0]) > 64 or _ADDRESS.fullmatch(text) is None:
        raise InvalidParameter(f"{name} must be one mail address like name@example.org", parameter=name)
    return text
