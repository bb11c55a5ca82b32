"""Know who is calling: HTTP Basic with an account's token or an API key's secret, as Twilio does it."""

from __future__ import annotations

from dataclasses import dataclass

from callreel.errors import AccountNotActive, NotAuthenticated, NotFound
from callreel.ledger.accounts import Accounts
from callreel.model.account import Account
from callreel.model.sid import AccountSid, is_sid
from callreel.sealing.tokens import TokenDigest

_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed in, and the key's SID when it was an API key."""

    account: Account
    api_key_sid: str | None = None


async def authenticate(username: str, password: str, *, accounts: Accounts, digest: TokenDigest) -> Caller:
    """The caller behind a user name and a password.

    The same error, after the same work, for an unknown account and a wrong token. Raises `NotAuthenticated`,
    and `AccountNotActive` for a suspended or closed account whose token was right.
    """
    access = None
    if is_sid("AC", username) or is_sid("SK", username):
        access = await accounts.find_access(username)
    matches = digest.matches(password, access.digest if access else _NOBODY)
    if access is None or not matches:
        raise NotAuthenticated()
    if not access.account.is_active:
        raise AccountNotActive()
    return Caller(access.account, username if username.startswith("SK") else None)


async def act_for(caller: Caller, account_sid: AccountSid, *, accounts: Accounts) -> Account:
    """The account a caller may act for: itself, or a subaccount of the caller's main account.

    Everything else is `NotFound`, so that nobody learns whether a SID exists.
    """
    if caller.account.sid == account_sid:
        return caller.account
    account = await accounts.find(account_sid)
    if account is None or account.owner_sid != caller.account.sid:
        raise NotFound()
    return account
