"""Secrets we hand out and only have to recognise: minted here, kept as keyed digests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string

from callreel.errors import Misconfigured

PEPPER_BYTES = 32
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


class TokenDigest:
    """HMAC-SHA256 under a pepper that is not in the table of digests.

    Fast on purpose: our tokens have 128 bits or more of their own, and every call brings one. People's passwords
    need argon2id.
    """

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) < PEPPER_BYTES:
            raise Misconfigured("The pepper of token digests must have at least 32 bytes")
        self._pepper = pepper

    def __repr__(self) -> str:
        return "TokenDigest(…)"

    def digest(self, token: str) -> bytes:
        """32 bytes, the same for the same token."""
        # surrogatepass: any text a header may hold has a digest; none may raise.
        return hmac.new(self._pepper, token.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def matches(self, token: str, digest: bytes) -> bool:
        """Whether the digest is this token's, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.digest(token), digest)


def mint_token() -> str:
    """A new auth token in Twilio's shape: 32 lower-case hexadecimal digits, 128 random bits."""
    return secrets.token_hex(16)


def mint_api_secret() -> str:
    """A new secret of an API key in Twilio's shape: 32 letters and digits, 190 random bits."""
    return "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(32))
