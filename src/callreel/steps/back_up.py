"""Write the database and a list of the spool into one sealed file, while the service runs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import callreel
from callreel.at_rest.backup_file import write_backup
from callreel.clock import Clock
from callreel.errors import Misconfigured
from callreel.ledger.dump import dump, schema_revision
from callreel.ledger.ledger import Ledger
from callreel.model.backup import Manifest, SpooledFile
from callreel.sealing.master_key import MasterKey
from callreel.spool.spool import Spool
from callreel.spool.survey import survey_ready


async def back_up(
    target: Path, *, ledger: Ledger, spool: Spool, database_url: str, master: MasterKey, clock: Clock
) -> tuple[Manifest, int]:
    """Write a backup of this moment; its manifest and its size in bytes.

    The list of the spool comes first, then the dump: what is taken in between is in the dump and not in the list. Media
    is not in it. Raises `Misconfigured` when the file cannot be written or the database not be dumped; then nothing
    is left under the name that was not there before.
    """
    manifest = Manifest(
        version=callreel.__version__,
        schema=await schema_revision(ledger.engine),
        made_at=clock.now(),
        host_id=spool.host_id,
        spool=await asyncio.to_thread(_list_spool, spool),
    )
    try:
        size = await asyncio.to_thread(write_backup, target, manifest, dump(database_url), secret=master.secret)
    except OSError as why:
        raise Misconfigured(f"{target} cannot be written: {why.strerror}") from why
    return manifest, size


def _list_spool(spool: Spool) -> tuple[SpooledFile, ...]:
    """What lies in `ready/`, each file hashed as it lies. What is released meanwhile is left out."""
    found = []
    for file in survey_ready(spool, now_s=0.0):
        try:
            with file.path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except FileNotFoundError:
            continue
        found.append(SpooledFile(name=file.path.name, size_bytes=file.size_bytes, sha256=digest))
    return tuple(sorted(found, key=lambda file: file.name))
