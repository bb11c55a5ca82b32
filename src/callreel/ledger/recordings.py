"""Reading recordings: every query names the account it reads for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Row, RowMapping, Select, Text, and_, any_, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import NotFound
from callreel.ledger.group_read import GroupRead
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.settings import SettingsBook
from callreel.ledger.tables import calls, moves, recordings, settings_versions, tombstones
from callreel.ledger.video_tracks import VideoFilter, tracks_of, video_page
from callreel.model.recording import UNFINISHED, CallbackWish, Recording, State
from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.model.video_track import VideoTrack

_SOFT_DELETED = (State.DELETING, State.DELETED)
_COLUMNS = tuple(column.name for column in recordings.columns)
_KINDS = {kind.value: kind for kind in RecordingKind}
_STATES = {state.value: state for state in State}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFilter:
    """Which recordings of an account a list shows. Bounds in UTC; `created_before` is exclusive."""

    call_sid: str | None = None
    conference_sid: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    include_deleted: bool = False
    kind: RecordingKind = RecordingKind.VOICE
    states: frozenset[State] | None = None
    sid: str | None = None
    call_sids: tuple[str, ...] | None = None
    source: str | None = None
    is_external: bool | None = None
    least_ms: int | None = None
    below_ms: int | None = None
    has_legal_hold: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLine:
    """One line of the ledger."""

    from_state: str | None
    to_state: str
    at: datetime
    worker: str
    fence: int
    reason: str | None

    @classmethod
    def of(cls, row: RowMapping) -> MoveLine:
        """The line of a row of `moves`."""
        return cls(**{name: row[name] for name in ("from_state", "to_state", "at", "worker", "fence", "reason")})


class Recordings:
    """The recordings of all accounts, read one account at a time."""

    def __init__(self, engine: AsyncEngine, settings: SettingsBook) -> None:
        self._engine, self._settings = engine, settings
        self._for_work: GroupRead[str, Row[Any]] = GroupRead(engine, _rows_by_sid)

    async def find(self, account_sid: AccountSid, sid: RecordingSid) -> Recording | None:
        """The recording in whatever state, or None when this account has none of that SID."""
        async with self._engine.connect() as connection:
            row = (
                await connection.execute(
                    select(recordings).where(recordings.c.sid == sid, recordings.c.account_sid == account_sid)
                )
            ).one_or_none()
        return None if row is None else (await self._read_all([row]))[0]

    async def fetch(self, account_sid: AccountSid, sid: RecordingSid) -> Recording:
        """As `find`; raises `NotFound`."""
        recording = await self.find(account_sid, sid)
        if recording is None:
            raise NotFound()
        return recording

    async def find_many(self, account_sid: AccountSid, sids: Sequence[str]) -> Sequence[Recording]:
        """Those recordings of an account that there are of these SIDs, newest first."""
        if not sids:
            return []
        query = select(recordings).where(recordings.c.sid.in_(sids), recordings.c.account_sid == account_sid)
        query = query.order_by(recordings.c.date_created.desc(), recordings.c.sid.desc())
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return await self._read_all(rows)

    async def find_for_work(self, sid: RecordingSid) -> Recording | None:
        """The recording a job names. For workers, which act for the installation and not for a caller."""
        row = await self._for_work.find(sid)
        return None if row is None else (await self._read_all([row]))[0]

    async def list(
        self, account_sid: AccountSid, wanted: RecordingFilter, *, place: Place | None, size: int
    ) -> Page[Recording]:
        """One page of an account's recordings, newest first."""
        query = _filtered(account_sid, _beyond(place, wanted))
        query = at_place(query, recordings.c.date_created, recordings.c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return make_page(await self._read_all(rows), place=place, size=size)

    async def count(self, account_sid: AccountSid, wanted: RecordingFilter, *, most: int) -> int:
        """How many recordings a filter matches; more than `most` are not counted, and `most + 1` is said."""
        matching = _filtered(account_sid, wanted).with_only_columns(recordings.c.sid).limit(most + 1).subquery()
        async with self._engine.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(matching))).scalar_one())

    async def list_of_calls(self, account_sid: AccountSid, call_sids: Sequence[str]) -> Sequence[Recording]:
        """Every recording of these calls, the deleted ones too."""
        query = select(recordings).where(
            recordings.c.account_sid == account_sid,
            recordings.c.call_sid == any_(bindparam("calls", type_=ARRAY(Text))),
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query, {"calls": list(call_sids)})).all()
        return await self._read_all(rows)

    async def find_held_of_campaign(self, account_sid: AccountSid, campaign_sid: str) -> RecordingSid | None:
        """A recording under a legal hold whose call carries the campaign, or None. Held ones are few."""
        query = (
            select(recordings.c.sid)
            .join(calls, and_(calls.c.account_sid == recordings.c.account_sid, calls.c.sid == recordings.c.call_sid))
            .where(
                recordings.c.account_sid == account_sid,
                recordings.c.legal_hold_at.is_not(None),
                calls.c.campaign_sid == campaign_sid,
            )
            .limit(1)
        )
        async with self._engine.connect() as connection:
            sid = (await connection.execute(query)).scalar_one_or_none()
        return None if sid is None else RecordingSid(sid)

    async def find_all(self, account_sid: AccountSid, sids: Sequence[str]) -> dict[str, Recording]:
        """The recordings there are of these SIDs in this account, in one query."""
        query = _BY_SID.where(recordings.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query, {"sids": list(sids)})).all()
        return {recording.sid: recording for recording in await self._read_all(rows)}

    async def list_video(
        self, account_sid: AccountSid, wanted: VideoFilter, *, place: Place | None, size: int
    ) -> Page[Recording]:
        """One page of an account's video recordings, newest first."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(video_page(account_sid, wanted, place=place, size=size))).all()
        return make_page(await self._read_all(rows), place=place, size=size)

    async def list_unfinished(
        self,
        *,
        account_sid: AccountSid | None,
        states: frozenset[State] | None,
        after: Place | None = None,
        limit: int = 1000,
        held_only: bool = False,
        kind: RecordingKind | None = None,
    ) -> Sequence[Recording]:
        """Recordings that still need work or a person, newest first. No account: all of them, for the operator."""
        query = select(recordings).where(recordings.c.unfinished)
        if account_sid is not None:
            query = query.where(recordings.c.account_sid == account_sid)
        if states is not None:
            query = query.where(recordings.c.state.in_(states))
        if kind is not None:
            query = query.where(recordings.c.kind == kind)
        if held_only:
            query = query.where(recordings.c.state == State.FATAL)
        query = at_place(query, recordings.c.date_created, recordings.c.sid, place=after, size=limit - 1)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return await self._read_all(rows)

    async def count_unfinished(
        self, account_sid: AccountSid, *, states: frozenset[State], kind: RecordingKind | None = None, most: int
    ) -> int:
        """How many recordings of an account still need work or a person; above `most`, `most + 1` is said."""
        query = select(recordings.c.sid).where(
            recordings.c.unfinished, recordings.c.account_sid == account_sid, recordings.c.state.in_(states)
        )
        if kind is not None:
            query = query.where(recordings.c.kind == kind)
        matching = query.limit(most + 1).subquery()
        async with self._engine.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(matching))).scalar_one())

    async def list_due_for_purge(self, now: datetime, *, limit: int = 500) -> Sequence[Recording]:
        """Deleted recordings whose metadata has been kept long enough. For the purger."""
        query = select(recordings).where(recordings.c.purge_after <= now).order_by(recordings.c.purge_after)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.limit(limit))).all()
        return await self._read_all(rows)

    async def accounts_with_stale_video(self) -> Sequence[AccountSid]:
        """Accounts with a held video recording that was refused under older settings than theirs of now."""
        newer = (
            select(settings_versions.c.id)
            .where(
                settings_versions.c.account_sid == recordings.c.account_sid,
                settings_versions.c.kind == RecordingKind.VIDEO,
                settings_versions.c.id > func.coalesce(recordings.c.settings_id, 0),
            )
            .exists()
        )
        query = (
            select(recordings.c.account_sid)
            .where(
                recordings.c.unfinished,
                recordings.c.kind == RecordingKind.VIDEO,
                recordings.c.state == State.FATAL,
                newer,
            )
            .distinct()
        )
        async with self._engine.connect() as connection:
            return [AccountSid(sid) for sid in (await connection.execute(query)).scalars()]

    async def find_all_for_recovery(self, sids: Sequence[str]) -> dict[str, Recording]:
        """The recordings there are of these SIDs, in one query."""
        if not sids:
            return {}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(recordings).where(recordings.c.sid.in_(sids)))).all()
        return {recording.sid: recording for recording in await self._read_all(rows)}

    async def buried(self, sids: Sequence[str]) -> set[str]:
        """Which of these SIDs have a tombstone. For recovery."""
        if not sids:
            return set()
        async with self._engine.connect() as connection:
            gone = await connection.execute(select(tombstones.c.sid).where(tombstones.c.sid.in_(sids)))
            return set(gone.scalars())

    async def history(self, account_sid: AccountSid, sid: RecordingSid) -> Sequence[MoveLine]:
        """Every move of a recording, in order."""
        query = (
            select(moves).where(moves.c.recording_sid == sid, moves.c.account_sid == account_sid).order_by(moves.c.id)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [MoveLine.of(row) for row in rows]

    async def count_naming(self, account_sid: AccountSid, credential_sid: str) -> int:
        """How many unfinished recordings of an account wait under settings that name this credential or key."""
        chosen = settings_versions.c.settings
        names = or_(
            chosen["aws_credentials_sid"].as_string() == credential_sid,
            chosen["encryption_key_sid"].as_string() == credential_sid,
        )
        query = (
            select(func.count())
            .select_from(recordings.join(settings_versions, settings_versions.c.id == recordings.c.settings_id))
            .where(recordings.c.account_sid == account_sid, recordings.c.unfinished, names)
        )
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def count_by_state(self) -> dict[str, int]:
        """How many unfinished recordings there are in each state, over all accounts. For metrics."""
        query = (
            select(recordings.c.state, func.count().label("total"))
            .where(recordings.c.unfinished)
            .group_by(recordings.c.state)
        )
        async with self._engine.connect() as connection:
            return {row.state: row.total for row in await connection.execute(query)}

    async def read_rows(self, rows: Sequence[Row[Any]]) -> Sequence[Recording]:
        """Whole rows of `recordings`, read by another part of the ledger, as recordings."""
        return await self._read_all(rows)

    async def _read_all(self, rows: Sequence[Row[Any]]) -> Sequence[Recording]:
        """Rows as recordings; those of kind `video` with their tracks, which voice costs no query."""
        tracks: Mapping[str, VideoTrack] = {}
        if sids := [row.sid for row in rows if row.kind == RecordingKind.VIDEO]:
            async with self._engine.connect() as connection:
                tracks = await tracks_of(connection, sids)
        settings = await self._settings.read_all(row.settings_id for row in rows)
        return [_read(row, settings[row.settings_id], tracks.get(row.sid)) for row in rows]


def _read(row: Row[Any], settings: StorageSettings, track: VideoTrack | None) -> Recording:
    """The recording of a row, its fields set at once: a page has 1,000 of them."""
    facts = dict(zip(_COLUMNS, row, strict=True))
    facts["kind"], facts["state"] = _KINDS[facts["kind"]], _STATES[facts["state"]]
    url, method, events = facts.pop("callback_url"), facts.pop("callback_method"), facts.pop("callback_events")
    facts["callback"] = CallbackWish(url=url, method=method, events=tuple(events)) if url else None
    facts["settings"], facts["video"], facts["carried"] = settings, track, False
    del facts["unfinished"]
    recording = object.__new__(Recording)
    recording.__dict__.update(facts)
    return recording


async def _rows_by_sid(connection: AsyncConnection, sids: Sequence[str]) -> dict[str, Row[Any]]:
    return {row.sid: row for row in await connection.execute(_BY_SID, {"sids": sids})}


# One parameter for any number of SIDs, so that it is one statement to compile and to plan.
_BY_SID = select(recordings).where(recordings.c.sid == any_(bindparam("sids", type_=ARRAY(Text))))


def _narrowed(wanted: RecordingFilter) -> list[ColumnElement[bool]]:
    """What only the Console asks for, and what tells PostgreSQL that a partial index will do."""
    c = recordings.c
    conditions: list[ColumnElement[bool]] = []
    for column, value in ((c.sid, wanted.sid), (c.source, wanted.source), (c.is_external, wanted.is_external)):
        if value is not None:
            conditions.append(column == value)
    if wanted.call_sids is not None:
        conditions.append(c.call_sid.in_(wanted.call_sids))
    if wanted.least_ms is not None:
        conditions.append(c.duration_ms >= wanted.least_ms)
    if wanted.below_ms is not None:
        conditions.append(c.duration_ms < wanted.below_ms)
    if wanted.states is not None and wanted.states <= UNFINISHED:
        conditions.append(c.unfinished)
    return conditions


def _beyond(place: Place | None, wanted: RecordingFilter) -> RecordingFilter:
    """The filter without the bound that a place already implies.

    PostgreSQL enters the index at one bound only. Given two of the same side it may take the farther one and
    walk through everything between them: 20 times the work for a page at nine tenths of a long list.
    """
    if place is None:
        return wanted
    if place.backward:
        implied = wanted.created_from is not None and place.date_created > wanted.created_from
        return replace(wanted, created_from=None) if implied else wanted
    implied = wanted.created_before is not None and place.date_created < wanted.created_before
    return replace(wanted, created_before=None) if implied else wanted


def wanted_sids(account_sid: AccountSid, wanted: RecordingFilter) -> Select[Any]:
    """The SIDs a filter finds now, as a query, newest first. For whoever has to keep them."""
    found = _filtered(account_sid, wanted).with_only_columns(recordings.c.sid)
    return found.order_by(recordings.c.date_created.desc(), recordings.c.sid.desc())


def _filtered(account_sid: AccountSid, wanted: RecordingFilter) -> Select[Any]:
    c = recordings.c
    conditions = [c.account_sid == account_sid, c.kind == wanted.kind]
    if wanted.call_sid is not None:
        conditions.append(c.call_sid == wanted.call_sid)
    if wanted.conference_sid is not None:
        conditions.append(c.conference_sid == wanted.conference_sid)
    if wanted.created_from is not None:
        conditions.append(c.date_created >= wanted.created_from)
    if wanted.created_before is not None:
        conditions.append(c.date_created < wanted.created_before)
    if wanted.states is not None:
        conditions.append(c.state.in_(wanted.states))
    if wanted.has_legal_hold is not None:
        conditions.append(c.legal_hold_at.is_not(None) if wanted.has_legal_hold else c.legal_hold_at.is_(None))
    if not wanted.include_deleted:
        conditions.append(c.state.not_in(_SOFT_DELETED))
    conditions += _narrowed(wanted)
    return select(recordings).where(and_(*conditions))
