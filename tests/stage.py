"""An installation on stage: opened parts, an account, an embedded S3 with faults, and the verbs tests speak in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from callreel.clock import SetClock
from callreel.model.account import Account
from callreel.model.callback import parse_events
from callreel.model.intake import Intake
from callreel.model.recording import CallbackWish, Recording, State
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.wav_file import wav_file
from callreel.steps.choose_storage import choose_storage
from callreel.steps.ingest import ingest
from callreel.steps.keep_credential import keep_access_key, keep_public_key
from callreel.worker.routes import carry, steps_of

BUCKET = "calls"
MANAGER = ("AKMANAGER00000000000", "m" * 40)
WRITER = ("AKWRITER000000000000", "w" * 40)
SETTLED = frozenset(State) - {State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING}


def a_wav(*, seconds: float = 0.1, channels: int = 1, seed: int = 0) -> bytes:
    """A WAV of noise; another seed, other bytes."""
    frames = int(8000 * seconds)
    samples = np.random.default_rng(seed).integers(-999, 999, (frames, channels)).astype(np.int16)
    return wav_file(samples, rate=8000)


async def in_pieces(body: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


class Stage:
    """One account that sends its recordings to the embedded S3. The clock stands still unless a verb moves it."""

    def __init__(self, parts: Parts, clock: SetClock, account: Account, token: str, s3: EmbeddedS3) -> None:
        self.parts, self.clock, self.token, self.s3 = parts, clock, token, s3
        self.account_sid: AccountSid = account.sid
        self.credential_sid = ""

    # --- Before ------------------------------------------------------------------------------------------------------

    async def keep_key(self, key: tuple[str, str] = MANAGER) -> str:
        p = self.parts
        kept = await keep_access_key(
            self.account_sid,
            ":".join(key),
            "key",
            credentials=p.ledger.credentials,
            keyring=p.keyring,
            clock=p.clock,
        )
        return kept.sid

    async def keep_public_key(self, pem: str) -> str:
        p = self.parts
        kept = await keep_public_key(
            self.account_sid, pem, "key", credentials=p.ledger.credentials, keyring=p.keyring, clock=p.clock
        )
        return kept.sid

    async def choose(self, **changes: Any) -> StorageSettings:
        """Save settings: external storage in the embedded S3, with these changes."""
        usual: dict[str, Any] = {
            "aws_storage_enabled": True,
            "aws_s3_url": f"{self.s3.url}/{BUCKET}/documents",
            "aws_credentials_sid": self.credential_sid,
        }
        return await choose_storage(
            self.account_sid,
            RecordingKind.VOICE,
            StorageSettings(**(usual | changes)),
            ledger=self.parts.ledger,
            private_networks=self.parts.chosen.private_networks,
            clock=self.parts.clock,
        )

    async def take_in(
        self, body: bytes | None = None, *, callback: str | None = None, events: str = "completed", **intake: Any
    ) -> Recording:
        """Ingest a recording, as the door does."""
        p = self.parts
        body = a_wav() if body is None else body
        wish = CallbackWish(url=callback, events=parse_events([events])) if callback else None
        return await ingest(
            in_pieces(body),
            Intake(account_sid=self.account_sid, callback=wish, **intake),
            announced_bytes=len(body),
            limit_bytes=p.chosen.max_upload_bytes,
            births=p.births,
            keyring=p.keyring,
            index=p.index,
        )

    # --- During ------------------------------------------------------------------------------------------------------

    async def step(self, name: str, recording: Recording) -> Recording:
        """One step, on the recording as it is given."""
        return await steps_of(self.parts)[name](recording)

    async def sealed(self, **intake: Any) -> Recording:
        return await self.step("seal", await self.take_in(**intake))

    async def carry(self, recording: Recording) -> Recording:
        """What one job does."""
        carried = await carry(recording.sid, parts=self.parts, steps=steps_of(self.parts))
        assert carried is not None
        return await self.look(recording)

    async def carry_until_settled(self, recording: Recording, *, most: int = 400) -> Recording:
        """Jobs, each when it is due, until the recording waits for a person or for nothing."""
        for _ in range(most):
            recording = await self.carry(recording)
            if recording.state is State.DELIVERED and recording.next_attempt_at is not None:
                return recording
            if recording.state in SETTLED:
                return recording
            assert recording.next_attempt_at is not None
            self.clock.advance(max(0.0, (recording.next_attempt_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"not settled: {recording.state}")

    # --- After -------------------------------------------------------------------------------------------------------

    async def look(self, recording: Recording) -> Recording:
        """The recording as its row is now."""
        found = await self.parts.ledger.recordings.find_for_work(recording.sid)
        assert found is not None
        return found

    async def path_taken(self, recording: Recording) -> list[str]:
        """The states the ledger says it went through."""
        lines = await self.parts.ledger.recordings.history(self.account_sid, recording.sid)
        return [line.to_state for line in lines]

    async def events(self, recording: Recording) -> list[tuple[str, str, str]]:
        """What is owed or was told: event, error code, state in the outbox."""
        owed = await self.parts.ledger.outbox.list_of(self.account_sid, recording.sid)
        return [(e.event, dict(e.parameters)["ErrorCode"], e.state) for e in owed]

    async def alerts(self, recording: Recording) -> list[int]:
        return [a.code for a in await self.parts.ledger.alerts.list(self.account_sid, recording_sid=recording.sid)]

    async def media(self, recording: Recording) -> bytes:
        """What the spool holds as the recording's media, opened."""
        key = await self.parts.keys.of_media(recording)
        return b"".join(self.parts.spool.read_media(recording, key))

    async def hosted(self, recording: Recording) -> bytes:
        """What service storage holds of the recording, opened."""
        return b"".join((await self.parts.buckets.hosted(recording)).pieces())

    def spooled(self) -> list[str]:
        """The files the spool holds, drafts and all."""
        spool = self.parts.spool
        return sorted(p.name for d in (spool.tmp, spool.ready, spool.quarantine) for p in d.iterdir())

    def objects(self, recording: Recording) -> list[str]:
        """The SHA-256 of every content the recording's object has had."""
        assert recording.object_key is not None
        return self.s3.versions(BUCKET, recording.object_key)

    def bodies(self, recording: Recording) -> bytes:
        """What the recording's object holds now."""
        shelf = self.s3._shelf.bucket(BUCKET)
        return shelf.path_of(shelf.current[str(recording.object_key)].content_id).read_bytes()
