"""The source everything is moved out of: a pretend Twilio in a process of its own, full of recordings, one account."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.child import LINE_LIMIT_BYTES, environment

MODULE = "callreel.rehearsal.pretend_twilio"


@dataclass(frozen=True, slots=True)
class SourceServer:
    """Where it listens and how to sign in."""

    url: str
    account_sid: str
    auth_token: str

    @property
    def job(self) -> dict[str, Any]:
        """What a contender needs to reach it."""
        return {"url": self.url, "account_sid": self.account_sid, "auth_token": self.auth_token}

    async def state(self) -> dict[str, Any]:
        """What it has seen so far: what was deleted, how many requests were refused."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/_rehearsal") as answer:
            return dict(await answer.json())


@asynccontextmanager
async def open_source(
    *, count: int, size_bytes: int, seed: int, answers_after_s: float = 0.0
) -> AsyncIterator[SourceServer]:
    """A fresh one: what a contender deletes costs the next one nothing. Its sounds are made before it is handed out."""
    options = {"--recordings": count, "--size-bytes": size_bytes, "--seed": seed, "--answer-after": answers_after_s}
    words = [sys.executable, "-m", MODULE, *(str(word) for pair in options.items() for word in pair)]
    process = await asyncio.create_subprocess_exec(
        *words, stdout=subprocess.PIPE, limit=LINE_LIMIT_BYTES, env=environment()
    )
    try:
        assert process.stdout is not None
        server = SourceServer(**json.loads(await process.stdout.readline()))
        await _warm(server)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _warm(server: SourceServer) -> None:
    """Fetch a few recordings, so that every talk is made once before anybody is measured."""
    sign_in = {"Authorization": aiohttp.encode_basic_auth(server.account_sid, server.auth_token)}
    base = f"{server.url}/2010-04-01/Accounts/{server.account_sid}/Recordings"
    async with aiohttp.ClientSession(headers=sign_in) as http:
        async with http.get(f"{base}.json?PageSize=16") as answer:
            rows = (await answer.json())["recordings"]
        for row in rows:
            async with http.get(f"{base}/{row['sid']}.wav") as answer:
                await answer.read()
