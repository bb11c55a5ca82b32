"""The audit: an append-only log of deeds, in chains of hashes, so that a row altered, dropped or moved is found.

One chain an account, and one of the installation for what is no account's. Each row's hash is SHA-256 over the hash
before it and the row itself; a chain's head says how many rows there are and what the last hash was, so that rows cut
off its end are missed too. The head is locked from the first row a transaction writes until it commits: concurrent
writers of one account take their places one after the other.

Somebody who may write to the database and knows how can compute a whole chain anew. Keep the heads that `verify`
prints somewhere else, and give them back to it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Text, any_, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.clock import Clock
from callreel.ledger.group_commit import GroupCommit
from callreel.ledger.paging import Page, Place, at_place, make_page, microseconds
from callreel.ledger.tables import audit, audit_heads
from callreel.model.deed import Deed, details_text
from callreel.model.sid import AccountSid

INSTALLATION = "installation"
BEGINNING = bytes(32)
TOGETHER_S = 900  # a recording played by somebody within 15 minutes is one play, however many ranges it took
_MOST_REMEMBERED = 20_000
_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """A deed as it was written: its SID `AU…`, its number in its chain, and its hash."""

    sid: str
    chain: str
    number: int
    account_sid: AccountSid | None
    date_created: datetime
    actor: str
    address: str | None
    request_id: str | None
    action: str
    subject: str | None
    details: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which rows of an account; what is None is not asked."""

    action: str | None = None
    subject: str | None = None
    actor: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many rows it has and the hash of the last."""

    chain: str
    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class BrokenChain:
    """The first place where a chain does not hold."""

    chain: str
    number: int
    what: str


async def write_deeds(transaction: AsyncConnection, deeds: Sequence[Deed], *, now: datetime) -> None:
    """Write deeds down inside the caller's transaction, in the order they are given.

    Call it once in a transaction, and last: the heads of their chains stay locked until it ends, and they are locked
    in one order everywhere, so that two writers never wait for each other.
    """
    if not deeds:
        return
    named = [(deed.account_sid or INSTALLATION, deed) for deed in deeds]
    heads = await _lock_heads(transaction, sorted({chain for chain, _ in named}))
    rows = []
    for chain, deed in named:
        number, before = heads[chain]
        row = _row(chain, number + 1, deed, now)
        row["hash"] = _hash(before, row)
        heads[chain] = (row["number"], row["hash"])
        rows.append(row)
    await transaction.execute(insert(audit), rows)
    ends = [{"of_chain": chain, "to_number": number, "to_hash": end} for chain, (number, end) in heads.items()]
    await transaction.execute(_NEW_END, ends)


class Audit:
    """Writing deeds that come with nothing else, reading them, and proving that the chains hold."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._commits: GroupCommit[Deed] = GroupCommit(engine, self._write, name_of=lambda deed: str(id(deed)))
        self._recent: OrderedDict[tuple[Any, ...], tuple[float, asyncio.Task[None]]] = OrderedDict()

    async def write(self, deed: Deed) -> None:
        """Write one deed, durable when this returns. Where it belongs to another write, use `write_deeds` there.

        Raises `DatabaseAway`.
        """
        await self._commits.submit(deed)

    async def write_once(self, deed: Deed, *, together_s: float = TOGETHER_S) -> None:
        """As `write`, unless this process wrote the same deed of the same actor from the same address just before.

        For plays: a player fetches one recording by a hundred ranges, and several of them at once. Each of them waits
        until the one row is durable. Raises `DatabaseAway`; then nothing is remembered.
        """
        key = (deed.account_sid, deed.actor, deed.action, deed.subject, deed.address)
        at, writing = self._recent.get(key, (0.0, None))
        now = self._clock.monotonic()
        if writing is None or now - at > together_s:
            writing = asyncio.create_task(self.write(deed))
            self._recent[key] = (now, writing)
            self._recent.move_to_end(key)
            while len(self._recent) > _MOST_REMEMBERED:
                self._recent.popitem(last=False)
        try:
            await asyncio.shield(writing)
        except Exception:
            if self._recent.get(key, (0.0, None))[1] is writing:
                del self._recent[key]
            raise

    async def drain(self) -> None:
        """Wait until everything submitted so far was written or refused."""
        await self._commits.drain()

    async def page(
        self, account_sid: AccountSid | None, wanted: AuditFilter, *, place: Place | None, size: int
    ) -> Page[AuditRow]:
        """One page of an account's own rows, newest first; for None, of the installation's."""
        c = audit.c
        query = select(audit).where(c.chain == (account_sid or INSTALLATION))
        for column, value in ((c.action, wanted.action), (c.subject, wanted.subject), (c.actor, wanted.actor)):
            if value is not None:
                query = query.where(column == value)
        if wanted.created_from is not None:
            query = query.where(c.date_created >= wanted.created_from)
        if wanted.created_before is not None:
            query = query.where(c.date_created < wanted.created_before)
        query = at_place(query, c.date_created, c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_audit_row(row) for row in rows], place=place, size=size)

    async def read_chain(self, chain: str) -> AsyncIterator[AuditRow]:
        """Every row of a chain, oldest first, a batch at a time. For the operator's export."""
        async for row in self._rows(chain):
            yield _audit_row(row)

    async def heads(self, chain: str | None = None) -> Sequence[Head]:
        """Where every chain ends, or one of them."""
        query = select(audit_heads).order_by(audit_heads.c.chain)
        if chain is not None:
            query = query.where(audit_heads.c.chain == chain)
        async with self._engine.connect() as connection:
            rows = await connection.execute(query)
            return [Head(row.chain, row.number, bytes(row.hash).hex()) for row in rows]

    async def find_broken(
        self, chain: str | None = None, *, known: Mapping[str, tuple[int, str]] | None = None
    ) -> Sequence[BrokenChain]:
        """The first fault of each chain that does not hold, or of one; empty when all do. Reads every row.

        `known` are ends that were kept elsewhere, as number and hash: each must still be a row of its chain. May run
        beside a live service.
        """
        known = known or {}
        names = {chain} if chain is not None else await self._chains() | set(known)
        found = [await self._first_fault(name, known.get(name)) for name in sorted(names)]
        return [fault for fault in found if fault is not None]

    async def _first_fault(self, chain: str, known: tuple[int, str] | None) -> BrokenChain | None:
        head = next(iter(await self.heads(chain)), None)  # before the rows: those written meanwhile lie behind it
        ends = {head.number: head.hash} if head is not None else {}
        kept = {known[0]: known[1]} if known is not None else {}
        number, before = 0, BEGINNING
        async for row in self._rows(chain):
            if row["number"] != number + 1:
                return BrokenChain(chain, number + 1, "the row is missing or out of its order")
            number, before = number + 1, _hash(before, row)
            if bytes(row["hash"]) != before:
                return BrokenChain(chain, number, "the row or one before it is not as it was written")
            if kept.pop(number, before.hex()) != before.hex():
                return BrokenChain(chain, number, "the row is not the one whose hash was kept elsewhere")
            if ends.pop(number, before.hex()) != before.hex():
                return BrokenChain(chain, number, "the row is not the one that the chain's end names")
        if kept or ends or (number and head is None):
            return BrokenChain(chain, number + 1, "rows or the chain's end are missing")
        return None

    async def _chains(self) -> set[str]:
        async with self._engine.connect() as connection:
            with_rows = set((await connection.execute(select(audit.c.chain).distinct())).scalars())
        return with_rows | {head.chain for head in await self.heads()}

    async def _rows(self, chain: str) -> AsyncIterator[Any]:
        after = -1
        while True:
            query = select(audit).where(audit.c.chain == chain, audit.c.number > after)
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query.order_by(audit.c.number).limit(_BATCH))).mappings().all()
            for row in rows:
                yield row
            if len(rows) < _BATCH:
                return
            after = rows[-1]["number"]

    async def _write(self, transaction: AsyncConnection, deeds: Sequence[Deed]) -> list[None]:
        await write_deeds(transaction, deeds, now=self._clock.now())
        return [None] * len(deeds)


