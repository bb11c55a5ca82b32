"""`callreel recover`: what recovery at start does, shown or done without the service."""

from __future__ import annotations

from typing import Annotated

import typer

from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts
from callreel.model.deed import OPERATOR, Action
from callreel.parts import Parts
from callreel.steps.recover import Names, Recovered
from callreel.worker.duties import foresee_recovery, recover_at_start

app = typer.Typer(add_completion=False)

SHOWN = 20
_WORDS = {
    "reminded": "recordings without a job get one",
    "brought_forward": "recordings that wait too long are due now",
    "taken_back": "uploads whose worker is gone wait again",
    "discarded": "files that nobody needs are removed",
    "quarantined": "files that nobody can explain go to quarantine",
}


@command(app, "recover", example="callreel recover --dry-run")
def recover(
    asked: Asked,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
) -> None:
    """Bring ledger, spool and queue together again, as the service does at start and every ten minutes.

    With --dry-run it may run beside the service. Without, it needs the spool for itself.
    """

    async def work(parts: Parts) -> tuple[Recovered, bool]:
        if dry_run:
            return await foresee_recovery(parts)
        parts.spool.lock_for_work()
        recovered = await recover_at_start(parts)
        told = {name: getattr(recovered, name).total for name in _WORDS}
        await parts.ledger.audit.write(OPERATOR.deed(Action.RECOVERY_RUN, None, None, **told))
        return recovered, False

    done, is_worked_on = with_parts(asked.settings(), work)
    found: dict[str, Names] = {name: getattr(done, name) for name in _WORDS}
    document = {
        "dry_run": dry_run,
        "worker_alive": is_worked_on,
        **{name: {"total": names.total, "first": names[:SHOWN]} for name, names in found.items()},
    }
    lines = [f"{names.total} {_WORDS[name]}: {_some(names)}" for name, names in found.items() if names]
    if is_worked_on:
        lines.append("A worker works on this spool: what it has in hand is left to it.")
    asked.answer(document, "\n".join(lines) if done else "\n".join(["There is nothing to recover.", *lines]))


def _some(names: Names) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if names.total > SHOWN else "")
