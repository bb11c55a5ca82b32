"""`callreel clock`: whether the wall clocks of the workers are trusted, and a person's word that they are right."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts
from callreel.ledger.heartbeats import Heartbeat
from callreel.model.callback import iso
from callreel.model.deed import OPERATOR, Action
from callreel.parts import Parts

app = typer.Typer(add_completion=False, help="The workers' clocks, and whether they are trusted.", no_args_is_help=True)


@command(app, "clock show", example="callreel clock show")
def show(asked: Asked) -> None:
    """Show each worker's last heartbeat. While a clock is distrusted, nothing goes because its time has come."""

    async def work(parts: Parts) -> list[Heartbeat]:
        return list(await parts.ledger.heartbeats.list())

    rows = [_row(one) for one in with_parts(asked.settings(), work)]
    table = Table("host_id", "last_heartbeat", "trusted", "why", box=None)
    for row in rows:
        table.add_row(
            *("" if row[name] is None else str(row[name]) for name in ("host_id", "last_heartbeat", "trusted", "why"))
        )
    asked.answer({"clocks": rows}, table if rows else "No worker has been here yet.")


@command(app, "clock confirm", example="callreel clock confirm")
def confirm(asked: Asked) -> None:
    """Say that the clocks are right: purging and erasing go on. Look at the time first."""

    async def work(parts: Parts) -> int:
        deed = OPERATOR.deed(Action.CLOCK_CONFIRMED, None, now=iso(parts.clock.now()))
        return await parts.ledger.heartbeats.confirm(deed, now=parts.clock.now())

    confirmed = with_parts(asked.settings(), work)
    asked.answer(
        {"confirmed": confirmed}, f"{confirmed} clocks are trusted again." if confirmed else "No clock was distrusted."
    )


def _row(one: Heartbeat) -> dict[str, Any]:
    return {
        "host_id": one.host_id,
        "last_heartbeat": iso(one.beat.wall),
        "trusted": one.trust.is_whole,
        "why": one.trust.why,
        "sane_seconds": round(one.trust.sane_s),
    }
