"""An installation of callreel to measure: its own embedded PostgreSQL, one account that delivers to the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.servers import S3Server
from callreel.app import Database, open_parts
from callreel.births import Births
from callreel.media_keys import MediaKeys, NewKey
from callreel.model.account import Account
from callreel.model.credential import Credential
from callreel.model.intake import Intake
from callreel.model.recording import State
from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.parts import Parts
from callreel.settings import Settings, load_settings
from callreel.steps.choose_storage import choose_storage
from callreel.steps.ingest import ingest
from callreel.steps.keep_credential import keep_access_key, keep_public_key
from callreel.steps.open_account import open_account

PUBLIC_URL = "http://callreel.bench"
PRIVATE_NETWORKS = "127.0.0.0/8,::1/128"
FILLERS = 16
LOOK_EVERY_S = 0.02
READ_BYTES = 256 << 10


def settings_of(data_dir: Path) -> Settings:
    """The defaults, with loopback allowed, since the server listens there."""
    return load_settings(data_dir=data_dir, allowed_private_networks=PRIVATE_NETWORKS)


@dataclass(frozen=True, slots=True)
class Installation:
    """The parent's view of it: it hands recordings in and looks how far they are; children do what is measured."""

    parts: Parts
    data_dir: Path
    database_url: str
    account: Account
    token: str
    credential: Credential
    public_key: Credential

    @property
    def job(self) -> dict[str, Any]:
        """What a child needs to open the same installation."""
        return {"data_dir": str(self.data_dir), "database_url": self.database_url}

    async def deliver_to(self, server: S3Server, prefix: str, *, encrypting: bool = False) -> None:
        """From now on recordings go to this prefix, on wish encrypted for the account's public key."""
        await choose_storage(
            self.account.sid,
            RecordingKind.VOICE,
            StorageSettings(
                aws_storage_enabled=True,
                aws_s3_url=server.url_of(prefix),
                aws_credentials_sid=self.credential.sid,
                encryption_enabled=encrypting,
                encryption_key_sid=self.public_key.sid if encrypting else None,
            ),
            ledger=self.parts.ledger,
            private_networks=self.parts.chosen.private_networks,
            clock=self.parts.clock,
        )

    async def accept(self, paths: Sequence[Path], *, sealed: bool = True) -> list[RecordingSid]:
        """Hand these files in; on return each is acknowledged: file, row and job are durable.

        Not `sealed`: as if media at rest were not sealed, which no setting can ask for.
        """
        births = self.parts.births if sealed else _plain_births(self.parts)
        free = asyncio.Semaphore(FILLERS)

        async def hand_in(path: Path) -> RecordingSid:
            async with free:
                recording = await ingest(
                    _pieces(path),
                    Intake(account_sid=self.account.sid),
                    announced_bytes=path.stat().st_size,
                    limit_bytes=self.parts.chosen.max_upload_bytes,
                    births=births,
                    keyring=self.parts.keyring,
                    index=self.parts.index,
                )
                return recording.sid

        return await asyncio.gather(*[hand_in(path) for path in paths])

    async def until_finished(self, limit_s: float) -> None:
        """Return when no recording needs work any more. Raises `TimeoutError` with what is left."""
        async with asyncio.timeout(limit_s):
            while await self.parts.ledger.recordings.count_by_state():
                await asyncio.sleep(LOOK_EVERY_S)

    async def keys_of_released(self, sids: Sequence[RecordingSid]) -> list[str]:
        """The object keys of these recordings. Raises `RuntimeError` unless each was released on proof."""
        keys = []
        for sid in sids:
            recording = await self.parts.ledger.recordings.fetch(self.account.sid, sid)
            if recording.state is not State.RELEASED or recording.object_key is None:
                raise RuntimeError(f"{sid} is {recording.state}, not released: {recording.last_error}")
            keys.append(recording.object_key)
        return keys


class _NoKey(NewKey):
    """The media of a recording that lies as it came."""

    @property
    def facts(self) -> dict[str, Any]:
        return {"sealed_at_rest": False}


class _NoKeys(MediaKeys):
    async def mint(self, account_sid: AccountSid, sid: RecordingSid) -> NewKey:
        return _NoKey(key=None, wrapped=b"")  # type: ignore[arg-type]


def _plain_births(parts: Parts) -> Births:
    keys = _NoKeys(ledger=parts.ledger, keyring=parts.keyring, clock=parts.clock)
    return Births(spool=parts.spool, ledger=parts.ledger, keys=keys, keyring=parts.keyring, clock=parts.clock)


@asynccontextmanager
async def open_installation(root: Path, server: S3Server, database: Database) -> AsyncIterator[Installation]:
    """Open it below `root`, on a database that was started."""
    url = database.start()
    async with open_parts(settings_of(root), database_url=url, public_url=PUBLIC_URL) as parts:
        account, token = await open_account(
            "Benchmarks",
            parent=None,
            accounts=parts.ledger.accounts,
            keyring=parts.keyring,
            digest=parts.digest,
            clock=parts.clock,
        )
        credential = await keep_access_key(
            account.sid,
            f"{server.key_id}:{server.secret}",
            "bench",
            credentials=parts.ledger.credentials,
            keyring=parts.keyring,
            clock=parts.clock,
        )
        public_key = await keep_public_key(
            account.sid,
            _public_pem(),
            "bench",
            credentials=parts.ledger.credentials,
            keyring=parts.keyring,
            clock=parts.clock,
        )
        yield Installation(parts, root, url, account, token, credential, public_key)


def _public_pem() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece
