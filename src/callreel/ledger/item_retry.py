"""Take up again single items that came to an end: states and counts together, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.errors import NotFound
from callreel.ledger.item_intake import taken_up_again
from callreel.ledger.tables import migration_items, migrations
from callreel.model.migration import LIVE, MigrationStatus, counted
from callreel.model.moved_item import MOVED, ItemState
from callreel.model.sid import AccountSid

FAILURES = frozenset({ItemState.FAILED, ItemState.DELETE_FAILED})
"""What is taken up again when nobody says which."""

RETRIED = FAILURES | {ItemState.KEPT, ItemState.SKIPPED}
"""What may be taken up again when it is named."""

i, m = migration_items.c, migrations.c


async def retry_items(
    transaction: AsyncConnection,
    account_sid: AccountSid,
    source_sid: str,
    migration_sid: str | None,
    *,
    named: Collection[str],
    now: datetime,
) -> Sequence[str]:
    """Make items of a migration due again, or with None those of a source that no migration lists.

    `named` are recordings by their SIDs here or there; none means all that failed. What is under way, or whose
    original is gone, is left as it is. Returns the SIDs of what was taken up. Raises `NotFound` for a name that is
    not among the items; then nothing is changed.
    """
    query = select(i.recording_sid, i.source_recording_sid, i.state, i.media_size_bytes).where(
        i.account_sid == account_sid, i.source_sid == source_sid, i.migration_sid.is_not_distinct_from(migration_sid)
    )
    if named:
        query = query.where(or_(i.recording_sid.in_(named), i.source_recording_sid.in_(named)))
    else:
        query = query.where(i.state.in_(FAILURES))
    found = (await transaction.execute(query.with_for_update())).all()
    known = {sid for row in found for sid in (row.recording_sid, row.source_recording_sid)}
    if unknown := sorted(set(named) - known):
        raise NotFound(f"There is no recording {unknown[0]} among them; nothing was taken up")
    again = [row for row in found if row.state in RETRIED]
    sids = [row.recording_sid for row in again]
    if not sids:
        return []
    await transaction.execute(
        update(migration_items)
        .where(i.account_sid == account_sid, i.recording_sid.in_(sids))
        .values(**taken_up_again(now))
    )
    if migration_sid is not None:
        less: Counter[str] = Counter()
        for row in again:
            less.update(counted(ItemState(row.state)))
            less["bytes"] += (row.media_size_bytes or 0) * (row.state in MOVED)
        await transaction.execute(
            update(migrations)
            .where(m.sid == migration_sid, m.account_sid == account_sid)
            .values(date_updated=now, **{name: m[name] - by for name, by in less.items() if by})
        )
        await _run_again(transaction, account_sid, source_sid, migration_sid)
    return sids


async def _run_again(
    transaction: AsyncConnection, account_sid: AccountSid, source_sid: str, migration_sid: str
) -> None:
    """A completed migration runs again, unless its source has another that does: its items go on all the same."""
    other = migrations.alias("other")
    live = exists().where(
        other.c.account_sid == account_sid, other.c.source_sid == source_sid, other.c.status.in_(LIVE)
    )
    await transaction.execute(
        update(migrations)
        .where(m.sid == migration_sid, m.account_sid == account_sid, m.status == MigrationStatus.COMPLETED, ~live)
        .values(status=MigrationStatus.RUNNING, date_ended=None, reason=None, remedy=None)
    )
