"""`callreel keys`: a new master key for an installation, while it runs."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import Misconfigured
from callreel.ledger.sealed_values import SealedValues
from callreel.model.deed import OPERATOR, Action
from callreel.parts import Parts
from callreel.sealing.key_file import KeyFile
from callreel.sealing.master_key import parse_master_keys
from callreel.steps.rotate_keys import Rotated, check_given, rotate_keys

app = typer.Typer(add_completion=False, help="The master key.", no_args_is_help=True)


@app.callback()
def _group() -> None: ...


@command(app, "keys rotate", example="callreel keys rotate")
def rotate(asked: Asked) -> None:
    """Bring every stored secret under a new master key, while the service runs. May be repeated after a crash."""
    settings = asked.settings()
    given = settings.master_key.get_secret_value() if settings.master_key else None
    if given is not None:
        check_given(parse_master_keys(given))
    key_file = KeyFile(settings.data_dir) if given is None else None

    async def work(parts: Parts) -> Rotated:
        values = SealedValues(parts.ledger.engine)
        done = await rotate_keys(values=values, keyring=parts.keyring, key_file=key_file, pause=asyncio.sleep)
        told: dict[str, Any] = {
            "key_id": done.key_id,
            "rewrapped": sum(done.rewrapped.values()),
            "retired": done.retired,
        }
        deed = OPERATOR.deed(Action.MASTER_KEY_ROTATED, None, None, **told, broken=len(done.broken))
        await parts.ledger.audit.write(deed)
        return done

    with _alone(settings.data_dir):
        done = with_parts(settings, work)
    total = sum(done.rewrapped.values())
    words = f"{total} secrets are wrapped under the master key {done.key_id}."
    if done.retired:
        words += f" Retired: {', '.join(done.retired)}; kept in master.key.retired for backups made before."
    for one in done.broken:
        words += f"\nDoes not open, left as it is: {one}"
    asked.answer(
        {
            "ok": not done.broken,
            "key_id": done.key_id,
            "rewrapped": done.rewrapped,
            "retired": done.retired,
            "broken": done.broken,
        },
        words,
    )
    if done.broken:
        raise typer.Exit(FAILED)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    with (data_dir / "rotation.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            raise Misconfigured("Another rotation of this installation's keys is under way") from why
        yield
