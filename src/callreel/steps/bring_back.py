"""Put a backup into an installation that has no database yet. The first start then compares it with what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from callreel.at_rest.backup_file import BackupFile
from callreel.errors import Misconfigured
from callreel.failpoints import reach
from callreel.ledger.dump import check_known, is_being_restored, is_empty, restore, schema_revision
from callreel.ledger.ledger import Ledger
from callreel.model.backup import Manifest
from callreel.sealing.key_file import KeyFile, is_draft_of_key
from callreel.sealing.master_key import MasterKey
from callreel.spool.spool import Spool

PIECE_BYTES = 1 << 15
_MAY_BE_THERE = {"master.key", "master.key.retired", "spool", "storage", "renditions", "postgres", "rotation.lock"}


def open_backup(path: Path, *, data_dir: Path, keys: Sequence[MasterKey]) -> BackupFile:
    """The backup, opened and verified to its last byte; nothing was changed yet.

    Raises `Misconfigured` when the data directory holds what is no part of a lost installation, for a backup that no
    key of ours opens, that was altered, or whose schema only a newer version knows.
    """
    there = {entry.name for entry in data_dir.iterdir() if not is_draft_of_key(entry.name)}
    strange = there - _MAY_BE_THERE
    if strange:
        raise Misconfigured(f"{data_dir} is not empty ({', '.join(sorted(strange)[:5])}); restore into a new directory")
    backup = BackupFile(path, [key.secret for key in keys])
    check_known(backup.manifest().schema)
    backup.verify()
    return backup


async def bring_back(backup: BackupFile, *, ledger: Ledger, spool: Spool, database_url: str) -> Manifest:
    """Restore into an empty database, all of it or nothing. May be repeated when it was killed.

    1. the spool gets the name the backup's recordings know it by 2. and a note that the first start has to compare
    3. the dump is restored, in one transaction

    Killed after 3, the note still says which backup it was: then there is nothing left to do. Raises `Misconfigured`.
    """
    manifest = backup.manifest()
    if await is_being_restored(ledger.engine):
        raise Misconfigured("A restore of this database is still being rolled back or finished; try again in a moment")
    if not await is_empty(ledger.engine):
        if spool.restored_from() == manifest.as_json() and await schema_revision(ledger.engine) == manifest.schema:
            return manifest
        raise Misconfigured("There is a database in this installation already; restore into a new one")
    await asyncio.to_thread(spool.take_name, manifest.host_id)
    reach("B1")
    await asyncio.to_thread(spool.note_restored, manifest.as_json())
    reach("B2")
    await asyncio.to_thread(restore, database_url, _pieces(backup))
    reach("B4")
    return manifest


def _pieces(backup: BackupFile) -> Iterator[bytes]:
    for piece in backup.dump():
        for start in range(0, len(piece), PIECE_BYTES):
            yield piece[start : start + PIECE_BYTES]
            reach("B3")


def keep_key_in_use(backup: BackupFile, key_file: KeyFile) -> None:
    """Where the backup was made under a retired key, the secrets in it are too: the key opens again."""
    current = key_file.read()
    used = MasterKey(backup.secret)
    if used not in current:
        key_file.replace([*current, used])
