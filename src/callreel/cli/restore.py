"""`callreel restore`: a backup into an installation that has no database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from callreel.app import Database, current_keys, open_ledger
from callreel.at_rest.backup_file import BackupFile
from callreel.cli.asked import Asked, command
from callreel.errors import Misconfigured
from callreel.model.backup import Manifest
from callreel.sealing.key_file import KeyFile
from callreel.settings import Settings
from callreel.spool.spool import Spool
from callreel.steps.bring_back import bring_back, keep_key_in_use, open_backup

app = typer.Typer(add_completion=False)


@command(app, "restore", example="callreel restore /var/backups/callreel.backup --data-dir /var/lib/callreel")
def restore(asked: Asked, file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")]) -> None:
    """Restore a backup into a data directory without a database.

    Put the master key there first; a spool and a service storage that survived may be there too. The next
    `callreel serve` compares the database with them before any job runs: what has no media is held, what has no row
    goes to quarantine, nothing is deleted.
    """
    settings = asked.settings()
    key_file = None if settings.master_key else KeyFile(settings.data_dir)
    keys = [*current_keys(settings), *(key_file.retired() if key_file else [])]
    backup = open_backup(file, data_dir=settings.data_dir, keys=keys)
    if key_file is not None:
        keep_key_in_use(backup, key_file)
    database = Database(settings)
    try:
        manifest = uvloop.run(_restored(settings, database.start(), backup))
    finally:
        database.stop()
    document = {
        "ok": True,
        "made_at": manifest.made_at.isoformat(),
        "schema": manifest.schema,
        "host": manifest.host_id,
    }
    words = f"Restored the database of {manifest.made_at:%Y-%m-%d %H:%M} UTC. Start the service: it compares it first."
    asked.answer(document, words)


async def _restored(settings: Settings, url: str, backup: BackupFile) -> Manifest:
    spool = Spool(settings.spool_dir)
    try:
        async with open_ledger(url) as ledger:
            return await bring_back(backup, ledger=ledger, spool=spool, database_url=url)
    except OSError as why:
        raise Misconfigured(f"The spool {settings.spool_dir} cannot be used: {why.strerror}") from why
    finally:
        spool.close()
