"""Forms are answered only when they are ours: a token bound to the browser, and its word where the form came from."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request

from callreel.sealing.tokens import TokenDigest

_BYTES = 32


def issue_token(secret: str, digest: TokenDigest) -> str:
    """A token for the forms of whoever holds this cookie; another text each time, so that compression tells nothing."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _xor(mask, _expected(secret, digest))).decode()


def is_token(token: str, secret: str, digest: TokenDigest) -> bool:
    """Whether a token was issued to whoever holds this cookie."""
    try:
        raw = base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError):
        return False
    if len(raw) != 2 * _BYTES or not secret:
        return False
    return hmac.compare_digest(_xor(raw[:_BYTES], raw[_BYTES:]), _expected(secret, digest))


def came_from_here(request: Request, public_url: str) -> bool:
    """Whether the browser says that one of our pages sent this. Without its word, the token alone has to do."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if origin is None:
        return site in ("same-origin", "none", None)
    if origin == "null":  # what a form's origin is on a page that sends no referrer, as ours
        return site == "same-origin"
    said = urlsplit(origin)
    own = urlsplit(public_url)
    return bool(said.netloc) and said.netloc in (request.headers.get("host"), own.netloc)


def _expected(secret: str, digest: TokenDigest) -> bytes:
    return digest.digest(f"form/{secret}")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
