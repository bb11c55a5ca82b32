"""Tokens are recognised by their digest, and look like Twilio's."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callreel.errors import Misconfigured
from callreel.sealing.tokens import TokenDigest, mint_api_secret, mint_token

DIGEST = TokenDigest(b"p" * 32)


@given(st.text(), st.text())
def test_a_digest_matches_its_token_alone(token: str, other: str) -> None:
    assert DIGEST.matches(token, DIGEST.digest(token))
    assert DIGEST.matches(other, DIGEST.digest(token)) == (token == other)


def test_the_digest_is_hmac_sha256_under_the_pepper() -> None:
    assert DIGEST.digest("token") == hmac.new(b"p" * 32, b"token", hashlib.sha256).digest()
    assert TokenDigest(b"q" * 32).digest("token") != DIGEST.digest("token")


@pytest.mark.parametrize("digest", [b"", b"x", DIGEST.digest("token")[:-1], DIGEST.digest("token") + b"\0"])
def test_a_digest_of_another_length_matches_nothing(digest: bytes) -> None:
    assert not DIGEST.matches("token", digest)


def test_a_token_no_codec_can_write_is_just_another_wrong_token() -> None:
    assert not DIGEST.matches("\udcff", DIGEST.digest("token"))


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(Misconfigured):
        TokenDigest(b"p" * 31)


def test_the_pepper_is_not_shown() -> None:
    assert "ppp" not in repr(DIGEST) + str(DIGEST)


def test_minted_secrets_have_twilios_shape_and_never_repeat() -> None:
    assert all(re.fullmatch("[0-9a-f]{32}", mint_token()) for _ in range(100))
    assert all(re.fullmatch("[0-9A-Za-z]{32}", mint_api_secret()) for _ in range(100))
    assert len({mint_token() for _ in range(1000)} | {mint_api_secret() for _ in range(1000)}) == 2000
