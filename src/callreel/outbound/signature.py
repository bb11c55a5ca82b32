"""X-Twilio-Signature: how Twilio signs a request, and whether it signed this one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

_URL = re.compile(r"(https?)://([^/?#]*?)(?::([0-9]*))?([/?#].*)?", re.IGNORECASE | re.DOTALL)


def sign(auth_token: str, url: str, params: Iterable[tuple[str, str]] = ()) -> str:
    """The signature of a request to this URL, in Base64.

    The URL is taken as it is written, without its fragment. `params` are the decoded form parameters of a POST,
    empty for a GET, whose parameters are in the URL. Names are sorted byte by byte; of a repeated name each
    different value counts once, sorted too, because that is what the SDKs' validators compute.
    """
    signed = _without_fragment(url) + "".join(name + value for name, value in sorted(set(params)))
    # HMAC-SHA1 is Twilio's choice; SHA-1's collisions do not touch HMAC.
    mac = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def is_signed_by(auth_token: str, url: str, params: Iterable[tuple[str, str]], signature: str) -> bool:
    """Whether this signature was made with this token, in constant time.

    Like the SDKs' validators it tries the URL with and without a port, since senders differ there.
    """
    form = list(params)
    given = signature.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(sign(auth_token, spelled, form).encode(), given) for spelled in _spellings(url)]
    return any(matches)


def _spellings(url: str) -> tuple[str, str]:
    """The URL without a port and with one."""
    bare = _without_fragment(url)
    parts = _URL.fullmatch(bare)
    if parts is None:
        return bare, bare
    scheme, host, port, rest = parts.groups("")
    shown = port or ("443" if scheme.lower() == "https" else "80")
    return f"{scheme}://{host}{rest}", f"{scheme}://{host}:{shown}{rest}"


def _without_fragment(url: str) -> str:
    return url.partition("#")[0]
