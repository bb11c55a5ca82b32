"""How recordings of a source become items: each once, whoever lists it, and under its own name where that is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Text, any_, bindparam, case, select, union_all, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.ledger.tables import migration_items, recordings, tombstones
from callreel.model.moved_item import ItemState
from callreel.model.sid import is_sid, mint_sid
from callreel.model.source import Source, SourceRecording

MOVE = "move"
"""The job of a source with items that are due."""

INVENTORY = "inventory"
"""The job of a migration whose list is still being read."""

_AGAIN = (ItemState.KEPT, ItemState.DELETE_FAILED, ItemState.FAILED, ItemState.SKIPPED)
_UNDERWAY = (ItemState.LISTED, ItemState.FETCHED, ItemState.DELETE_INTENT)
c = migration_items.c


@dataclass(frozen=True, slots=True)
class TakenIn:
    """How many of a page were new, and how many known ones now belong to the migration that lists them."""

    new: int
    adopted: int


async def take_in(
    transaction: AsyncConnection,
    source: Source,
    found: Iterable[SourceRecording],
    *,
    host_id: str,
    migration_sid: str | None,
    kept_sources: Mapping[str, str],
    now: datetime,
) -> TakenIn:
    """Write the items of what a source lists, inside the caller's transaction. May be repeated with the same page.

    A migration also adopts what it finds unfinished, or finished without the original being deleted: that is tried
    again. What is no SID is left out: nothing could be asked about it.
    """
    listed = {one.sid: one for one in found if is_sid("RE", one.sid)}
    if not listed:
        return TakenIn(0, 0)
    known = set((await transaction.execute(_KNOWN, {"source": source.sid, "sids": list(listed)})).scalars())
    adopted = 0
    if known and migration_sid is not None:
        adopted = await _adopt(transaction, source, sorted(known), migration_sid, now)
    missing = [one for sid, one in listed.items() if sid not in known]
    new = 0
    while missing:
        taken = set((await transaction.execute(_TAKEN, {"sids": [one.sid for one in missing]})).scalars())
        rows = [_row(source, one, one.sid not in taken, host_id, migration_sid, kept_sources, now) for one in missing]
        done = set((await transaction.execute(_INSERT, rows)).scalars())
        new += len(done)
        # Somebody else took the name, or wrote the item, between our look and our insert: look again.
        left = [one.sid for one in missing if one.sid not in done]
        if not left:
            break
        known = set((await transaction.execute(_KNOWN, {"source": source.sid, "sids": left})).scalars())
        missing = [listed[sid] for sid in left if sid not in known]
    return TakenIn(new, adopted)


async def _adopt(
    transaction: AsyncConnection, source: Source, sids: Sequence[str], migration_sid: str, now: datetime
) -> int:
    mine = (c.source_sid == source.sid, c.source_recording_sid.in_(sids))
    others = c.migration_sid.is_distinct_from(migration_sid)
    again = await transaction.execute(
        update(migration_items)
        .where(*mine, others, c.state.in_(_AGAIN))
        .values(migration_sid=migration_sid, **taken_up_again(now))
    )
    underway = await transaction.execute(
        update(migration_items).where(*mine, others, c.state.in_(_UNDERWAY)).values(migration_sid=migration_sid)
    )
    return again.rowcount + underway.rowcount


def taken_up_again(now: datetime) -> dict[str, Any]:
    """The columns of a finished item that is tried once more: what was fetched is only settled again."""
    return {
        "state": case((c.fetched_at.is_not(None), ItemState.FETCHED.value), else_=ItemState.LISTED.value),
        "fence": c.fence + 1,
        "attempts": 0,
        "delete_attempts": 0,
        "next_attempt_at": now,
        "reason": None,
        "detail": None,
        "remedy": None,
        "date_updated": now,
    }


def _row(
    source: Source,
    one: SourceRecording,
    keeps_its_name: bool,
    host_id: str,
    migration_sid: str | None,
    kept_sources: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    return {
        "recording_sid": one.sid if keeps_its_name else mint_sid("RE"),
        "source_sid": source.sid,
        "source_recording_sid": one.sid,
        "account_sid": source.account_sid,
        "migration_sid": migration_sid,
        "host_id": host_id,
        "state": ItemState.LISTED,
        "fence": 1,
        "origin": one.as_json(),
        "kept_source": kept_sources.get(one.sid, source.kept_as(one)),
        "source_link": f"{source.base_url}/2010-04-01/Accounts/{one.account_sid}/Recordings/{one.sid}",
        "attempts": 0,
        "delete_attempts": 0,
        "next_attempt_at": now,
        "date_created": now,
        "date_updated": now,
    }


_SIDS = any_(bindparam("sids", type_=ARRAY(Text)))
_KNOWN = select(c.source_recording_sid).where(c.source_sid == bindparam("source"), c.source_recording_sid == _SIDS)
_TAKEN = union_all(
    select(recordings.c.sid).where(recordings.c.sid == _SIDS),
    select(tombstones.c.sid).where(tombstones.c.sid == _SIDS),
    select(c.recording_sid).where(c.recording_sid == _SIDS),
)
_INSERT = upsert(migration_items).on_conflict_do_nothing().returning(c.source_recording_sid)
