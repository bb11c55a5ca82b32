"""Open accounts, give them keys, and change their tokens. A secret is returned once and kept sealed."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import InvalidFriendlyName, NotAllowed
from callreel.ledger.accounts import Accounts
from callreel.model.account import Account, AccountStatus, ApiKey
from callreel.model.deed import CALLREEL, Action, Actor, changes
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
    by: Actor = CALLREEL,
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
    deed = by.deed(
        Action.ACCOUNT_CREATED, sid, sid, friendly_name=friendly_name, owner=None if parent is None else parent.sid
    )
    await accounts.keep(account, token_digest=digest.digest(token), token_sealed=_seal(token, sid, keyring), deed=deed)
    return account, token


async def rotate_token(
    sid: AccountSid,
    *,
    accounts: Accounts,
    keyring: Keyring,
    digest: TokenDigest,
    clock: Clock,
    by: Actor = CALLREEL,
) -> tuple[Account, str]:
    """Replace an account's auth token; the old one stops working at once. Raises `NotFound`."""
    token = mint_token()
    account = await accounts.change(
        sid,
        now=clock.now(),
        token=(digest.digest(token), _seal(token, sid, keyring)),
        deeds=[by.deed(Action.TOKEN_ROTATED, sid, sid)],
    )
    return account, token


async def change_account(
    account: Account,
    *,
    friendly_name: str | None,
    status: AccountStatus | None,
    accounts: Accounts,
    clock: Clock,
    by: Actor = CALLREEL,
) -> Account:
    """Rename an account, or suspend, activate or close it. What is None stays.

    Raises `InvalidFriendlyName`, and `NotFound` when it went meanwhile.
    """
    deeds = []
    if friendly_name is not None:
        told = changes({"friendly_name": account.friendly_name}, {"friendly_name": check_friendly_name(friendly_name)})
        deeds.append(by.deed(Action.ACCOUNT_CHANGED, account.sid, account.sid, changes=told))
    if status is not None:
        deeds.append(by.deed(_BECOMES[status], account.sid, account.sid, before=str(account.status)))
    return await accounts.change(account.sid, now=clock.now(), friendly_name=friendly_name, status=status, deeds=deeds)


_BECOMES = {
    AccountStatus.ACTIVE: Action.ACCOUNT_ACTIVATED,
    AccountStatus.SUSPENDED: Action.ACCOUNT_SUSPENDED,
    AccountStatus.CLOSED: Action.ACCOUNT_CLOSED,
}


async def issue_key(
    account: Account,
    friendly_name: str,
    *,
    accounts: Accounts,
    digest: TokenDigest,
    clock: Clock,
    by: Actor = CALLREEL,
) -> tuple[ApiKey, str]:
    """A new API key of an account with its secret, which is shown this once. Raises `InvalidFriendlyName`."""
    if friendly_name:
        check_friendly_name(friendly_name)
    secret = mint_api_secret()
    now = clock.now()
    key = ApiKey(
        sid=mint_sid("SK"), account_sid=account.sid, friendly_name=friendly_name, date_created=now, date_updated=now
    )
    deed = by.deed(Action.KEY_CREATED, account.sid, key.sid, friendly_name=friendly_name)
    await accounts.keep_key(key, secret_digest=digest.digest(secret), deed=deed)
    return key, secret


def check_friendly_name(name: str) -> str:
    """The name itself if it has 1 to 64 characters. Raises `InvalidFriendlyName`."""
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise InvalidFriendlyName()
    return name


def _seal(token: str, sid: AccountSid, keyring: Keyring) -> bytes:
    return keyring.seal(token.encode(), table="accounts", row=sid, account=sid)
