"""Open accounts, give them keys, and change their tokens. A secret is returned once and kept sealed."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import InvalidFriendlyName, NotAllowed
from callreel.ledger.accounts import Accounts
from callreel.model.account import Account, AccountStatus, ApiKey
from callreel.model.sid import AccountSid, mint_sid
from callreel.sealing.keyring import Keyring
from callreel.sealing.tokens import TokenDigest, mint_api_secret, mint_token


async def open_account(
    friendly_name: str,
    *,
    parent: Account | None,
    accounts: Accounts,
    keyring: Keyring,
    digest: TokenDigest,
    clock: Clock,
) -> tuple[Account, str]:
    """A new account, or a subaccount of `parent`, with its auth token, which is shown this once.

    Raises `InvalidFriendlyName`, and `NotAllowed` for a subaccount of a subaccount.
    """
    check_friendly_name(friendly_name)
    if parent is not None and parent.owner_sid != parent.sid:
        raise NotAllowed("A subaccount cannot have subaccounts")
    sid = AccountSid(mint_sid("AC"))
    token = mint_token()
    now = clock.now()
    account = Account(
        sid=sid,
        owner_sid=parent.sid if parent else sid,
        friendly_name=friendly_name,
        status=AccountStatus.ACTIVE,
        date_created=now,
        date_updated=now,
    )
    await accounts.keep(account, token_digest=digest.digest(token), token_sealed=_seal(token, sid, keyring))
    return account, token


async def rotate_token(
    sid: AccountSid, *, accounts: Accounts, keyring: Keyring, digest: TokenDigest, clock: Clock
) -> tuple[Account, str]:
    """Replace an account's auth token; the old one stops working at once. Raises `NotFound`."""
    token = mint_token()
    account = await accounts.change(sid, now=clock.now(), token=(digest.digest(token), _seal(token, sid, keyring)))
    return account, token


async def issue_key(
    account: Account, friendly_name: str, *, accounts: Accounts, digest: TokenDigest, clock: Clock
) -> tuple[ApiKey, str]:
    """A new API key of an account with its secret, which is shown this once. Raises `InvalidFriendlyName`."""
    if friendly_name:
        check_friendly_name(friendly_name)
    secret = mint_api_secret()
    now = clock.now()
    key = ApiKey(
        sid=mint_sid("SK"), account_sid=account.sid, friendly_name=friendly_name, date_created=now, date_updated=now
    )
    await accounts.keep_key(key, secret_digest=digest.digest(secret))
    return key, secret


def check_friendly_name(name: str) -> str:
    """The name itself if it has 1 to 64 characters. Raises `InvalidFriendlyName`."""
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise InvalidFriendlyName()
    return name


def _seal(token: str, sid: AccountSid, keyring: Keyring) -> bytes:
    return keyring.seal(token.encode(), table="accounts", row=sid, account=sid)
