"""`callreel quarantine`: files of the spool that nobody can explain, and how one of them may go."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts
from callreel.ledger.examination import Quarantined
from callreel.model.callback import iso
from callreel.model.deed import OPERATOR
from callreel.parts import Parts
from callreel.steps.clear_quarantine import clear_quarantine

app = typer.Typer(add_completion=False, help="Files that nobody can explain.", no_args_is_help=True)


@command(app, "quarantine list", example="callreel quarantine list")
def list_files(asked: Asked) -> None:
    """List what lies in quarantine: files of the spool that no recording names, kept until a person looked at them."""

    async def work(parts: Parts) -> list[Quarantined]:
        found: list[Quarantined] = []
        while page := await parts.ledger.quarantine.list(parts.spool.host_id, after=found[-1].name if found else ""):
            found += page
        return found

    files = with_parts(asked.settings(), work)
    rows = [{"name": one.name, "size_bytes": one.size_bytes, "date_created": iso(one.date_created)} for one in files]
    table = Table("name", "size_bytes", "date_created", box=None)
    for row in rows:
        table.add_row(*map(str, row.values()))
    asked.answer({"files": rows}, table if rows else "Nothing is in quarantine.")


@command(
    app, "quarantine remove", example="callreel quarantine remove RE….0a1b2c3d --reason 'the client sent it again'"
)
def remove(
    asked: Asked,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `quarantine list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why it may go; it is written to the audit.")],
) -> None:
    """Remove one file from quarantine, for a reason that is kept."""
    if not reason.strip():
        raise typer.BadParameter("--reason must say why the file may go")

    async def work(parts: Parts) -> None:
        await clear_quarantine(name, reason, spool=parts.spool, ledger=parts.ledger, clock=parts.clock, by=OPERATOR)

    with_parts(asked.settings(), work)
    asked.answer({"removed": name}, f"{name} is removed.")
