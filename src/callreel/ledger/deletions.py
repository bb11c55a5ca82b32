"""Deletions of many things: frozen when they are asked for, then worked off a batch at a time.

What is found at that moment is written down as items, by one statement, and only those are ever touched. A worker
that dies leaves items without an outcome, and the next one goes on with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    RowMapping,
    Select,
    Text,
    any_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.clock import Clock
from callreel.errors import NotFound, StateConflict
from callreel.ledger.audit import write_deeds
from callreel.ledger.campaigns import remove_if_empty, set_campaign_status
from callreel.ledger.idempotency import claim_key
from callreel.ledger.jobs import JobRow, write_jobs
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.recordings import RecordingFilter, wanted_sids
from callreel.ledger.tables import calls, deletion_items, deletions, recordings
from callreel.model.campaign import CampaignStatus
from callreel.model.create_key import CreateKey
from callreel.model.deed import Deed
from callreel.model.deletion import Deletion, DeletionItem, DeletionKind, DeletionStatus, FrozenGroup
from callreel.model.recording import COMPLETED, State
from callreel.model.sid import AccountSid

DELETE_MANY = "delete-many"
"""The job of a running deletion; its subject is the deletion's SID."""
RECEIPT = "receipt"
"""The job of a receipt that is due; its subject is the deletion's SID."""
DRAFT_LIVES = timedelta(days=1)


