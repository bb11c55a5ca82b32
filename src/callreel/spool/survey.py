"""What lies on disk: the facts recovery compares with the ledger. Looking changes nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from callreel.model.sid import is_sid
from callreel.spool.durable import remove, rename_without_replacing, sync_directory
from callreel.spool.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file of the spool. `sid` is None when the name is none of ours; `age_s` counts from its last change."""

    path: Path
    sid: str | None
    is_sealed: bool
    age_s: float
    size_bytes: int


def survey_ready(spool: Spool, *, now_s: float) -> Iterator[Found]:
    """Everything in `ready/`; `now_s` is seconds since 1970 by the caller's clock."""
    yield from _survey(spool.ready, now_s)


def survey_tmp(spool: Spool, *, now_s: float) -> Iterator[Found]:
    """Everything in `tmp/`: what was being written when somebody died, or is being written now."""
    yield from _survey(spool.tmp, now_s)


def put_in_quarantine(spool: Spool, found: Found) -> Path:
    """Take a file nobody can explain out of the way, for a person to look at. It is never deleted."""
    target = spool.quarantine / f"{found.path.name}.{secrets.token_hex(4)}"
    rename_without_replacing(found.path, target)
    sync_directory(spool.quarantine)
    sync_directory(found.path.parent)
    return target


def survey_quarantine(spool: Spool, *, now_s: float) -> Iterator[Found]:
    """Everything in `quarantine/`."""
    yield from _survey(spool.quarantine, now_s)


def remove_from_quarantine(spool: Spool, name: str) -> None:
    """Remove one file, on a person's word; write down why before. A name that leads elsewhere is nothing."""
    if "/" not in name and remove(spool.quarantine / name):
        sync_directory(spool.quarantine)


def discard(spool: Spool, found: Found) -> None:
    """Remove a file whose bytes are known to be nobody's, or to lie elsewhere."""
    if remove(found.path):
        sync_directory(found.path.parent)


def _survey(directory: Path, now_s: float) -> Iterator[Found]:
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # released while we looked
            stem, _, suffix = entry.name.partition(".")
            sid = stem if is_sid(stem[:2], stem) else None
            yield Found(
                path=Path(entry.path),
                sid=sid,
                is_sealed=suffix.startswith("sealed"),
                age_s=now_s - status.st_mtime,
                size_bytes=status.st_size,
            )
