"""The people who sign in to the Console, and what each role may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from callreel.errors import InvalidParameter
from callreel.model.sid import AccountSid

SHORTEST_PASSWORD = 12  # NIST SP 800-63B asks for at least 8; a length is the only rule worth having
LONGEST_PASSWORD = 256
IDLE = timedelta(hours=2)  # without a request, a session ends
ABSOLUTE = timedelta(hours=12)  # and after this in any case: a working day
REMEMBERED = timedelta(days=7)  # an ended session is still known for so long, so that a form can be given back
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


class Role(StrEnum):
    """What a person is in their account, and in its subaccounts."""

    OWNER = "owner"
    OPERATOR = "operator"
    LISTENER = "listener"


class Right(StrEnum):
    """What a screen of the Console may ask of a person."""

    LIST = "list"
    PLAY = "play"
    DOWNLOAD = "download"
    TAKE_IN = "take-in"
    RESTART = "restart"
    DELETE = "delete"
    CALLS = "calls"
    MIGRATE = "migrate"
    HOLD = "hold"
    STORAGE = "storage"
    CREDENTIALS = "credentials"
    KEYS = "keys"
    PEOPLE = "people"
    AUDIT = "audit"


_EVERYBODY = frozenset(Role)
_OPERATORS = frozenset({Role.OWNER, Role.OPERATOR})
_OWNERS = frozenset({Role.OWNER})

MAY: dict[Right, frozenset[Role]] = {
    Right.LIST: _EVERYBODY,
    Right.PLAY: _EVERYBODY,
    Right.DOWNLOAD: _EVERYBODY,
    Right.TAKE_IN: _OPERATORS,
    Right.RESTART: _OPERATORS,
    Right.DELETE: _OPERATORS,
    Right.CALLS: _OPERATORS,
    Right.MIGRATE: _OPERATORS,
    Right.HOLD: _OWNERS,
    Right.STORAGE: _OWNERS,
    Right.CREDENTIALS: _OWNERS,
    Right.KEYS: _OWNERS,
    Right.PEOPLE: _OWNERS,
    Right.AUDIT: _OWNERS,
}
"""Who may do what. Reading call logs is `LIST`; `CALLS` is deleting them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may sign in for one account. The password is kept as an argon2id hash, beside and not in here."""

    sid: str
    account_sid: AccountSid
    email: str
    role: Role
    date_created: datetime
    last_sign_in: datetime | None = None

    def may(self, right: Right) -> bool:
        """Whether this person's role has the right."""
        return self.role in MAY[right]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One signed-in browser. `account_sid` is the account it looks at: the person's own or a subaccount of it."""

    digest: bytes
    user_sid: str
    account_sid: AccountSid
    date_created: datetime
    seen_at: datetime
    ended: bool = False

    def is_over(self, now: datetime) -> bool:
        """Signed out, too long without a request, or too old."""
        return self.ended or now - self.seen_at > IDLE or now - self.date_created > ABSOLUTE


def check_email(email: str) -> str:
    """The address as it is kept: without blanks around it, in lower case. Raises `InvalidParameter`."""
    kept = email.strip().lower()
    if not _EMAIL.fullmatch(kept):
        raise InvalidParameter(f"'{email[:80]}' is not an e-mail address", parameter="Email")
    return kept


def check_password(password: str) -> str:
    """The password itself. Raises `InvalidParameter` when it is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidParameter(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; this one has {len(password)}",
            parameter="Password",
        )
    return password