class Deletions:
    """The deletions of all accounts, one account at a time."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    async def freeze_recordings(
        self, deletion: Deletion, wanted: RecordingFilter | Sequence[str], *, key: CreateKey | None, deed: Deed | None
    ) -> Deletion:
        """Write down which recordings match now. Running at once unless it is a dry run.

        Returns the deletion, or the one that an earlier request with the same key made. Raises `NotFound` when one of
        a list of SIDs is none of the account's, and `IdempotencyConflict`.
        """
        query = (
            wanted_sids(deletion.account_sid, wanted)
            if isinstance(wanted, RecordingFilter)
            else _named(deletion.account_sid, wanted)
        )
        least = 0 if isinstance(wanted, RecordingFilter) else len(set(wanted))
        return await self._freeze(deletion, query, key=key, deed=deed, least=least)

    async def freeze_campaign(self, deletion: Deletion, *, deed: Deed) -> Deletion:
        """Write down which call logs carry the campaign, and let no other join it."""
        c = calls.c
        mine = (c.account_sid == deletion.account_sid, c.campaign_sid == deletion.campaign_sid)
        query = select(c.sid).where(*mine).order_by(c.date_created)
        return await self._freeze(deletion, query, key=None, deed=deed)

    async def freeze_account(self, deletion: Deletion, *, deed: Deed) -> Deletion:
        """Write down every recording and call log of an account."""
        r, c = recordings.c, calls.c
        gone = (State.DELETING, State.DELETED, State.PURGED)
        query = union_all(
            select(r.sid).where(r.account_sid == deletion.account_sid, r.state.not_in(gone)),
            select(c.sid).where(c.account_sid == deletion.account_sid),
        )
        return await self._freeze(deletion, select(query.subquery("everything").c.sid), key=None, deed=deed)

    async def _freeze(
        self, deletion: Deletion, query: Select[Any], *, key: CreateKey | None, deed: Deed | None, least: int = 0
    ) -> Deletion:
        now = self._clock.now()
        async with self._engine.begin() as transaction:
            first = await claim_key(
                transaction,
                deletion.account_sid,
                key.key if key else None,
                request_hash=key.request_hash if key else "",
                resource_sid=deletion.sid,
                now=now,
            )
            if first is None:
                row = {column.name: getattr(deletion, column.name) for column in deletions.columns}
                await transaction.execute(insert(deletions).values(row))
                found = query.subquery("found")
                numbered = select(literal(deletion.sid), func.row_number().over(), found.c.sid)
                frozen = insert(deletion_items).from_select(["deletion_sid", "position", "subject_sid"], numbered)
                matched = (await transaction.execute(frozen)).rowcount
                if matched < least:
                    raise NotFound()
                await transaction.execute(
                    update(deletions)
                    .where(deletions.c.account_sid == deletion.account_sid, deletions.c.sid == deletion.sid)
                    .values(matched=matched)
                )
                if deletion.campaign_sid is not None:
                    await set_campaign_status(
                        transaction, deletion.account_sid, deletion.campaign_sid, CampaignStatus.DELETING, now=now
                    )
                if deletion.status is DeletionStatus.RUNNING:
                    await write_jobs(transaction, [JobRow(DELETE_MANY, deletion.sid)], now=now)
                await write_deeds(transaction, [deed] if deed else [], now=now)
        return await self.fetch(deletion.account_sid, first or deletion.sid)

    async def confirm(self, account_sid: AccountSid, sid: str, *, receipt_email: str | None, deed: Deed) -> Deletion:
        """Let a dry run's deletion begin, with exactly what it counted. One that runs already is left as it is.

        Raises `NotFound`, and `StateConflict` for one that is over.
        """
        now = self._clock.now()
        values: dict[str, Any] = {"status": DeletionStatus.RUNNING, "date_updated": now}
        if receipt_email is not None:
            values["receipt_email"] = receipt_email
        statement = update(deletions).where(
            deletions.c.sid == sid, deletions.c.account_sid == account_sid, deletions.c.status == DeletionStatus.DRY_RUN
        )
        async with self._engine.begin() as transaction:
            if (await transaction.execute(statement.values(**values))).rowcount:
                await write_jobs(transaction, [JobRow(DELETE_MANY, sid)], now=now)
                await write_deeds(transaction, [deed], now=now)
        found = await self.fetch(account_sid, sid)
        if found.status is DeletionStatus.COMPLETED:
            raise StateConflict(f"The deletion {sid} is over")
        return found

    async def find_for_work(self, sid: str) -> Deletion | None:
        """The deletion a job names. For workers."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(deletions).where(deletions.c.sid == sid))).mappings().one_or_none()
        return None if row is None else _read(row)

    async def fetch(self, account_sid: AccountSid, sid: str) -> Deletion:
        """One deletion of an account. Raises `NotFound`."""
        found = await self.find_for_work(sid)
        if found is None or found.account_sid != account_sid:
            raise NotFound()
        return found

    async def list(self, account_sid: AccountSid, *, place: Place | None, size: int) -> Page[Deletion]:
        """One page of an account's deletions, newest first; dry runs are left out."""
        c = deletions.c
        query = select(deletions).where(c.account_sid == account_sid, c.status != DeletionStatus.DRY_RUN)
        query = at_place(query, c.date_created, c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_read(row) for row in rows], place=place, size=size)

    async def standings(self, account_sid: AccountSid, sid: str) -> Sequence[FrozenGroup]:
        """How the recordings that were frozen stand now, in groups. One walk over the deletion's items."""
        r, bucket = recordings.c, case((recordings.c.is_external, recordings.c.bucket), else_=None)
        is_done, is_held = r.state.in_(COMPLETED), r.legal_hold_at.is_not(None)
        query = (
            select(bucket.label("bucket"), is_done.label("is_done"), is_held.label("is_held"), func.count().label("n"))
            .select_from(deletion_items.join(recordings, r.sid == deletion_items.c.subject_sid))
            .where(deletion_items.c.deletion_sid == sid, r.account_sid == account_sid)
            .group_by(bucket, is_done, is_held)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [FrozenGroup(bucket=row.bucket, is_done=row.is_done, is_held=row.is_held, count=row.n) for row in rows]

    async def list_failed(self, sid: str, *, after: int = 0, limit: int = 1000) -> Sequence[DeletionItem]:
        """What could not be deleted, with the reasons, in order."""
        return await self._items(sid, "failed", after=after, limit=limit)

    async def list_due(self, sid: str, *, limit: int) -> Sequence[DeletionItem]:
        """What is still to be deleted, the first so many. For workers."""
        return await self._items(sid, None, after=0, limit=limit)

    async def _items(self, sid: str, outcome: str | None, *, after: int, limit: int) -> Sequence[DeletionItem]:
        c = deletion_items.c
        query = select(c.position, c.subject_sid, c.reason).where(c.deletion_sid == sid, c.position > after)
        query = query.where(c.outcome.is_(None) if outcome is None else c.outcome == outcome)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.order_by(c.position).limit(limit))).mappings().all()
        return [DeletionItem(**row) for row in rows]

    async def record(self, sid: str, outcomes: Mapping[int, str | None]) -> None:
        """Write down what became of items, by position: None is deleted, a text the reason why not.

        An item that has an outcome keeps it, and is counted once.
        """
        now = self._clock.now()
        values = {"positions": list(outcomes), "reasons": list(outcomes.values())}
        async with self._engine.begin() as transaction:
            written = (await transaction.execute(_OUTCOMES, values | {"of_deletion": sid})).scalars().all()
            failed = sum(outcome == "failed" for outcome in written)
            c = deletions.c
            await transaction.execute(
                update(deletions)
                .where(c.sid == sid)
                .values(deleted=c.deleted + len(written) - failed, failed=c.failed + failed, date_updated=now)
            )

    async def finish(self, deletion: Deletion) -> None:
        """Nothing is left to do: complete it, and ask for the receipt. A campaign goes with its last call log."""
        now = self._clock.now()
        values: dict[str, Any] = {"status": DeletionStatus.COMPLETED, "date_completed": now, "date_updated": now}
        if deletion.receipt_email is not None:
            values |= {"receipt_state": "due", "receipt_at": now}
        async with self._engine.begin() as transaction:
            statement = update(deletions).where(
                deletions.c.sid == deletion.sid, deletions.c.status == DeletionStatus.RUNNING
            )
            if not (await transaction.execute(statement.values(**values))).rowcount:
                return
            if deletion.receipt_email is not None:
                await write_jobs(transaction, [JobRow(RECEIPT, deletion.sid)], now=now)
            if deletion.campaign_sid is not None:
                await _settle_campaign(transaction, deletion.account_sid, deletion.campaign_sid, now)

    async def list_unfinished(self) -> Sequence[tuple[str, str]]:
        """Job and subject of every deletion that runs and every receipt that is due. For recovery."""
        c = deletions.c
        query = union_all(
            select(literal(DELETE_MANY), c.sid).where(c.status == DeletionStatus.RUNNING),
            select(literal(RECEIPT), c.sid).where(c.receipt_state == "due"),
        )
        async with self._engine.connect() as connection:
            return [(str(row[0]), str(row[1])) for row in await connection.execute(query)]

    async def drop_drafts(self, now: datetime) -> int:
        """Forget dry runs that nobody confirmed within a day. Returns how many."""
        c = deletions.c
        statement = delete(deletions).where(c.status == DeletionStatus.DRY_RUN, c.date_created < now - DRAFT_LIVES)
        async with self._engine.begin() as transaction:
            return (await transaction.execute(statement)).rowcount

    async def note_receipt(
        self, sid: str, *, state: str, attempts: int, error: str | None = None, at: datetime | None = None
    ) -> None:
        """Write down how the receipt stands. The address is forgotten once the receipt is sent or given up."""
        values: dict[str, Any] = {
            "receipt_state": state,
            "receipt_attempts": attempts,
            "receipt_error": error,
            "receipt_at": at,
            "date_updated": self._clock.now(),
        }
        if state != "due":
            values["receipt_email"] = None
        async with self._engine.begin() as transaction:
            await transaction.execute(update(deletions).where(deletions.c.sid == sid).values(**values))
            if state == "due":
                await write_jobs(transaction, [JobRow(RECEIPT, sid, at)], now=self._clock.now())


