"""`callreel users`: who may sign in to the Console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import InvalidParameter
from callreel.model.deed import OPERATOR
from callreel.model.person import Person, Role, check_email
from callreel.model.sid import AccountSid
from callreel.parts import Parts
from callreel.steps.admit_person import admit_person, change_password, expel

app = typer.Typer(add_completion=False, help="People who may sign in to the Console.", no_args_is_help=True)

Email = Annotated[str, typer.Option(help="What they sign in with.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="Read the password from this file; without it one is made and shown this once.")
]


@command(app, "users create", example="callreel users create --email ada@example.com --account AC… --role operator")
def create(
    asked: Asked,
    email: Email,
    account: Annotated[str, typer.Option(metavar="AC…", help="The account they belong to.")],
    role: Annotated[Role, typer.Option(help="owner: everything; operator: not settings; listener: list and play.")] = (
        Role.LISTENER
    ),
    password_file: PasswordFile = None,
) -> None:
    """Let a person sign in to the Console."""
    password = _read(password_file)

    async def work(parts: Parts) -> tuple[Person, str | None]:
        return await admit_person(
            await parts.ledger.accounts.fetch(AccountSid(account)),
            email,
            role,
            password=password,
            people=parts.ledger.people,
            passwords=parts.passwords,
            clock=parts.clock,
            by=OPERATOR,
        )

    _tell(asked, *with_parts(asked.settings(), work))


@command(app, "users list", example="callreel users list --account AC…")
def list_users(
    asked: Asked,
    account: Annotated[str | None, typer.Option(metavar="AC…", help="Only those of this account.")] = None,
) -> None:
    """List the people who may sign in, oldest first."""

    async def work(parts: Parts) -> list[Person]:
        return list(await parts.ledger.people.list(AccountSid(account) if account else None))

    rows = [_row(person) for person in with_parts(asked.settings(), work)]
    lines = [f"{row['sid']}  {row['role']:<8}  {row['email']}" for row in rows]
    asked.answer({"users": rows}, "\n".join(lines) or "Nobody can sign in yet: callreel users create")


@command(app, "users set-password", example="callreel users set-password --email ada@example.com")
def set_password(asked: Asked, email: Email, password_file: PasswordFile = None) -> None:
    """Give a person another password, and sign them out everywhere."""
    password = _read(password_file)

    async def work(parts: Parts) -> tuple[Person, str | None]:
        return await change_password(
            email,
            password=password,
            people=parts.ledger.people,
            passwords=parts.passwords,
            clock=parts.clock,
            by=OPERATOR,
        )

    _tell(asked, *with_parts(asked.settings(), work))


@command(app, "users remove", example="callreel users remove --email ada@example.com")
def remove(asked: Asked, email: Email) -> None:
    """Remove a person. They are signed out at once."""

    async def work(parts: Parts) -> Person:
        return await expel(check_email(email), people=parts.ledger.people, clock=parts.clock, by=OPERATOR)

    gone = with_parts(asked.settings(), work)
    asked.answer({"sid": gone.sid, "email": gone.email, "removed": True}, f"{gone.email} is removed.")


def _read(path: Path | None) -> str | None:
    """The first line of a password file. Raises `InvalidParameter`."""
    if path is None:
        return None
    try:
        return path.read_text().split("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as why:
        raise InvalidParameter(f"The password file {path} cannot be read") from why


def _tell(asked: Asked, person: Person, password: str | None) -> None:
    words = f"{person.email} signs in as {person.role}."
    document = _row(person)
    if password is not None:
        document["password"] = password
        words += f"\nPassword  {password}\nThe password is shown this once."
    asked.answer(document, words)


def _row(person: Person) -> dict[str, str | None]:
    return {
        "sid": person.sid,
        "account_sid": person.account_sid,
        "email": person.email,
        "role": str(person.role),
        "date_created": person.date_created.isoformat(timespec="seconds"),
        "last_sign_in": person.last_sign_in.isoformat(timespec="seconds") if person.last_sign_in else None,
    }
