"""People of the Console: admitted, given other passwords and roles, dismissed. A made password is returned once."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import NotFound
from callreel.ledger.people import People
from callreel.model.account import Account
from callreel.model.deed import CALLREEL, Action, Actor, changes
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
    by: Actor = CALLREEL,
) -> tuple[Person, str | None]:
    """A new person of an account; with their password when none was given and one was made.

    Raises `InvalidParameter` for an address or a password that cannot be used, `StateConflict` for a taken address.
    """
    address = check_email(email)
    chosen = check_password(password) if password is not None else mint_password()
    person = Person(sid=mint_sid("US"), account_sid=account.sid, email=address, role=role, date_created=clock.now())
    deed = by.deed(Action.USER_CREATED, account.sid, person.sid, email=address, role=str(role))
    await people.keep(person, password_hash=await passwords.hash(chosen), deed=deed)
    return person, chosen if password is None else None


async def change_password(
    email: str,
    *,
    password: str | None,
    people: People,
    passwords: Passwords,
    clock: Clock,
    by: Actor = CALLREEL,
) -> tuple[Person, str | None]:
    """Another password for a person, whose sessions all end; it is returned when none was given and one was made.

    Raises `InvalidParameter` and `NotFound`.
    """
    address = check_email(email)
    chosen = check_password(password) if password is not None else mint_password()
    found = await people.find_by_email(address)
    if found is None:
        raise NotFound(f"Nobody signs in as {address}")
    deed = by.deed(Action.USER_CHANGED, found[0].account_sid, found[0].sid, email=address, what="password")
    person = await people.set_password(address, await passwords.hash(chosen), now=clock.now(), deed=deed)
    return person, chosen if password is None else None


async def change_role(person: Person, role: Role, *, people: People, clock: Clock, by: Actor) -> Person:
    """Another role for a person, from their next request on. Raises `StateConflict` for an account's last owner."""
    told = changes({"role": str(person.role)}, {"role": str(role)})
    deed = by.deed(Action.USER_CHANGED, person.account_sid, person.sid, email=person.email, changes=told)
    return await people.set_role(person.account_sid, person.sid, role, now=clock.now(), deed=deed)


async def dismiss_person(person: Person, *, people: People, clock: Clock, by: Actor) -> None:
    """A person signs in no more, and is signed out at once. Raises `StateConflict` for an account's last owner."""
    deed = by.deed(Action.USER_DELETED, person.account_sid, person.sid, email=person.email, role=str(person.role))
    await people.remove_from(person.account_sid, person.sid, now=clock.now(), deed=deed)


async def expel(email: str, *, people: People, clock: Clock, by: Actor) -> Person:
    """As `dismiss_person`, for the operator: whoever they are, the last owner too. Raises `NotFound`."""
    found = await people.find_by_email(email)
    if found is None:
        raise NotFound(f"Nobody signs in as {email}")
    person = found[0]
    deed = by.deed(Action.USER_DELETED, person.account_sid, person.sid, email=email, role=str(person.role))
    return await people.remove(email, now=clock.now(), deed=deed)
