"""The ingest figure: acknowledgements over HTTP against the floor, in turns."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

from benchmarks.child import Measured, start
from benchmarks.installation import Installation
from benchmarks.recordings import Files
from benchmarks.service import Service, serve

CLIENTS = 16


async def ingest_against_floor(installation: Installation, files: Files, *, rounds: int) -> dict[str, list[Measured]]:
    """What each took in each round. The service takes uploads only: its workers rest, so that the two compare.

    Raises `RuntimeError` when the ledger does not hold what was acknowledged.
    """
    taken: dict[str, list[Measured]] = {"callreel, HTTP": [], "floor": []}
    async with serve(installation, role="api") as service:
        for turn in range(rounds):
            order = list(taken) if turn % 2 == 0 else list(reversed(taken))
            for name in order:
                run = _floor(installation, files) if name == "floor" else upload(installation, service, files)
                taken[name].append(await run)
            held = sum((await installation.parts.ledger.recordings.count_by_state()).values())
            if held != (turn + 1) * len(files.names):
                raise RuntimeError(f"{(turn + 1) * len(files.names)} recordings were acknowledged, {held} are held")
    return taken


async def upload(installation: Installation, service: Service, files: Files, *, clients: int = CLIENTS) -> Measured:
    """Upload the files over HTTP. The wall is the clients', processor and memory are the service's."""
    job: dict[str, Any] = {
        "url": f"{service.url}/callreel/v1/Accounts/{installation.account.sid}/Recordings",
        "sign_in": [installation.account.sid, installation.token],
        "clients": clients,
        "paths": [str(path) for path in files.paths],
    }
    async with start("ingest_client", job) as client:
        cpu_s = service.cpu_s
        await client.go()
        wall_s = (await client.measured()).wall_s
    return Measured(wall_s, service.cpu_s - cpu_s, service.peak_rss_bytes)


async def _floor(installation: Installation, files: Files) -> Measured:
    directory = Path(installation.data_dir) / f"floor-{secrets.token_hex(4)}"
    job = {
        "database_url": installation.database_url,
        "directory": str(directory),
        "clients": CLIENTS,
        "paths": [str(path) for path in files.paths],
    }
    async with start("floor_process", job) as child:
        await child.go()
        measured = await child.measured()
    shutil.rmtree(directory)
    return measured
