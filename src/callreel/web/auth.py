"""Who is calling, and for which account: HTTP Basic as Twilio does it."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Depends, Request

from callreel.errors import InvalidSid, NotAuthenticated, NotFound
from callreel.model.account import Account
from callreel.model.deed import BEARER, Actor
from callreel.model.sid import AccountSid, parse_sid
from callreel.parts import Parts
from callreel.sign_in_limits import SignInLimits
from callreel.steps.authenticate import Caller, act_for, authenticate
from callreel.web.concurrency import Turn

LONGEST_HEADER = 4096


def opened(request: Request) -> Parts:
    """The parts this surface was made with."""
    parts: Parts = request.app.state.parts
    return parts


async def sign_in(request: Request) -> Caller:
    """The caller of a request.

    Raises `NotAuthenticated`, `AccountNotActive`, and `TooManyAttempts` instead of the former when this address
    or this account failed too often. A request without any credential is refused and not counted. Raises
    `TooManyRequests` when the account has its limit of requests under way.
    """
    header = request.headers.get("authorization", "")
    if not header:
        raise NotAuthenticated()
    parts, limits = opened(request), _limits(request)
    address = request.client.host if request.client else "?"
    username, password = _basic(header)
    try:
        caller = await authenticate(username, password, accounts=parts.ledger.accounts, digest=parts.digest)
    except NotAuthenticated:
        limits.count_failure(f"address {address}", f"account {username[:34]}")
        raise
    turn: Turn = request.scope["callreel.turn"]
    turn.take(caller.account.sid)
    return caller


SignedIn = Annotated[Caller, Depends(sign_in)]


async def account_in_path(request: Request, caller: SignedIn, account_sid: str) -> Account:
    """The account of the path, if the caller may act for it; `NotFound` if not, whether or not it exists."""
    return await acting_for(caller, account_sid, opened(request))


async def acting_for(caller: Caller, account_sid: str, parts: Parts) -> Account:
    """As `account_in_path`, for a caller who is known already."""
    sid = AccountSid(path_sid("AC", account_sid))
    return await act_for(caller, sid, accounts=parts.ledger.accounts)


def path_sid(prefix: str, text: str) -> str:
    """A SID of a path. Raises `NotFound` for what is none, as for one that nobody has."""
    try:
        return parse_sid(prefix, text)
    except InvalidSid as why:
        raise NotFound() from why


async def actor_of(request: Request, caller: SignedIn) -> Actor:
    """Who acts, as the audit names them: the key, or the account whose token it was, and where they are."""
    return Actor(caller.api_key_sid or caller.account.sid, *_whence(request))


def bearer_of(request: Request) -> Actor:
    """Whoever came with a signed URL and no credential, and where they are."""
    return Actor(BEARER, *_whence(request))


def _whence(request: Request) -> tuple[str | None, str | None]:
    """The address and the request id."""
    return request.client.host if request.client else None, request.scope.get("callreel.request_id")


By = Annotated[Actor, Depends(actor_of)]
Opened = Annotated[Parts, Depends(opened)]
Acting = Annotated[Account, Depends(account_in_path)]


def _limits(request: Request) -> SignInLimits:
    limits: SignInLimits = request.app.state.limits
    return limits


def _basic(header: str) -> tuple[str, str]:
    """User name and password; empty ones, which nobody has, for a header that is no Basic authentication."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > LONGEST_HEADER:
        return "", ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return "", ""
    username, _, password = text.partition(":")
    return username[:2] + username[2:].lower(), password
