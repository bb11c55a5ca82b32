"""One flipped bit in each of many files of the spool: every one is found, and none of them is sent."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.recording import Recording, State
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.settings import load_settings
from callreel.steps.open_account import open_account
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import BUCKET, MANAGER, Stage, a_wav

KINDS = ("media", "blob", "media to be encrypted", "ciphertext", "media of service storage")


@dataclass(slots=True)
class Flipped:
    """What became of them."""

    found: int = 0
    uploaded: int = 0
    violations: list[str] = field(default_factory=list)


async def flip_bits(stage: Stage, count: int, *, seed: int) -> Flipped:
    """So many recordings of all kinds, each with one bit another than it was, then carried as far as they go."""
    rng, result = Random(f"flips:{seed}"), Flipped()
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        is_encrypted = kind in ("media to be encrypted", "ciphertext")
        await stage.choose(
            aws_storage_enabled=kind != "media of service storage",
            encryption_enabled=is_encrypted,
            encryption_key_sid=key_sid if is_encrypted else None,
        )
        recording = await stage.take_in(
            a_wav(seconds=rng.uniform(0.001, 0.3), seed=number), trim_silence=kind == "media to be encrypted"
        )
        if kind in ("blob", "ciphertext"):
            recording = await stage.step("seal", recording)
        (path,) = (p for p in stage.parts.spool.ready.iterdir() if p.name.startswith(recording.sid))
        bit = _flip(path, rng)
        await _judge(stage, recording, f"{kind}, bit {bit} of {path.name}", result)
    return result


def _flip(path: Path, rng: Random) -> int:
    lying = bytearray(path.read_bytes())
    bit = rng.randrange(len(lying) * 8)
    lying[bit // 8] ^= 1 << bit % 8
    path.write_bytes(lying)
    return bit


async def _judge(stage: Stage, recording: Recording, what: str, result: Flipped) -> None:
    settled = await stage.carry_until_settled(recording)
    lines = await stage.parts.ledger.recordings.history(stage.account_sid, recording.sid)
    is_found = settled.state is State.PARKED and (lines[-1].reason or "").startswith("spool-corrupt")
    result.found += is_found
    if not is_found:
        result.violations.append(f"{what} was not found: {settled.state}, {lines[-1].reason}")
    is_hosted = (
        settled.object_key is not None and await stage.parts.buckets.storage.head(settled.object_key) is not None
    )
    if is_hosted or any(key.endswith(recording.sid) for key in stage.s3.keys(BUCKET)):
        result.uploaded += 1
        result.violations.append(f"{what} was uploaded")


async def flip_many(count: int, *, seed: int) -> Flipped:
    """As `flip_bits`, on a stage and a PostgreSQL of their own."""
    home = Path(tempfile.mkdtemp(prefix="callreel-flips-"))
    server = EmbeddedPostgres(home / "postgres")
    try:
        await asyncio.to_thread(server.start)
        async with _on_stage(home, server.url()) as stage:
            return await flip_bits(stage, count, seed=seed)
    finally:
        await asyncio.to_thread(server.stop)
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def _on_stage(home: Path, database_url: str) -> AsyncIterator[Stage]:
    clock = SetClock()
    settings = load_settings(data_dir=home / "data", allowed_private_networks="127.0.0.0/8")
    async with AsyncExitStack() as stack:
        s3 = await stack.enter_async_context(EmbeddedS3(home / "s3", clock=clock))
        s3.create_bucket(BUCKET)
        s3.add_user(*MANAGER)
        opening = open_parts(settings, database_url=database_url, public_url="http://callreel.test", clock=clock)
        parts = await stack.enter_async_context(opening)
        account, token = await open_account(
            "Main",
            parent=None,
            accounts=parts.ledger.accounts,
            keyring=parts.keyring,
            digest=parts.digest,
            clock=clock,
        )
        stage = Stage(parts, clock, account, token, s3)
        stage.credential_sid = await stage.keep_key()
        yield stage
