"""A listener on a real port, callers that speak HTTP to it, and workers' hands to carry what they upload."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import uvicorn
from yarl import URL

from callreel.clock import SetClock
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.account import Account
from callreel.model.recording import Recording
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.rehearsal.speech import speech
from callreel.steps.open_account import open_account
from callreel.web.listener import make_web
from callreel.worker.routes import carry, steps_of
from tests.conftest import psql

WAV = speech(1.5, seed=1)
STEREO = speech(1.5, seed=2, channels=2)
CALL = "CA" + "1" * 32
UNKNOWN = "0" * 32

Carry = Callable[[str], Awaitable[Recording | None]]
Record = Callable[..., Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Answer:
    """What came back, read whole."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Somebody with a credential who sends requests to the listener."""

    def __init__(self, session: aiohttp.ClientSession, base: str, account: Account, token: str) -> None:
        self.session, self.base, self.account, self.token = session, base, account, token
        self.sid = account.sid

    async def send(self, method: str, path: str, *, auth: tuple[str, str] | str | None = "own", **more: Any) -> Answer:
        chosen = (self.sid, self.token) if auth == "own" else auth
        headers = dict(more.pop("headers", {}))
        if isinstance(chosen, tuple):
            headers["Authorization"] = aiohttp.encode_basic_auth(*chosen)
        url = URL(self.base + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.send("GET", path, **more)

    async def post(self, path: str, form: Any = None, **more: Any) -> Answer:
        return await self.send("POST", path, data=form, **more)

    async def delete(self, path: str, **more: Any) -> Answer:
        return await self.send("DELETE", path, **more)

    async def upload(self, body: Any = WAV, query: str = "", **headers: str) -> Answer:
        sent = {"Content-Type": "audio/wav"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send("POST", f"{self.own_path}/Recordings{query}", data=body, headers=sent)

    async def upload_for(self, other: Caller, body: Any = WAV) -> Answer:
        headers = {"Content-Type": "audio/wav"}
        return await self.send("POST", f"{other.own_path}/Recordings", data=body, headers=headers)

    @property
    def account_path(self) -> str:
        return f"/2010-04-01/Accounts/{self.sid}"

    @property
    def own_path(self) -> str:
        return f"/callreel/v1/Accounts/{self.sid}"


@asynccontextmanager
async def serving(parts: Parts) -> AsyncIterator[str]:
    """The listener on a port of its own, as `serve` runs it. The socket queues callers until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        parts.public_url = base
        config = uvicorn.Config(make_web(parts), log_config=None, access_log=False, lifespan="on", ws="none")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield base
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def base(parts: Parts) -> AsyncIterator[str]:
    async with serving(parts) as url:
        yield url


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def acme(base: str, session: aiohttp.ClientSession, account: tuple[Account, str]) -> Caller:
    """A main account."""
    return Caller(session, base, *account)


async def open_one(name: str, parent: Account | None, parts: Parts) -> tuple[Account, str]:
    return await open_account(
        name,
        parent=parent,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
    )


@pytest.fixture
async def stranger(base: str, session: aiohttp.ClientSession, parts: Parts) -> Caller:
    """Another main account."""
    return Caller(session, base, *await open_one("Stranger", None, parts))


@pytest.fixture
async def branch(base: str, session: aiohttp.ClientSession, parts: Parts, account: tuple[Account, str]) -> Caller:
    """A subaccount of acme."""
    return Caller(session, base, *await open_one("Branch", account[0], parts))


@pytest.fixture
def deliver(parts: Parts) -> Carry:
    """Carry a recording as a worker would, without its engine."""

    async def carried(sid: str) -> Recording | None:
        return await carry(RecordingSid(sid), parts=parts, steps=steps_of(parts))

    return carried


@pytest.fixture
def recorded(acme: Caller, deliver: Carry, clock: SetClock) -> Record:
    """Upload and deliver a recording of acme's into service storage; returns the upload's JSON."""

    async def made(body: bytes = WAV, query: str = "") -> dict[str, Any]:
        answer = await acme.upload(body, query)
        assert answer.status == 201, answer.body
        clock.advance(1)
        await deliver(answer.json()["sid"])
        recording: dict[str, Any] = answer.json()
        return recording

    return made


@pytest.fixture
def no_database(acme: Caller, parts: Parts, postgres: EmbeddedPostgres) -> None:
    """From now on the database takes no connection, and those that were open are cut."""
    name = parts.ledger.engine.url.database
    psql(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    psql(postgres, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
