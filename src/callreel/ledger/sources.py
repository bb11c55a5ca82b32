"""Sources of all accounts, and whose turn it is to be polled. Their secrets come sealed and leave sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import NotFound, StateConflict
from callreel.ledger.audit import write_deeds
from callreel.ledger.idempotency import claim_key
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import migrations, sources
from callreel.model.deed import Deed
from callreel.model.migration import LIVE
from callreel.model.sid import AccountSid, SourceSid
from callreel.model.source import Source

CLAIM_S = 120.0  # a poll that is not done by then may have died; two of one source at once do no harm
_FACTS = (
    "sid", "account_sid", "friendly_name", "twilio_account_sid", "api_key_sid", "base_url", "poll_seconds",
    "include_subaccounts", "record_verb_is_voicemail",
    "include_calls", "polled_to", "last_error", "date_created", "date_updated",
)  # fmt: skip
_s = sources.c


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key with the digest of the request it came with."""

    key: str
    request_hash: str


class Sources:
    """Sources, one account at a time; the clockwork alone sees those of all."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, source: Source, *, secret_sealed: bytes, deed: Deed, once: Once | None = None) -> Source:
        """Write a new source; a repeated request gets the one the first made.

        Raises `IdempotencyConflict`, and `StateConflict` when the account has a source of that Twilio account there.
        """
        values = {name: getattr(source, name) for name in _FACTS}
        values |= {"secret_sealed": secret_sealed, "next_poll_at": source.date_created if source.poll_seconds else None}
        async with self._engine.begin() as transaction:
            earlier = await claim_key(
                transaction,
                source.account_sid,
                once.key if once else None,
                request_hash=once.request_hash if once else "",
                resource_sid=source.sid,
                now=source.date_created,
            )
            if earlier is None:
                await self._insert(transaction, source, values)
                await write_deeds(transaction, [deed], now=source.date_created)
        return source if earlier is None else await self.fetch(source.account_sid, earlier)

    async def _insert(self, transaction: AsyncConnection, source: Source, values: Mapping[str, Any]) -> None:
        try:
            async with transaction.begin_nested():
                await transaction.execute(insert(sources).values(**values))
        except IntegrityError as why:
            there = await transaction.execute(
                select(_s.sid).where(
                    _s.account_sid == source.account_sid,
                    _s.twilio_account_sid == source.twilio_account_sid,
                    _s.base_url == source.base_url,
                )
            )
            raise StateConflict(
                f"{source.twilio_account_sid} is a source of this account already: {there.scalar_one_or_none()}. "
                "Change that one, or remove it first"
            ) from why

    async def fetch(self, account_sid: AccountSid, sid: str) -> Source:
        """One source of an account. Raises `NotFound`."""
        query = select(sources).where(_s.sid == sid, _s.account_sid == account_sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return _source(row)

    async def find_for_work(self, sid: str) -> Source | None:
        """The source a job or an operator names, of whatever account; None when it was removed."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(sources).where(_s.sid == sid))).mappings().one_or_none()
        return None if row is None else _source(row)

    async def find_sealed(self, account_sid: AccountSid, sid: str) -> bytes | None:
        """The sealed secret, or None when the source was removed."""
        query = select(_s.secret_sealed).where(_s.sid == sid, _s.account_sid == account_sid)
        async with self._engine.connect() as connection:
            sealed = (await connection.execute(query)).scalar_one_or_none()
        return None if sealed is None else bytes(sealed)

    async def list(self, account_sid: AccountSid, *, place: Place | None, size: int) -> Page[Source]:
        """An account's sources, newest first."""
        query = select(sources).where(_s.account_sid == account_sid)
        query = at_place(query, _s.date_created, _s.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_source(row) for row in rows], place=place, size=size)

    async def list_all(self) -> Sequence[Source]:
        """The sources of every account, oldest first. For the operator."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(sources).order_by(_s.date_created, _s.sid))).mappings().all()
        return [_source(row) for row in rows]

    async def change(self, source: Source, *, secret_sealed: bytes | None, deed: Deed) -> Source:
        """Write a source's new values, and its new secret where there is one. Raises `NotFound`."""
        values: dict[str, Any] = {
            name: getattr(source, name)
            for name in ("friendly_name", "api_key_sid", "poll_seconds", "include_subaccounts")
        } | {
            "record_verb_is_voicemail": source.record_verb_is_voicemail,
            "include_calls": source.include_calls,
            "next_poll_at": source.date_updated if source.poll_seconds else None,
            "last_error": None,
            "date_updated": source.date_updated,
        }
        if secret_sealed is not None:
            values["secret_sealed"] = secret_sealed
        statement = (
            update(sources).where(_s.sid == source.sid, _s.account_sid == source.account_sid).values(**values)
        ).returning(sources)
        async with self._engine.begin() as transaction:
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFound()
            await write_deeds(transaction, [deed], now=source.date_updated)
        return _source(row)

    async def remove(self, account_sid: AccountSid, sid: str, *, deed: Deed, now: datetime) -> None:
        """Forget a source and its secret. What was moved stays. Raises `NotFound`, and `StateConflict` while a
        migration of it is running or paused."""
        live = exists().where(migrations.c.source_sid == sid, migrations.c.status.in_(LIVE))
        async with self._engine.begin() as transaction:
            found = await transaction.execute(
                select(live).select_from(sources).where(_s.sid == sid, _s.account_sid == account_sid).with_for_update()
            )
            is_live = found.scalar_one_or_none()
            if is_live is None:
                raise NotFound()
            if is_live:
                raise StateConflict(
                    f"A migration of {sid} is running or paused. Wait for its end, or cancel it "
                    "(callreel migrate cancel), then remove the source"
                )
            await transaction.execute(delete(sources).where(_s.sid == sid, _s.account_sid == account_sid))
            await write_deeds(transaction, [deed], now=now)

    # --- Polling -----------------------------------------------------------------------------------------------------

    async def claim_due(self, *, now: datetime, limit: int = 8) -> Sequence[Source]:
        """Sources whose poll is due, taken: nobody else gets them until `note_poll`, or until the claim is too old."""
        due = (
            select(_s.sid)
            .where(_s.next_poll_at <= now)
            .order_by(_s.next_poll_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(sources)
            .where(_s.sid.in_(due.scalar_subquery()))
            .values(next_poll_at=now + timedelta(seconds=CLAIM_S))
            .returning(sources)
        )
        async with self._engine.begin() as transaction:
            return [_source(row) for row in (await transaction.execute(statement)).mappings()]

    async def note_poll(
        self, source: Source, *, polled_to: datetime | None, last_error: str | None, next_poll_at: datetime
    ) -> None:
        """How far the poller came, or why it did not. A mark never goes back."""
        values: dict[str, Any] = {"last_error": last_error}
        if polled_to is not None and (source.polled_to is None or polled_to > source.polled_to):
            values["polled_to"] = polled_to
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(sources).where(_s.sid == source.sid, _s.account_sid == source.account_sid).values(**values)
            )
            # Somebody may have switched polling off, or asked for it anew, while it was under way.
            await transaction.execute(
                update(sources)
                .where(
                    _s.sid == source.sid,
                    _s.account_sid == source.account_sid,
                    _s.next_poll_at.is_not(None),
                    _s.date_updated == source.date_updated,
                )
                .values(next_poll_at=next_poll_at)
            )


def _source(row: Mapping[Any, Any]) -> Source:
    return Source(**{name: row[name] for name in _FACTS} | {"sid": SourceSid(row["sid"])})
