"""The tracks of video recordings: what their lists are filtered and ordered by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, RowMapping, Select, Text, and_, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.ledger.paging import Place, at_place
from callreel.ledger.tables import recordings, rooms, video_tracks
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid
from callreel.model.video_track import Container, TrackType, VideoTrack


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFilter:
    """Which video recordings of an account a list shows. Bounds in UTC; `created_before` is exclusive.

    `grouping_sids` are rooms and participants: of several, a recording belongs to one of the rooms named, if any
    is, and to one of the participants named, if any is.
    """

    states: frozenset[State]
    source_sid: str | None = None
    grouping_sids: tuple[str, ...] = ()
    type: TrackType | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


def video_page(account_sid: AccountSid, wanted: VideoFilter, *, place: Place | None, size: int) -> Select[Any]:
    """The query for one page of an account's video recordings and one row more, newest first."""
    c = video_tracks.c
    conditions: list[ColumnElement[bool]] = [
        c.account_sid == account_sid,
        recordings.c.account_sid == account_sid,
        recordings.c.state.in_(wanted.states),
    ]
    if wanted.source_sid is not None:
        conditions.append(c.source_sid == wanted.source_sid)
    if in_rooms := [sid for sid in wanted.grouping_sids if sid.startswith("RM")]:
        conditions.append(c.room_sid.in_(in_rooms))
    if of_participants := [sid for sid in wanted.grouping_sids if sid.startswith("PA")]:
        conditions.append(c.participant_sid.in_(of_participants))
    if wanted.type is not None:
        conditions.append(c.type == wanted.type)
    if wanted.created_from is not None:
        conditions.append(c.date_created >= wanted.created_from)
    if wanted.created_before is not None:
        conditions.append(c.date_created < wanted.created_before)
    query = select(recordings).join_from(video_tracks, recordings, recordings.c.sid == c.recording_sid)
    return at_place(query.where(and_(*conditions)), c.date_created, c.recording_sid, place=place, size=size)


async def tracks_of(connection: AsyncConnection, sids: Sequence[str]) -> Mapping[str, VideoTrack]:
    """The tracks of these video recordings, with the name and type of their rooms."""
    rows = (await connection.execute(_TRACKS, {"sids": list(sids)})).mappings()
    return {row["recording_sid"]: _track(row) for row in rows}


def track_row(recording: Recording) -> dict[str, Any] | None:
    """A recording's track as its table has it; None for voice."""
    if recording.video is None:
        return None
    named = {name: getattr(recording.video, name) for name in _OWN}
    return named | {
        "recording_sid": recording.sid,
        "account_sid": recording.account_sid,
        "date_created": recording.date_created,
    }


_OWN = [c.name for c in video_tracks.columns if c.name not in ("recording_sid", "account_sid", "date_created")]
_TRACKS = (
    select(video_tracks, rooms.c.unique_name.label("room_name"), rooms.c.type.label("room_type"))
    .join_from(
        video_tracks,
        rooms,
        and_(rooms.c.account_sid == video_tracks.c.account_sid, rooms.c.sid == video_tracks.c.room_sid),
    )
    .where(video_tracks.c.recording_sid == any_(bindparam("sids", type_=ARRAY(Text))))
)


def _track(row: RowMapping) -> VideoTrack:
    values = {name: row[name] for name in (*_OWN, "room_name", "room_type")}
    return VideoTrack(**values | {"type": TrackType(row["type"]), "container": Container(row["container"])})