async def _settle_campaign(
    transaction: AsyncConnection, account_sid: AccountSid, campaign_sid: str, now: datetime
) -> None:
    """The campaign goes when it is empty. One that is not stays in `deleting`, to be deleted again."""
    if not await remove_if_empty(transaction, account_sid, campaign_sid):
        await set_campaign_status(transaction, account_sid, campaign_sid, CampaignStatus.DELETING, now=now)


def _named(account_sid: AccountSid, sids: Sequence[str]) -> Select[Any]:
    r = recordings.c
    wanted = any_(literal(sorted(set(sids)), ARRAY(Text)))
    return select(r.sid).where(r.account_sid == account_sid, r.sid == wanted).order_by(r.date_created)


_GIVEN = (
    func.unnest(bindparam("positions", type_=ARRAY(BigInteger)), bindparam("reasons", type_=ARRAY(Text)))
    .table_valued(Column("position", BigInteger), Column("reason", Text), name="given")
    .render_derived()
)
_OUTCOMES = (
    update(deletion_items)
    .where(
        deletion_items.c.deletion_sid == bindparam("of_deletion"),
        deletion_items.c.position == _GIVEN.c.position,
        deletion_items.c.outcome.is_(None),
    )
    .values(outcome=case((_GIVEN.c.reason.is_(None), "deleted"), else_="failed"), reason=_GIVEN.c.reason)
    .returning(deletion_items.c.outcome)
)


def _read(row: RowMapping) -> Deletion:
    return Deletion(**{**row, "kind": DeletionKind(row["kind"]), "status": DeletionStatus(row["status"])})
