"""Let a person into the Console: from e-mail and password to a session of their own, or no."""

from __future__ import annotations

import secrets

from callreel.clock import Clock
from callreel.errors import AccountNotActive, InvalidParameter, NotAuthenticated
from callreel.ledger.accounts import Accounts
from callreel.ledger.people import People
from callreel.model.person import LONGEST_PASSWORD, Person, Session, check_email
from callreel.sealing.passwords import Passwords
from callreel.sealing.tokens import TokenDigest

WRONG = "This e-mail address and password do not belong together"


async def know_person(email: str, password: str, *, people: People, accounts: Accounts, passwords: Passwords) -> Person:
    """The person of an address and a password.

    The same error, after the same work, for an unknown address and a wrong password. Raises `NotAuthenticated`,
    and `AccountNotActive` when the password was right and the account is suspended or closed.
    """
    try:
        found = await people.find_by_email(check_email(email))
    except InvalidParameter:
        found = None
    right = await passwords.matches(password[: LONGEST_PASSWORD + 1], found[1] if found else None)
    if found is None or not right:
        raise NotAuthenticated(WRONG)
    person = found[0]
    if not (await accounts.fetch(person.account_sid)).is_active:
        raise AccountNotActive("This account is suspended. Ask the operator of the installation.")
    return person


async def begin_session(
    person: Person, *, kept_form: bytes | None, people: People, digest: TokenDigest, clock: Clock
) -> str:
    """A new session; what is returned is for the person's browser alone, and only its digest is kept.

    `kept_form` is what the person had typed when their last session ended, sealed.
    """
    token = secrets.token_urlsafe(32)
    now = clock.now()
    session = Session(
        digest=session_digest(token, digest),
        user_sid=person.sid,
        account_sid=person.account_sid,
        date_created=now,
        seen_at=now,
    )
    await people.begin_session(session, kept_form=kept_form)
    return token


def session_digest(token: str, digest: TokenDigest) -> bytes:
    """Under what a session is kept; no API token can collide with it."""
    return digest.digest(f"session/{token}")
