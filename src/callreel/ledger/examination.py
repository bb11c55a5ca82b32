"""Reading for whoever examines the ledger: everything, page by page, each recording as it was at one moment.

Nothing here writes, and PostgreSQL is told so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Text, func, literal, or_, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.account_keys import DESTROYED
from callreel.ledger.paging import Place, at_place
from callreel.ledger.recordings import MoveLine, Recordings
from callreel.ledger.tables import (
    account_keys,
    accounts,
    alerts,
    credentials,
    idempotency_keys,
    migrations,
    moves,
    outbox,
    quarantine,
    recordings,
    tombstones,
    video_tracks,
)
from callreel.model.account import AccountStatus
from callreel.model.credential import CredentialKind
from callreel.model.migration import LIVE
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid, RecordingSid

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One recording with its ledger lines, and the events that stand in its outbox, all of one moment."""

    recording: Recording
    lines: Sequence[MoveLine]
    events: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row that should not be as it is: what it is about, and what is wrong with it."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A file that was put aside. `date_removed` is when a person took it away, with the reason."""

    name: str
    size_bytes: int
    date_created: datetime
    date_removed: datetime | None
    reason: str | None


class Examination:
    """What a checker asks the database. An account of None means all of them, for the operator."""

    def __init__(self, engine: AsyncEngine, recordings_of: Recordings) -> None:
        self._engine, self._recordings = engine, recordings_of

    async def pages(self, account_sid: AccountSid, *, size: int = PAGE) -> AsyncIterator[Sequence[Case]]:
        """Every recording of an account, newest first, so many at a time. What is made meanwhile is not seen."""
        place: Place | None = None
        while True:
            query = select(recordings).where(recordings.c.account_sid == account_sid)
            query = at_place(query, recordings.c.date_created, recordings.c.sid, place=place, size=size - 1)
            cases = await self._cases(query)
            if cases:
                yield cases
            if len(cases) < size:
                return
            last = cases[-1].recording
            place = Place(last.date_created, last.sid)

    async def look(self, account_sid: AccountSid, sid: RecordingSid) -> Case | None:
        """One recording as it is now, None when it is gone."""
        query = select(recordings).where(recordings.c.sid == sid, recordings.c.account_sid == account_sid)
        cases = await self._cases(query)
        return cases[0] if cases else None

    async def settings_with_objects(self, account_sid: AccountSid) -> Sequence[int]:
        """The settings versions under which an account has sent recordings to buckets of its own."""
        query = select(recordings.c.settings_id).where(
            recordings.c.account_sid == account_sid, recordings.c.is_external, recordings.c.settings_id.is_not(None)
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(query.distinct())).scalars())

    async def known(self, sids: Sequence[str]) -> set[str]:
        """Which of these SIDs are, or were, recordings."""
        queries = [select(table.c.sid).where(table.c.sid.in_(sids)) for table in (recordings, tombstones)]
        async with self._engine.connect() as connection:
            return set((await connection.execute(union_all(*queries))).scalars())

    async def live_uploads(self, upload_ids: Sequence[str]) -> set[str]:
        """Which of these multipart uploads a recording still needs."""
        query = select(recordings.c.upload_id).where(recordings.c.unfinished, recordings.c.upload_id.in_(upload_ids))
        async with self._engine.connect() as connection:
            return set((await connection.execute(query)).scalars())

    def missing(self, account_sid: AccountSid | None) -> AsyncIterator[Finding]:
        """Recordings that were born, or promised to the holder of an idempotency key, and left no trace."""
        born = select(
            moves.c.recording_sid.label("sid"), _said("was born and has neither a row nor a tombstone")
        ).where(moves.c.from_state.is_(None), *_of(moves, account_sid))
        keys = select(
            idempotency_keys.c.resource_sid.label("sid"),
            _said("was promised under an idempotency key and has neither a row nor a tombstone"),
        ).where(
            or_(*[idempotency_keys.c.resource_sid.startswith(p) for p in ("RE", "RT")]),
            *_of(idempotency_keys, account_sid),
        )
        return self._found(
            union_all(
                _without_trace(born, moves.c.recording_sid), _without_trace(keys, idempotency_keys.c.resource_sid)
            )
        )

    def strange_accounts(self, account_sid: AccountSid | None) -> AsyncIterator[Finding]:
        """Rows about a recording that name another account than its own."""
        queries = []
        for table in (moves, outbox, alerts, video_tracks):
            said = _said(f"has a row in {table.name} that names another account")
            query = select(recordings.c.sid, said).join_from(
                recordings, table, table.c.recording_sid == recordings.c.sid
            )
            queries.append(query.where(table.c.account_sid != recordings.c.account_sid, *_of(recordings, account_sid)))
        return self._found(union_all(*queries))

    def without_account_key(self, account_sid: AccountSid | None) -> AsyncIterator[Finding]:
        """Recordings whose media only their account's key opens, of accounts that have none."""
        r, k = recordings.c, account_keys.c
        query = (
            select(r.sid, _said("has media that nothing opens: its account's key is gone"))
            .join_from(recordings, account_keys, k.account_sid == r.account_sid, isouter=True)
            .where(r.media_key_wrapped.is_not(None), or_(k.key_sealed.is_(None), k.key_sealed == DESTROYED))
        )
        return self._found(query.where(*_of(recordings, account_sid)))

    def keys_left(self, account_sid: AccountSid | None, *, before: datetime) -> AsyncIterator[Finding]:
        """Keys that should have been destroyed: of deleted recordings, and of accounts closed and done with before."""
        r, k, a = recordings.c, account_keys.c, accounts.c
        of_recordings = select(r.sid, _said("has no media here any more, and its key is still there")).where(
            or_(r.state.in_((State.DELETED, State.ERASED)), (r.state == State.RELEASED) & r.is_external),
            r.media_key_wrapped.is_not(None),
            *_of(recordings, account_sid),
        )
        needs = select(r.sid).where(
            r.account_sid == a.sid,
            or_(
                r.media_key_wrapped.is_not(None),
                r.date_updated > before,
                r.state.in_((State.RECEIVING, State.AT_SOURCE)),
            ),
        )
        moving = select(migrations.c.sid).where(migrations.c.account_sid == a.sid, migrations.c.status.in_(LIVE))
        of_accounts = (
            select(a.sid, _said("is closed and has no media here, and its key is still there"))
            .join(account_keys, k.account_sid == a.sid)
            .where(
                a.status == AccountStatus.CLOSED,
                a.date_updated < before,
                k.key_sealed != DESTROYED,
                ~needs.exists(),
                ~moving.exists(),
            )
        )
        if account_sid is not None:
            of_accounts = of_accounts.where(a.sid == account_sid)
        return self._found(union_all(of_recordings, of_accounts))

    def shared_keys(self, account_sid: AccountSid | None) -> AsyncIterator[Finding]:
        """Object keys that more than one recording has."""
        c = recordings.c
        place = func.coalesce(c.object_url, c.object_key)
        query = select(
            func.min(c.sid).label("sid"),
            func.concat("shares the object ", place, " with ", func.count() - 1, " other recordings").label("text"),
        ).where(c.object_key.is_not(None), *_of(recordings, account_sid))
        return self._found(query.group_by(place).having(func.count() > 1))

    def early_purges(self, account_sid: AccountSid | None) -> AsyncIterator[Finding]:
        """Tombstones of recordings that were forgotten before their time, or that are still there."""
        early = select(tombstones.c.sid, _said("was purged before its metadata had been kept long enough")).where(
            tombstones.c.purged_at < tombstones.c.purge_after, *_of(tombstones, account_sid)
        )
        both = (
            select(recordings.c.sid, _said("has a tombstone and a row"))
            .join(tombstones, tombstones.c.sid == recordings.c.sid)
            .where(*_of(recordings, account_sid))
        )
        return self._found(union_all(early, both))

    async def texts(self, account_sid: AccountSid | None) -> AsyncIterator[tuple[str, str]]:
        """Every text that came from outside or is shown to people, with what it is about."""
        r = recordings.c
        queries = [
            select(r.sid, func.concat_ws(" ", r.last_error, r.object_url)).where(*_of(recordings, account_sid)),
            select(moves.c.recording_sid, moves.c.reason).where(moves.c.reason.is_not(None), *_of(moves, account_sid)),
            select(alerts.c.account_sid, alerts.c.text).where(*_of(alerts, account_sid)),
            select(outbox.c.id, func.concat_ws(" ", outbox.c.last_error, outbox.c.parameters)).where(
                *_of(outbox, account_sid)
            ),
        ]
        for query in queries:
            async for row in self._stream(query):
                yield row[0], row[1]

    async def sealed_secrets(self) -> AsyncIterator[tuple[str, str, str, bytes]]:
        """Every secret that lies sealed, with what it is bound to: table, row, account. For the operator."""
        c = credentials.c
        queries = [
            select(literal("accounts"), accounts.c.sid, accounts.c.sid, accounts.c.token_sealed),
            select(literal("credentials"), c.sid, c.account_sid, c.secret_sealed).where(c.kind == CredentialKind.AWS),
        ]
        for query in queries:
            async for row in self._stream(query):
                yield row[0], row[1], row[2], bytes(row[3])

    async def quarantined(self, host_id: str) -> AsyncIterator[Quarantined]:
        """Every file of this host's spool that was ever put in quarantine."""
        names = ("name", "size_bytes", "date_created", "date_removed", "reason")
        query = select(*(quarantine.c[name] for name in names)).where(quarantine.c.host_id == host_id)
        async for row in self._stream(query):
            yield Quarantined(**row._mapping)

    async def _found(self, query: Any) -> AsyncIterator[Finding]:
        async for row in self._stream(query):
            yield Finding(subject=row[0], text=row[1])

    async def _stream(self, query: Any) -> AsyncIterator[Any]:
        async with self._at_one_moment() as transaction:
            async for row in await transaction.stream(query):
                yield row

    async def _cases(self, query: Select[Any]) -> Sequence[Case]:
        async with self._at_one_moment() as transaction:
            rows = (await transaction.execute(query)).all()
            sids = [row.sid for row in rows]
            lines: dict[str, list[MoveLine]] = defaultdict(list)
            events: dict[str, list[str]] = defaultdict(list)
            if sids:
                made = select(moves).where(moves.c.recording_sid.in_(sids)).order_by(moves.c.id)
                for line in (await transaction.execute(made)).mappings():
                    lines[line["recording_sid"]].append(MoveLine.of(line))
                owed = select(outbox.c.recording_sid, outbox.c.event).where(outbox.c.recording_sid.in_(sids))
                for event in await transaction.execute(owed):
                    events[event.recording_sid].append(event.event)
        return [
            Case(recording=recording, lines=lines[recording.sid], events=events[recording.sid])
            for recording in await self._recordings.read_rows(rows)
        ]

    @asynccontextmanager
    async def _at_one_moment(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one moment of the database, and may not change it."""
        async with self._engine.begin() as transaction:
            await transaction.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield transaction


def _of(table: Any, account_sid: AccountSid | None) -> tuple[Any, ...]:
    return () if account_sid is None else (table.c.account_sid == account_sid,)


def _said(words: str) -> Any:
    return literal(words, Text).label("text")


def _without_trace(query: Select[Any], sid: Any) -> Select[Any]:
    for table in (recordings, tombstones):
        query = query.where(~select(table.c.sid).where(table.c.sid == sid).exists())
    return query
