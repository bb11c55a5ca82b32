"""Who may do what at the pretend Twilio: accounts, subaccounts, auth tokens, and API keys of three kinds."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Literal

from callreel.rehearsal.twilio_shelf import TwilioShelf
from callreel.rehearsal.twilio_words import TwilioRefusal

KeyKind = Literal["main", "standard", "read-only"]


@dataclass(slots=True)
class PretendAccount:
    """An account over there. `auth_token` signs in and signs webhooks; `status` may be changed at any time."""

    sid: str
    auth_token: str = field(repr=False)
    friendly_name: str
    owner_sid: str
    status: str = "active"
    keys: dict[str, tuple[str, KeyKind]] = field(default_factory=dict, repr=False)
    shelf: TwilioShelf = field(default_factory=TwilioShelf, repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A caller: whose credential it is, and of which kind."""

    account: PretendAccount
    kind: KeyKind

    def act_for(self, account: PretendAccount | None) -> PretendAccount:
        """The account of the path, if it is the caller's own or a subaccount of it. Raises `TwilioRefusal`."""
        mine = self.account.sid
        if account is None or mine not in (account.sid, account.owner_sid):
            raise not_authenticated()
        return account


def sign_in(header: str, accounts: dict[str, PretendAccount]) -> SignedIn:
    """The caller of a Basic header. Raises `TwilioRefusal`, 401 / 20003."""
    username, password = _basic(header)
    for account in accounts.values():
        if username == account.sid and hmac.compare_digest(password.encode(), account.auth_token.encode()):
            found = SignedIn(account, "main")
            break
        secret, kind = account.keys.get(username, ("", "main"))
        if secret and hmac.compare_digest(password.encode(), secret.encode()):
            found = SignedIn(account, kind)
            break
    else:
        raise not_authenticated()
    if found.account.status != "active":
        raise TwilioRefusal(401, 20005, "Account not active")
    return found


def not_authenticated() -> TwilioRefusal:
    """What Twilio says to a stranger."""
    return TwilioRefusal(401, 20003, "Authenticate")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise not_authenticated()
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as why:
        raise not_authenticated() from why
    return username, password
