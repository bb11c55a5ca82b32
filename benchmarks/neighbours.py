"""What one account's broken bucket costs another: delivery times alone, and beside a bucket that never answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from sqlalchemy import text

from benchmarks.figures import Figure, Ratio
from benchmarks.installation import Installation
from benchmarks.servers import S3Server
from benchmarks.service import serve
from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.rehearsal.black_hole import black_hole
from callreel.steps.choose_storage import choose_storage
from callreel.steps.keep_credential import keep_access_key
from callreel.steps.open_account import open_account

REACH = 1.5
EVERY_S = 0.1  # ten recordings a second
WAITING = 500  # recordings of the account whose bucket never answers
SETTLED_S = 3.0  # the worker has met the broken bucket by then
LIMIT_S = 60.0


async def beside_a_black_hole(
    installation: Installation, server: S3Server, paths: Sequence[Path], rounds: int
) -> Figure:
    """The same recordings at the same pace; p95 of the time from accepted to proved, medians of the rounds."""
    alone, beside = list[float](), list[float]()
    await installation.deliver_to(server, "black-hole")
    broken = await _another_account(installation)
    for _ in range(rounds):
        async with serve(installation, role="worker"):
            alone.append(await _p95_of(installation, paths))
            async with black_hole() as hole:
                await _deliver_to(broken, f"{hole.url}/hole")
                await broken.accept([paths[0]] * WAITING)
                await asyncio.sleep(SETTLED_S)
                beside.append(await _p95_of(installation, paths))
        await _forget(installation, broken.account.sid)
    value = median(beside) / median(alone)
    ratios = (
        Ratio("p95 from accepted to proved, beside over alone", round(value, 3), f"≤ {REACH}", value <= REACH),
        Ratio("p95 alone, ms", round(median(alone) * 1e3, 1), "-", is_reached=True),
        Ratio("p95 beside, ms", round(median(beside) * 1e3, 1), "-", is_reached=True),
    )
    name = f"{len(paths)} recordings, {1 / EVERY_S:.0f} a second, while {WAITING} of another account's meet a bucket"
    return Figure(f"{name} that never answers", len(paths), (), ratios)


async def _another_account(installation: Installation) -> Installation:
    """Another account of the same installation, with a credential of its own."""
    p = installation.parts
    account, token = await open_account(
        "Black hole", parent=None, accounts=p.ledger.accounts, keyring=p.keyring, digest=p.digest, clock=p.clock
    )
    credential = await keep_access_key(
        account.sid,
        "AKBLACKHOLE000000000:" + "b" * 40,
        "hole",
        credentials=p.ledger.credentials,
        keyring=p.keyring,
        clock=p.clock,
    )
    return replace(installation, account=account, token=token, credential=credential)


async def _deliver_to(broken: Installation, url: str) -> None:
    await choose_storage(
        broken.account.sid,
        RecordingKind.VOICE,
        StorageSettings(aws_storage_enabled=True, aws_s3_url=url, aws_credentials_sid=broken.credential.sid),
        ledger=broken.parts.ledger,
        private_networks=broken.parts.chosen.private_networks,
        clock=broken.parts.clock,
    )


async def _p95_of(installation: Installation, paths: Sequence[Path]) -> float:
    """Seconds from accepted to proved within which 95 of 100 of these were delivered. Raises `TimeoutError`."""
    sids: list[RecordingSid] = []
    for path in paths:
        sids += await installation.accept([path])
        await asyncio.sleep(EVERY_S)
    query = text(
        "SELECT extract(epoch FROM verified_at - date_created) FROM recordings "
        "WHERE sid = ANY(:sids) AND verified_at IS NOT NULL"
    )
    async with asyncio.timeout(LIMIT_S):
        while True:
            async with installation.parts.ledger.engine.connect() as connection:
                taken = sorted(float(s) for s in (await connection.execute(query, {"sids": sids})).scalars())
            if len(taken) == len(sids):
                return taken[math.ceil(0.95 * len(taken)) - 1]
            await asyncio.sleep(EVERY_S)


async def _forget(installation: Installation, account_sid: AccountSid) -> None:
    """Take the broken account's recordings out of the installation, rows, jobs and files."""
    async with installation.parts.ledger.engine.begin() as transaction:
        gone = await transaction.execute(
            text("DELETE FROM recordings WHERE account_sid = :account RETURNING sid"), {"account": account_sid}
        )
        sids = [RecordingSid(sid) for sid in gone.scalars()]
        await transaction.execute(text("DELETE FROM pgqueuer"))
    for sid in sids:
        await installation.parts.spool.release(sid)
