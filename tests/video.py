"""A small studio for tests of video recordings: an installation with a bucket of its own beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from callreel.clock import SetClock
from callreel.ledger.moves import Birth
from callreel.model.credential import AccessKey
from callreel.model.recording import CallbackWish, Recording, State
from callreel.model.room import Room, RoomOptions, RoomStatus, RoomType
from callreel.model.sid import AccountSid, RecordingSid, mint_sid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.model.video_callback import EVENTS
from callreel.model.video_track import MEDIA_TYPES, Container, TrackType, VideoTrack
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.steps.keep_credential import keep_access_key
from callreel.worker.routes import carry, steps_of

KEY = AccessKey("AKVIDEO0000000000000", "v" * 40)
BUCKET = "takes"
MEDIA = b"any bytes: below the doors nobody looks into them again"


@dataclass(slots=True)
class Studio:
    """An account, the parts it uses, and the bucket its settings may name."""

    parts: Parts
    account_sid: AccountSid
    clock: SetClock
    s3: EmbeddedS3

    async def keep_credential(self) -> str:
        credential = await keep_access_key(
            self.account_sid,
            f"{KEY.key_id}:{KEY.secret}",
            "studio",
            credentials=self.parts.ledger.credentials,
            keyring=self.parts.keyring,
            clock=self.clock,
        )
        return credential.sid

    async def store_outside(self, **changes: Any) -> StorageSettings:
        """Save video settings that name the studio's bucket."""
        settings = StorageSettings(
            friendly_name="outside",
            aws_storage_enabled=True,
            aws_s3_url=f"{self.s3.url}/{BUCKET}/video",
            aws_credentials_sid=await self.keep_credential(),
        ).changed(**changes)
        await self.save(settings)
        return settings

    async def save(self, settings: StorageSettings) -> None:
        await self.parts.ledger.settings.keep(self.account_sid, RecordingKind.VIDEO, settings, now=self.clock.now())

    async def spooled(self, **facts: Any) -> Recording:
        """A spooled video recording of the account, under its settings of now, with these facts of its track."""
        number, settings = await self.parts.ledger.settings.current(self.account_sid, RecordingKind.VIDEO)
        sid = RecordingSid(mint_sid("RT"))
        body: bytes = facts.pop("body", MEDIA)
        callback: str | None = facts.pop("callback", None)
        _, digests = await self.parts.spool.receive(
            sid, _chunks(body), lambda file, size: size, announced_bytes=None, limit_bytes=1 << 30
        )
        room: Room | None = facts.pop("room", None)
        room_sid = facts.pop("room_sid", None) or (room.sid if room else mint_sid("RM"))
        room = await self.parts.ledger.rooms.find(self.account_sid, room_sid) or room or self.a_room(sid=room_sid)
        track = a_track(room, **facts)
        recording = Recording(
            sid=sid,
            account_sid=self.account_sid,
            kind=RecordingKind.VIDEO,
            state=State.SPOOLED,
            fence=1,
            host_id=self.parts.spool.host_id,
            call_sid=None,
            conference_sid=None,
            source="Room",
            track=None,
            channels=1,
            duration_ms=3000,
            media_type=MEDIA_TYPES[track.container],
            start_time=self.clock.now(),
            date_created=self.clock.now(),
            date_updated=self.clock.now(),
            media_size_bytes=digests.size_bytes,
            media_sha256=digests.sha256,
            media_md5=digests.md5,
            settings=settings,
            settings_id=number,
            callback=CallbackWish(url=callback, events=EVENTS) if callback else None,
            video=track,
        )
        born = await self.parts.ledger.bear(Birth(recording=recording, room=room))
        assert isinstance(born, Recording)
        return born

    def a_room(self, **facts: Any) -> Room:
        """A finished room of the account."""
        sid = facts.pop("sid", None) or mint_sid("RM")
        usual: dict[str, Any] = {
            "sid": sid,
            "account_sid": self.account_sid,
            "unique_name": sid,
            "status": RoomStatus.COMPLETED,
            "type": RoomType.GROUP,
            "date_created": self.clock.now(),
            "date_updated": self.clock.now(),
            "options": RoomOptions(),
        }
        return Room(**(usual | facts))

    async def carry(self, recording: Recording) -> Recording:
        """Take every step that is due now."""
        carried = await carry(recording.sid, parts=self.parts, steps=steps_of(self.parts))
        assert carried is not None
        return carried

    async def carry_until_settled(self, recording: Recording) -> Recording:
        """Take every step there is, letting the clock run on to each next attempt."""
        carried = await self.carry(recording)
        while carried.next_attempt_at is not None:
            self.clock.advance(max(0.0, (carried.next_attempt_at - self.clock.now()).total_seconds()))
            carried = await self.carry(recording)
        return carried

    async def events(self, recording: Recording) -> list[tuple[str, dict[str, str]]]:
        """The events owed about a recording, with what they say."""
        owed = await self.parts.ledger.outbox.list_of(recording.account_sid, recording.sid)
        return [(event.event, dict(event.parameters)) for event in owed]

    async def alerts(self, recording: Recording) -> list[tuple[int, str]]:
        """Code and level of the alerts about a recording, oldest first."""
        found = await self.parts.ledger.alerts.list(recording.account_sid, recording_sid=recording.sid)
        return [(alert.code, alert.level) for alert in reversed(found)]


def a_track(room: Room, **facts: Any) -> VideoTrack:
    """A camera's track in a room."""
    kind = facts.get("type", TrackType.VIDEO)
    source = facts.pop("source_sid", None) or mint_sid("MT")
    participant = facts.pop("participant_sid", None) or mint_sid("PA")
    usual: dict[str, Any] = {
        "room_sid": room.sid,
        "room_name": room.unique_name,
        "room_type": room.type,
        "participant_sid": participant,
        "participant_identity": participant,
        "source_sid": source,
        "track_name": source,
        "type": kind,
        "codec": "VP8" if kind is TrackType.VIDEO else "OPUS",
        "container": Container.MKV if kind is TrackType.VIDEO else Container.MKA,
        "offset_ms": 1500,
    }
    return VideoTrack(**(usual | facts))


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body
