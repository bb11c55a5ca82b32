"""`callreel config`: the effective settings with their origins, and whether an installation can start with them."""

from __future__ import annotations

import typer
from rich.table import Table

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import CallreelError
from callreel.parts import Parts
from callreel.settings import load_settings, origins

app = typer.Typer(add_completion=False, help="Show the effective settings, or try them.", no_args_is_help=True)


@command(app, "config show", example="callreel config show --json")
def show(asked: Asked) -> None:
    """Show every setting with its value and where it came from. Secrets are masked."""
    found = origins(**asked.flags)
    table = Table("setting", "value", "origin", box=None)
    for one in found:
        table.add_row(one.name, one.value, one.origin)
    asked.answer({"settings": [{"name": o.name, "value": o.value, "origin": o.origin} for o in found]}, table)


@command(app, "config check", example="callreel config check")
def check(asked: Asked) -> None:
    """Open what `serve` would open: settings, data directory, key, database, spool. The first failure ends it."""
    try:
        settings = load_settings(**asked.flags)
        with_parts(settings, _try)
    except CallreelError as why:
        if asked.as_json:
            asked.answer({"ok": False, "reason": why.message}, "")
            raise typer.Exit(FAILED) from why
        raise
    where = "your PostgreSQL" if settings.database_url else "embedded"
    words = f"This installation can start: data in {settings.data_dir.absolute()}, database {where}."
    asked.answer({"ok": True, "data_dir": str(settings.data_dir.absolute()), "database": where}, words)


async def _try(parts: Parts) -> None:
    await parts.ledger.answers()
    parts.spool.check_room(0)
