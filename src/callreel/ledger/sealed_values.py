"""Every column that holds secrets sealed under the master key, and reading and rewriting them for a rotation.

A new column of that kind gets its line in `SEALED`; a test compares the list with the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, bindparam, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.ledger import tables as t

BATCH = 500
_ID_FROM, _ID_BYTES = 5, 8  # where a sealed value names its master key; see `sealing/keyring.py`


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """Where sealed values are, and which columns say what each is bound to.

    `account` is None for what belongs to the installation; of another table it is found by `belongs`.
    """

    column: Column[Any]
    row: Column[Any]
    account: Column[Any] | None
    belongs: ColumnElement[bool] | None = None

    @property
    def table(self) -> str:
        return self.column.table.name

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column.name}"

    @property
    def key(self) -> list[Column[Any]]:
        return list(self.column.table.primary_key.columns)


_a, _k, _c, _s = t.accounts.c, t.account_keys.c, t.credentials.c, t.sources.c
SEALED = (
    SealedColumn(t.installation.c.value, row=t.installation.c.name, account=None),
    SealedColumn(_a.token_sealed, row=_a.sid, account=_a.sid),
    SealedColumn(_k.key_sealed, row=_k.account_sid, account=_k.account_sid),
    SealedColumn(_c.secret_sealed, row=_c.sid, account=_c.account_sid),
    SealedColumn(_s.secret_sealed, row=_s.sid, account=_s.account_sid),
    SealedColumn(t.calls.c.parties_sealed, row=t.calls.c.sid, account=t.calls.c.account_sid),
    SealedColumn(t.conferences.c.name_sealed, row=t.conferences.c.sid, account=t.conferences.c.account_sid),
    SealedColumn(
        t.peaks.c.peaks_sealed,
        row=t.peaks.c.recording_sid,
        account=t.recordings.c.account_sid,
        belongs=t.recordings.c.sid == t.peaks.c.recording_sid,
    ),
)


@dataclass(frozen=True, slots=True)
class SealedValue:
    """One secret as it lies in its row. `key` is the row's primary key."""

    key: tuple[Any, ...]
    row: str
    account: str
    sealed: bytes


class SealedValues:
    """All of them, column by column, in the order of their primary keys."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list_older(
        self, column: SealedColumn, *, than_id: bytes, after: tuple[Any, ...] | None
    ) -> Sequence[SealedValue]:
        """The next values that another master key than this one sealed; none when there are no more."""
        key = column.key
        query = select(
            *[part.label(f"key_{i}") for i, part in enumerate(key)],
            column.row.label("row"),
            column.column.label("sealed"),
            (literal("") if column.account is None else column.account).label("account"),
        ).where(
            column.column.is_not(None),
            func.length(column.column) > 0,  # an account's key that was destroyed
            func.substring(column.column, _ID_FROM, _ID_BYTES) != bindparam("id", than_id),
        )
        if column.belongs is not None:
            query = query.where(column.belongs)
        if after is not None:
            given = [bindparam(None, value, type_=part.type) for value, part in zip(after, key, strict=True)]
            query = query.where(tuple_(*key) > tuple_(*given))
        query = query.order_by(*key).limit(BATCH)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            SealedValue(
                key=tuple(row[f"key_{i}"] for i in range(len(key))),
                row=row["row"],
                account=row["account"],
                sealed=bytes(row["sealed"]),
            )
            for row in rows
        ]

    async def replace(self, column: SealedColumn, anew: Sequence[tuple[SealedValue, bytes]]) -> None:
        """Write each value anew where its row still holds the old one: who changed it meanwhile has the last word."""
        conditions = [part == bindparam(f"key_{i}") for i, part in enumerate(column.key)]
        statement = (
            update(column.column.table)
            .where(*conditions, column.column == bindparam("old"))
            .values({column.column.name: bindparam("new")})
        )
        given = [
            {"old": value.sealed, "new": new} | {f"key_{i}": part for i, part in enumerate(value.key)}
            for value, new in anew
        ]
        async with self._engine.begin() as transaction:
            await transaction.execute(statement, given)
