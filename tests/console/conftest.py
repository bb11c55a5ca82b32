"""The Console on a real port, people who are signed in to it, and one browser for all tests of a process."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import aiohttp
import pytest
import uvicorn
from yarl import URL

from callreel.clock import SetClock
from callreel.console.console import make_console
from callreel.model.account import Account
from callreel.model.person import Role
from callreel.parts import Parts
from callreel.sealing import passwords
from callreel.steps.admit_person import admit_person
from callreel.steps.open_account import open_account
from callreel.web.listener import make_web
from tests.stage import Stage

PASSWORD = "correct-horse-battery"
FIELD = re.compile(r'<input type="hidden" name="_token" value="([^"]+)"')


@dataclass(frozen=True)
class Shown:
    """A page as it came."""

    status: int
    headers: Any
    text: str
    url: str

    @property
    def token(self) -> str:
        found = FIELD.search(self.text)
        assert found is not None, self.text[:500]
        return unescape(found.group(1))

    @property
    def where(self) -> str:
        return str(self.headers.get("Location", ""))


class Browser:
    """Somebody at a browser without scripts: cookies, forms, no redirect followed unless asked."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base, self.session = base, session

    async def get(self, path: str, *, follow: bool = False, **headers: str) -> Shown:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(self.base + path, encoded=True)
        async with self.session.get(url, headers=sent, allow_redirects=follow) as answer:
            return Shown(answer.status, answer.headers, await answer.text(), str(answer.url))

    async def post(self, path: str, form: Any, *, token: str | None = None, **headers: str) -> Shown:
        sent = {"Origin": self.base} | {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = list(form.items()) if isinstance(form, dict) else list(form)
        if token is not None:
            pairs.append(("_token", token))
        url = URL(self.base + path, encoded=True)
        async with self.session.post(url, data=pairs, headers=sent, allow_redirects=False) as answer:
            return Shown(answer.status, answer.headers, await answer.text(), str(answer.url))

    async def sign_in(self, email: str, password: str = PASSWORD, **more: str) -> Shown:
        page = await self.get("/console/")
        return await self.post("/console/", {"email": email, "password": password} | more, token=page.token)

    def plant(self, name: str, value: str) -> None:
        """Put a cookie into this browser."""
        self.session.cookie_jar.update_cookies({name: value}, URL(self.base + "/console/x"))

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.session.cookie_jar}


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2id with the least work: what is slow on purpose is tested once, elsewhere."""
    quick = passwords.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)


@asynccontextmanager
async def serving(parts: Parts) -> AsyncIterator[str]:
    """The listener with its Console on a port of its own, as `serve` runs it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        parts.public_url = base
        web = make_web(parts, console=make_console(parts))
        server = uvicorn.Server(uvicorn.Config(web, log_config=None, access_log=False, lifespan="on", ws="none"))
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


@asynccontextmanager
async def browsing(base: str) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(base, session)


@pytest.fixture
async def visitor(base: str) -> AsyncIterator[Browser]:
    """Somebody who is not signed in."""
    async with browsing(base) as browser:
        yield browser


async def admit(parts: Parts, account: Account, email: str, role: Role) -> str:
    """A person of an account; returns the address."""
    await admit_person(
        account,
        email,
        role,
        password=PASSWORD,
        people=parts.ledger.people,
        passwords=parts.passwords,
        clock=parts.clock,
    )
    return email


@pytest.fixture
async def owner(base: str, parts: Parts, account: tuple[Account, str]) -> AsyncIterator[Browser]:
    """An owner of Acme, signed in."""
    email = await admit(parts, account[0], "owner@acme.example", Role.OWNER)
    async with browsing(base) as browser:
        assert (await browser.sign_in(email)).status == 303
        yield browser


@pytest.fixture
async def listener(base: str, parts: Parts, account: tuple[Account, str]) -> AsyncIterator[Browser]:
    """A listener of Acme, signed in."""
    email = await admit(parts, account[0], "listener@acme.example", Role.LISTENER)
    async with browsing(base) as browser:
        assert (await browser.sign_in(email)).status == 303
        yield browser


@pytest.fixture
async def stranger(base: str, parts: Parts) -> AsyncIterator[Browser]:
    """An owner of another account, signed in."""
    other, _ = await open_account(
        "Stranger",
        parent=None,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
    )
    email = await admit(parts, other, "owner@stranger.example", Role.OWNER)
    async with browsing(base) as browser:
        assert (await browser.sign_in(email)).status == 303
        yield browser


async def six_standings(stage: Stage, clock: SetClock) -> dict[str, str]:
    """One recording for each word of the list; returns their SIDs by it."""
    made: dict[str, str] = {}

    async def took(word: str, sid: str) -> None:
        made[word] = sid
        clock.advance(60)

    call = {"call_sid": "CA" + "a" * 32, "from_number": "+442079460182", "to_number": "+441614960733"}
    delivered = await stage.carry_until_settled(await stage.take_in(**call))
    await took("In your bucket", delivered.sid)
    await took("Uploading", (await stage.sealed()).sid)
    await stage.choose(aws_storage_enabled=False)
    await took("Completed", (await stage.carry_until_settled(await stage.take_in())).sid)
    await stage.choose()
    return made
