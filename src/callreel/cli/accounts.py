"""`callreel accounts`: open, list, suspend, close and activate accounts, change their tokens, give them keys."""

from __future__ import annotations

from typing import Annotated

import typer

from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import NotFound, StateConflict
from callreel.ledger.paging import Place
from callreel.model.account import Account, AccountStatus, ApiKey
from callreel.model.deed import OPERATOR, Action
from callreel.model.sid import AccountSid
from callreel.parts import Parts
from callreel.steps import open_account
from callreel.steps.close_account import delete_with_account, destroy_account_key

app = typer.Typer(add_completion=False, help="Accounts, their tokens and their API keys.", no_args_is_help=True)
keys = typer.Typer(add_completion=False, help="API keys of an account.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Sid = Annotated[str, typer.Argument(metavar="AC…", help="The account's SID.")]
Name = Annotated[str, typer.Option(help="1 to 64 characters.")]


@command(app, "accounts create", example='callreel accounts create --friendly-name "Acme"')
def create(
    asked: Asked,
    friendly_name: Name,
    parent: Annotated[str | None, typer.Option(metavar="AC…", help="Make it a subaccount of this one.")] = None,
) -> None:
    """Open an account. Its auth token is shown this once."""

    async def work(parts: Parts) -> dict[str, str]:
        owner = await parts.ledger.accounts.fetch(AccountSid(parent)) if parent else None
        account, token = await open_account.open_account(
            friendly_name,
            parent=owner,
            accounts=parts.ledger.accounts,
            keyring=parts.keyring,
            digest=parts.digest,
            clock=parts.clock,
            by=OPERATOR,
        )
        return {"sid": account.sid, "auth_token": token, "friendly_name": account.friendly_name}

    made = with_parts(asked.settings(of_an_installation=False), work)
    asked.answer(made, _sign_in(made))


@command(app, "accounts list", example="callreel accounts list --json")
def list_accounts(asked: Asked) -> None:
    """List every account, oldest first."""

    async def work(parts: Parts) -> list[dict[str, str]]:
        return [
            {
                "sid": account.sid,
                "owner_account_sid": account.owner_sid,
                "friendly_name": account.friendly_name,
                "status": str(account.status),
                "date_created": account.date_created.isoformat(timespec="seconds"),
            }
            for account in await parts.ledger.accounts.list_all()
        ]

    rows = with_parts(asked.settings(), work)
    lines = [f"{row['sid']}  {row['status']:<9}  {row['friendly_name']}" for row in rows]
    asked.answer({"accounts": rows}, "\n".join(lines) or "No accounts yet: callreel accounts create")


@command(app, "accounts suspend", example="callreel accounts suspend AC…")
def suspend(asked: Asked, sid: Sid) -> None:
    """Refuse an account's sign-ins until it is activated again. Its recordings stay and are delivered."""
    _change(asked, sid, AccountStatus.SUSPENDED)


@command(app, "accounts activate", example="callreel accounts activate AC…")
def activate(asked: Asked, sid: Sid) -> None:
    """Let a suspended account sign in again."""
    _change(asked, sid, AccountStatus.ACTIVE)


@command(app, "accounts close", example="callreel accounts close AC…")
def close(asked: Asked, sid: Sid) -> None:
    """Close an account for good. Its recordings stay and are delivered, unless its deletion settings say otherwise.

    With DeleteObjectsWithCallLogs a job deletes its call logs, its recordings and their objects. Close it again for
    what could not go yet. Once nothing of it lies here any more, the key of its media is destroyed.
    """
    _change(asked, sid, AccountStatus.CLOSED)


@command(app, "accounts rotate-token", example="callreel accounts rotate-token AC…")
def rotate_token(asked: Asked, sid: Sid) -> None:
    """Replace an account's auth token. The old one stops working at once; the new one is shown this once."""

    async def work(parts: Parts) -> dict[str, str]:
        account, token = await open_account.rotate_token(
            AccountSid(sid),
            accounts=parts.ledger.accounts,
            keyring=parts.keyring,
            digest=parts.digest,
            clock=parts.clock,
            by=OPERATOR,
        )
        return {"sid": account.sid, "auth_token": token, "friendly_name": account.friendly_name}

    changed = with_parts(asked.settings(), work)
    asked.answer(changed, _sign_in(changed))


@command(keys, "accounts keys create", example='callreel accounts keys create AC… --friendly-name "dialer"')
def create_key(asked: Asked, sid: Sid, friendly_name: Name = "") -> None:
    """Give an account an API key. Its secret is shown this once."""

    async def work(parts: Parts) -> dict[str, str]:
        account = await parts.ledger.accounts.fetch(AccountSid(sid))
        key, secret = await open_account.issue_key(
            account, friendly_name, accounts=parts.ledger.accounts, digest=parts.digest, clock=parts.clock, by=OPERATOR
        )
        return {"sid": key.sid, "secret": secret, "friendly_name": key.friendly_name}

    made = with_parts(asked.settings(), work)
    asked.answer(made, f"Key SID  {made['sid']}\nSecret   {made['secret']}\nThe secret is shown this once.")


@command(keys, "accounts keys list", example="callreel accounts keys list AC…")
def list_keys(asked: Asked, sid: Sid) -> None:
    """List an account's API keys, newest first."""

    async def work(parts: Parts) -> list[ApiKey]:
        account = await parts.ledger.accounts.fetch(AccountSid(sid))
        found: list[ApiKey] = []
        place: Place | None = None
        while True:
            page = await parts.ledger.accounts.list_keys(account.sid, place=place, size=500)
            found += page.rows
            if not page.has_next:
                return found
            place = Place(page.rows[-1].date_created, page.rows[-1].sid)

    found = with_parts(asked.settings(), work)
    rows = [
        {
            "sid": key.sid,
            "friendly_name": key.friendly_name,
            "date_created": key.date_created.isoformat(timespec="seconds"),
        }
        for key in found
    ]
    lines = [f"{row['sid']}  {row['date_created']}  {row['friendly_name']}" for row in rows]
    asked.answer({"keys": rows}, "\n".join(lines) or "This account has no API keys.")


@command(keys, "accounts keys revoke", example="callreel accounts keys revoke AC… SK…")
def revoke_key(
    asked: Asked, sid: Sid, key_sid: Annotated[str, typer.Argument(metavar="SK…", help="The key's SID.")]
) -> None:
    """Remove an API key. It stops working at once."""

    async def work(parts: Parts) -> None:
        try:
            key = await parts.ledger.accounts.fetch_key(AccountSid(sid), key_sid)
            deed = OPERATOR.deed(Action.KEY_DELETED, key.account_sid, key.sid, friendly_name=key.friendly_name)
            await parts.ledger.accounts.revoke_key(key.account_sid, key.sid, now=parts.clock.now(), deed=deed)
        except NotFound as why:
            raise NotFound(f"The account {sid} has no API key {key_sid}") from why

    with_parts(asked.settings(), work)
    asked.answer({"sid": key_sid, "revoked": True}, f"{key_sid} is revoked.")


def _change(asked: Asked, sid: str, status: AccountStatus) -> None:

    async def work(parts: Parts) -> Account:
        account = await parts.ledger.accounts.fetch(AccountSid(sid))
        if account.status is AccountStatus.CLOSED and status is not AccountStatus.CLOSED:
            raise StateConflict(f"The account {sid} is closed, and a closed account stays closed")
        changed = await open_account.change_account(
            account,
            friendly_name=None,
            status=status,
            accounts=parts.ledger.accounts,
            clock=parts.clock,
            by=OPERATOR,
        )
        if status is AccountStatus.CLOSED:
            await delete_with_account(changed.sid, ledger=parts.ledger, clock=parts.clock, by=OPERATOR)
            await destroy_account_key(changed.sid, ledger=parts.ledger, keys=parts.keys, clock=parts.clock, by=OPERATOR)
        return changed

    changed = with_parts(asked.settings(), work)
    asked.answer(
        {"sid": changed.sid, "status": str(changed.status), "friendly_name": changed.friendly_name},
        f"{changed.sid} is {changed.status}.",
    )


def _sign_in(made: dict[str, str]) -> str:
    return f"Account SID  {made['sid']}\nAuth token   {made['auth_token']}\nThe token is shown this once."
