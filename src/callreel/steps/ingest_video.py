"""Take a finished video track in. It is acknowledged when it is durable, and not before."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import BinaryIO

from callreel.births import Births, Kept, NothingInIt
from callreel.errors import InvalidParameter
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.ledger.moves import Birth
from callreel.media.matroska import MatroskaFacts, inspect_matroska
from callreel.model.recording import CallbackWish, Recording
from callreel.model.room import Room, RoomStatus, RoomType
from callreel.model.sid import RecordingSid, mint_sid
from callreel.model.storage_settings import RecordingKind
from callreel.model.video_callback import EVENTS
from callreel.model.video_failure import INVALID_CALLBACK_URL
from callreel.model.video_intake import VideoIntake
from callreel.model.video_track import MEDIA_TYPES, Container, TrackType, VideoTrack

SOURCE = "Room"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def ingest_video(
    body: AsyncIterator[bytes],
    intake: VideoIntake,
    *,
    announced_bytes: int | None,
    limit_bytes: int,
    births: Births,
    ledger: Ledger,
) -> Recording:
    """Receive, check and keep one finished track.

    1. make sure there is room and a database, before the body is read
    2. stream the body to the spool, hashing it
    3. check that it is Matroska of the type announced, make file and name durable
    4. write row, track, room, job and first event in one transaction

    A track without any media is noted as failed, and nothing is kept. Returns the recording, or the one an earlier
    request with the same key made. Raises `SpoolFull`, `BodyTooLarge`, `BodyCutShort`, `NotAudio`,
    `InvalidParameter`, `IdempotencyConflict`, `SpoolFailed` and `DatabaseAway`; after any of them nothing was
    acknowledged.
    """
    kept = await births.receive(
        RecordingSid(mint_sid("RT")),
        body,
        partial(_recorded, wanted=intake.type),
        account_sid=intake.account_sid,
        kind=RecordingKind.VIDEO,
        announced_bytes=announced_bytes,
        limit_bytes=limit_bytes,
    )
    now = births.clock.now()
    started = intake.start_time or now - timedelta(milliseconds=kept.facts.duration_ms)
    room = await _room_of(intake, ledger, started=started, now=now)
    return await births.bear(_birth(_recording(kept, intake, room, started=started, now=now), intake, room))


def _recorded(file: BinaryIO, size_bytes: int, *, wanted: TrackType | None) -> MatroskaFacts:
    facts = inspect_matroska(file, size_bytes)
    if wanted is not None and facts.kind != wanted:
        raise InvalidParameter(f"Type is {wanted} and the body holds {facts.kind}", parameter="Type")
    if not facts.has_media:
        raise NothingInIt(facts)
    return facts


def _recording(
    kept: Kept[MatroskaFacts], intake: VideoIntake, room: Room, *, started: datetime, now: datetime
) -> Recording:
    track = _track_of(intake, kept.facts, room, started)
    return kept.newborn(
        now=now,
        source=SOURCE,
        channels=1,
        duration_ms=kept.facts.duration_ms,
        media_type=MEDIA_TYPES[track.container],
        start_time=started,
        callback=_wish_of(intake, room),
        video=track,
    )


def _birth(recording: Recording, intake: VideoIntake, room: Room) -> Birth:
    request = f"{intake.parameters_hash}:{recording.media_sha256}"
    alerts = []
    if intake.callback_problem:
        alerts.append(
            Alert(
                account_sid=intake.account_sid,
                recording_sid=recording.sid,
                code=INVALID_CALLBACK_URL,
                level="warning",
                text=intake.callback_problem,
                at=recording.date_created,
            )
        )
    return Birth(
        recording=recording,
        room=room,
        idempotency_key=intake.idempotency_key,
        request_hash=hashlib.sha256(request.encode()).hexdigest(),
        alerts=tuple(alerts),
    )


async def _room_of(intake: VideoIntake, ledger: Ledger, *, started: datetime, now: datetime) -> Room:
    """The room of the track as the account has it, or a finished one by that SID. It is written with the track."""
    if intake.room_sid is not None:
        known = await ledger.rooms.find(intake.account_sid, intake.room_sid)
        if known is not None:
            return known
    sid = intake.room_sid or mint_sid("RM")
    return Room(
        sid=sid,
        account_sid=intake.account_sid,
        unique_name=sid,
        status=RoomStatus.COMPLETED,
        type=RoomType.GROUP,
        date_created=now,
        date_updated=now,
        end_time=now,
        duration_s=max(0, round((now - started).total_seconds())),
    )


def _track_of(intake: VideoIntake, facts: MatroskaFacts, room: Room, started: datetime) -> VideoTrack:
    participant = intake.participant_sid or mint_sid("PA")
    source = intake.source_sid or mint_sid("MT")
    offset_ms = intake.offset_ms
    if offset_ms is None:  # milliseconds since 1970: one time line for all tracks of all rooms
        offset_ms = (started - _EPOCH) // timedelta(milliseconds=1)
    return VideoTrack(
        room_sid=room.sid,
        room_name=room.unique_name,
        room_type=room.type,
        participant_sid=participant,
        participant_identity=intake.participant_identity or participant,
        source_sid=source,
        track_name=intake.track_name or source,
        type=TrackType(facts.kind),
        codec=facts.codec,
        container=Container(facts.container),
        offset_ms=offset_ms,
        status_callback=intake.status_callback,
        status_callback_method=intake.status_callback_method if intake.status_callback else None,
    )


def _wish_of(intake: VideoIntake, room: Room) -> CallbackWish | None:
    """The track's own callback, else its room's. Video has no choice of events: all of them are told."""
    if intake.callback_problem:
        return None
    if intake.status_callback:
        return CallbackWish(url=intake.status_callback, method=intake.status_callback_method, events=EVENTS)
    if room.status_callback:
        return CallbackWish(url=room.status_callback, method=room.status_callback_method, events=EVENTS)
    return None
