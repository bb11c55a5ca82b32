"""Admit people to the Console, and change their passwords. A generated password is returned once."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import NotFound
from callreel.ledger.people import People
from callreel.model.account import Account
from callreel.model.person import Person, Role, check_email, check_password
from callreel.model.sid import mint_sid
from callreel.sealing.passwords import Passwords, mint_password


async def admit_person(
    account: Account,
    email: str,
    role: Role,
    *,
    password: str | None,
    people: People,
    passwords: Passwords,
    clock: Clock,
) -> tuple[Person, str | None]:
    """A new person of an account; with their password when none was given and one was made.

    Raises `InvalidParameter` for an address or a password that cannot be used, `StateConflict` for a taken address.
    """
    address = check_email(email)
    chosen = check_password(password) if password is not None else mint_password()
    person = Person(sid=mint_sid("US"), account_sid=account.sid, email=address, role=role, date_created=clock.now())
    await people.keep(person, password_hash=await passwords.hash(chosen))
    return person, chosen if password is None else None


async def change_password(
    email: str, *, password: str | None, people: People, passwords: Passwords, clock: Clock
) -> tuple[Person, str | None]:
    """Another password for a person, whose sessions all end; it is returned when none was given and one was made.

    Raises `InvalidParameter` and `NotFound`.
    """
    address = check_email(email)
    chosen = check_password(password) if password is not None else mint_password()
    if await people.find_by_email(address) is None:
        raise NotFound(f"Nobody signs in as {address}")
    person = await people.set_password(address, await passwords.hash(chosen), now=clock.now())
    return person, chosen if password is None else None
