"""Put a backup into an installation that has no database yet. The first start then compares it with what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from callreel.at_rest.backup_file import BackupFile
from callreel.errors import Misconfigured
from callreel.ledger.dump import check_known, is_empty, restore
from callreel.ledger.ledger import Ledger
from callreel.model.backup import Manifest
from callreel.sealing.key_file import KeyFile
from callreel.sealing.master_key import MasterKey
from callreel.spool.spool import Spool

_MAY_BE_THERE = {"master.key", "master.key.retired", "spool", "storage", "renditions", "postgres", "rotation.lock"}


def open_backup(path: Path, *, data_dir: Path, keys: Sequence[MasterKey]) -> BackupFile:
    """The backup, opened and verified to its last byte; nothing was changed yet.

    Raises `Misconfigured` when the data directory holds what is no part of a lost installation, for a backup that no
    key of ours opens, that was altered, or whose schema only a newer version knows.
    """
    strange = {entry.name for entry in data_dir.iterdir()} - _MAY_BE_THERE
    if strange:
        raise Misconfigured(f"{data_dir} is not empty ({', '.join(sorted(strange)[:5])}); restore into a new directory")
    backup = BackupFile(path, [key.secret for key in keys])
    check_known(backup.manifest().schema)
    backup.verify()
    return backup


async def bring_back(backup: BackupFile, *, ledger: Ledger, spool: Spool, database_url: str) -> Manifest:
    """Restore into an empty database, all of it or nothing. May be repeated when it was killed.

    The spool gets the name the backup's recordings know it by, and a note that the first start has to compare. Raises
    `Misconfigured`.
    """
    manifest = backup.manifest()
    if not await is_empty(ledger.engine):
        raise Misconfigured("There is a database in this installation already; restore into a new one")
    await asyncio.to_thread(spool.take_name, manifest.host_id)
    await asyncio.to_thread(spool.note_restored, manifest.as_json())
    await asyncio.to_thread(restore, database_url, backup.dump())
    return manifest


def keep_key_in_use(backup: BackupFile, key_file: KeyFile) -> None:
    """Where the backup was made under a retired key, the secrets in it are too: the key opens again."""
    current = key_file.read()
    used = MasterKey(backup.secret)
    if used not in current:
        key_file.replace([*current, used])
