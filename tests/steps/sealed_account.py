"""An account that encrypts, its buckets, and recordings taken in and carried as a worker does it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from callreel.model.account import Account
from callreel.model.intake import Intake
from callreel.model.recording import Recording
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.parts import Parts
from callreel.steps.choose_storage import choose_storage
from callreel.steps.ingest import ingest
from callreel.steps.keep_credential import keep_access_key, keep_public_key
from callreel.worker.routes import carry, steps_of
from tests.media.wav_bytes import chunk, fmt, riff


def wav(data: bytes) -> bytes:
    return riff(fmt(), chunk(b"data", data))


def some_wav(size: int = 20_000, seed: int = 3) -> bytes:
    return wav(random.Random(seed).randbytes(size))


class SealedAccount:
    """What a customer does at the doors, without the doors."""

    def __init__(self, parts: Parts, account: Account) -> None:
        self.parts, self.sid = parts, account.sid

    async def keep_public_key(self, pem: str) -> str:
        p = self.parts
        kept = await keep_public_key(
            self.sid, pem, "mine", credentials=p.ledger.credentials, keyring=p.keyring, clock=p.clock
        )
        return kept.sid

    async def keep_access_key(self, key_id: str, secret: str) -> str:
        p = self.parts
        kept = await keep_access_key(
            self.sid, f"{key_id}:{secret}", "theirs", credentials=p.ledger.credentials, keyring=p.keyring, clock=p.clock
        )
        return kept.sid

    async def choose(self, kind: RecordingKind = RecordingKind.VOICE, **chosen: Any) -> StorageSettings:
        p = self.parts
        return await choose_storage(
            self.sid,
            kind,
            StorageSettings(**chosen),
            ledger=p.ledger,
            private_networks=p.chosen.private_networks,
            clock=p.clock,
        )

    async def take_in(
        self, media: bytes, kind: RecordingKind = RecordingKind.VOICE, *, trim_silence: bool = False
    ) -> Recording:
        """Voice is encrypted as it comes, where the account asks for it; what may be trimmed in a step of its own."""
        p = self.parts

        async def body() -> AsyncIterator[bytes]:
            yield media

        return await ingest(
            body(),
            Intake(account_sid=self.sid, kind=kind, trim_silence=trim_silence),
            announced_bytes=len(media),
            limit_bytes=1 << 30,
            births=p.births,
            keyring=p.keyring,
            index=p.index,
        )

    async def carry(self, recording: Recording) -> Recording:
        """As far as it goes now."""
        done = await carry(recording.sid, parts=self.parts, steps=steps_of(self.parts))
        assert done is not None
        return replace(done, carried=False)

    async def alerts(self, recording: Recording) -> list[int]:
        found = await self.parts.ledger.alerts.list(self.sid, recording_sid=recording.sid)
        return [alert.code for alert in found]
