"""`callreel backup`: the database and the list of the spool in one sealed file, while the service runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from callreel.app import current_keys
from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts_and_url
from callreel.model.backup import Manifest
from callreel.model.deed import OPERATOR, Action
from callreel.parts import Parts
from callreel.steps.back_up import back_up

app = typer.Typer(add_completion=False)


@command(app, "backup", example="callreel backup /var/backups/callreel.backup")
def backup(
    asked: Asked, file: Annotated[Path, typer.Argument(metavar="FILE", help="Replaced once the new one is whole.")]
) -> None:
    """Write the database and the list of the spool into FILE, sealed under the master key. The media is not in it.

    Keep the master key elsewhere: without it the backup does not open.
    """
    settings = asked.settings()
    master = current_keys(settings)[0]

    async def work(parts: Parts, database_url: str) -> tuple[Manifest, int]:
        manifest, size_bytes = await back_up(
            file, ledger=parts.ledger, spool=parts.spool, database_url=database_url, master=master, clock=parts.clock
        )
        made: dict[str, Any] = {"schema": manifest.schema, "size_bytes": size_bytes, "master_key_id": master.id.hex()}
        await parts.ledger.audit.write(OPERATOR.deed(Action.BACKUP_MADE, None, None, **made))
        return manifest, size_bytes

    manifest, size_bytes = with_parts_and_url(settings, work)
    document = {
        "ok": True,
        "file": str(file.absolute()),
        "size_bytes": size_bytes,
        "made_at": manifest.made_at.isoformat(),
        "schema": manifest.schema,
        "spooled_files": len(manifest.spool),
        "master_key_id": master.id.hex(),
    }
    words = (
        f"{file}: {size_bytes} bytes, schema {manifest.schema}, {len(manifest.spool)} files in the spool. "
        f"Opens with the master key {master.id.hex()}; keep that key elsewhere."
    )
    asked.answer(document, words)
