"""`callreel check`: the invariants of `docs/durability.md` over everything there is, read-only."""

from __future__ import annotations

from typing import Annotated

import typer

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import NotFound
from callreel.examine.examine import Examined, examine
from callreel.examine.finding import Violation
from callreel.examine.scene import Scene
from callreel.model.sid import AccountSid
from callreel.parts import Parts

app = typer.Typer(add_completion=False)


@command(app, "check", example="callreel check --deep")
def check(
    asked: Asked,
    account: Annotated[
        str | None, typer.Option("--account", metavar="AC…", help="Only what is this account's.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read and hash every byte, here and in the buckets.")] = False,
) -> None:
    """Examine database, spool and buckets. One line for each promise that does not hold; then it exits with 1.

    Changes nothing, and may run beside the service. What a write-only key cannot read is a note, not a violation.
    """

    def tell(violation: Violation) -> None:
        if not asked.as_json:
            typer.echo(violation.line)

    async def work(parts: Parts) -> Examined:
        return await examine(await _scene(parts, account, deep=deep), on_violation=tell)

    examined = with_parts(asked.settings(), work)
    notes = [note.as_json(count) for note, count in examined.notes.items()]
    document = {"ok": examined.ok, "violations": [v.as_json() for v in examined.violations], "notes": notes}
    asked.answer(document, "\n".join([*(_in_words(note) for note in notes), _sum(examined)]))
    if not examined.ok:
        raise typer.Exit(FAILED)


async def _scene(parts: Parts, account: str | None, *, deep: bool) -> Scene:
    found = None if account is None else await parts.ledger.accounts.find(AccountSid(account))
    if account is not None and found is None:
        raise NotFound(f"There is no account {account}")
    return Scene(
        ledger=parts.ledger,
        spool=parts.spool,
        buckets=parts.buckets,
        keyring=parts.keyring,
        clock=parts.clock,
        patience=parts.chosen.patience,
        sources=parts.sources,
        account_sid=found.sid if found else None,
        deep=deep,
    )


def _in_words(note: dict[str, str | int]) -> str:
    times = f" ({note['count']} times)" if note["count"] != 1 else ""
    return f"note, {note['invariant']}: {note['subject']}: {note['text']}{times}"


def _sum(examined: Examined) -> str:
    return "Every promise holds." if examined.ok else f"{len(examined.violations)} promises do not hold."