async def _lock_heads(transaction: AsyncConnection, chains: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """The ends of these chains, locked until the transaction ends. A chain that has none begins here."""
    heads = await _locked(transaction, chains)
    if len(heads) < len(chains):
        begun = [{"chain": chain, "number": 0, "hash": BEGINNING} for chain in chains if chain not in heads]
        await transaction.execute(upsert(audit_heads).on_conflict_do_nothing().values(begun))
        heads = await _locked(transaction, chains)
    return heads


async def _locked(transaction: AsyncConnection, chains: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    rows = await transaction.execute(_LOCKED, {"chains": list(chains)})
    return {row.chain: (row.number, bytes(row.hash)) for row in rows}


_LOCKED = (
    select(audit_heads)
    .where(audit_heads.c.chain == any_(bindparam("chains", type_=ARRAY(Text))))
    .order_by(audit_heads.c.chain)
    .with_for_update()
)
_NEW_END = (
    update(audit_heads)
    .where(audit_heads.c.chain == bindparam("of_chain"))
    .values(number=bindparam("to_number"), hash=bindparam("to_hash"))
)


def _row(chain: str, number: int, deed: Deed, now: datetime) -> dict[str, Any]:
    return {
        "chain": chain,
        "number": number,
        "sid": f"AU{number:016x}{secrets.token_hex(8)}",  # in the order of the chain, so that pages are
        "account_sid": deed.account_sid,
        "date_created": now,
        "actor": _told(deed.actor),
        "address": _told(deed.address),
        "request_id": _told(deed.request_id),
        "action": str(deed.action),
        "subject": _told(deed.subject),
        "details": details_text(deed.details),
    }


def _told(text: str | None) -> str | None:
    """The text without what the database would not take, and not longer than a name is."""
    if text is None:
        return None
    return text[:200].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _hash(before: bytes, row: Mapping[str, Any]) -> bytes:
    told = [row[name] for name in _HASHED] + [microseconds(row["date_created"])]
    return hashlib.sha256(before + json.dumps(told, separators=(",", ":")).encode()).digest()


_HASHED = ("chain", "number", "sid", "account_sid", "actor", "address", "request_id", "action", "subject", "details")


def _audit_row(row: Any) -> AuditRow:
    facts = dict(row)
    return AuditRow(**facts | {"details": json.loads(row["details"]), "hash": bytes(row["hash"]).hex()})
