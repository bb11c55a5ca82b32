"""The Console on a real port, people who are signed in to it, and one browser for all tests of a process."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import aiohttp
import pytest
import uvicorn
from playwright.async_api import Browser as Chrome
from playwright.async_api import Page, async_playwright
from yarl import URL

from callreel.clock import SetClock
from callreel.console.console import make_console
from callreel.console.visit import COOKIE
from callreel.model.account import Account
from callreel.model.person import Role
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.sealing import passwords
from callreel.steps.admit_person import admit_person
from callreel.steps.open_account import open_account
from callreel.steps.sign_in import begin_session
from callreel.web.listener import make_web
from tests.stage import BUCKET, Stage

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


CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One browser for each test process; returns where it is spoken to."""
    assert CHROMIUM is not None
    profile = tmp_path_factory.mktemp("chromium")
    words = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={profile}",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
             "--disable-background-networking", "--disable-component-update", "about:blank"]  # fmt: skip
    with subprocess.Popen([CHROMIUM, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "DevTools listening on" in line)
        draining = threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True)
        draining.start()
        yield said.split()[-1]
        process.terminate()
        process.wait(20)
        draining.join(20)


@pytest.fixture
async def chrome(chromium: str) -> AsyncIterator[Chrome]:
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(chromium)


@asynccontextmanager
async def sitting_at(chrome: Chrome, base: str, **more: Any) -> AsyncIterator[Page]:
    """A page of a browser window of its own. What breaks in it breaks the test."""
    context = await chrome.new_context(base_url=base, **more)
    context.set_default_timeout(20_000)
    page = await context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: broken.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        yield page
        assert broken == []
    finally:
        await context.close()


async def sign_in_at(page: Page, email: str) -> None:
    """As a person does it."""
    await page.goto("/console/")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.click("button")
    await page.wait_for_url("**/console/recordings")


async def seat(page: Page, email: str, parts: Parts) -> None:
    """As somebody who signed in before."""
    found = await parts.ledger.people.find_by_email(email)
    assert found is not None
    secret = await begin_session(
        found[0], kept_form=None, people=parts.ledger.people, digest=parts.digest, clock=parts.clock
    )
    await page.context.add_cookies([{"name": COOKIE, "value": secret, "url": f"{parts.public_url}/console/"}])


CORS = (
    "<CORSConfiguration><CORSRule><AllowedOrigin>{origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    "<AllowedMethod>HEAD</AllowedMethod><AllowedHeader>range</AllowedHeader>"
    "<ExposeHeader>Content-Range</ExposeHeader></CORSRule></CORSConfiguration>"
)


def allow_pages(s3: EmbeddedS3, origin: str) -> None:
    """Let the Console's pages fetch from the bucket, as `Test connection` sets it up."""
    s3._shelf.bucket(BUCKET).cors = CORS.format(origin=origin)
