"""One person's first quarter of an hour: `make serve`'s sign-in, a bucket, a recording, its sound, and its end.

A real `callreel serve`, a real browser, an S3 that knows nothing of callreel. Nothing is typed into a terminal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser as Chrome
from playwright.async_api import Page, expect

from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.speech import speech
from tests.console.conftest import needs_chromium, sitting_at
from tests.journeys.service import Service, serving
from tests.stage import BUCKET, MANAGER

pytestmark = [needs_chromium, pytest.mark.xdist_group("chromium")]
PATIENCE_MS = 60_000  # of a machine that does other things too
SECONDS = 8


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncIterator[EmbeddedS3]:
    async with EmbeddedS3(tmp_path / "s3") as s3:
        s3.add_user(*MANAGER)
        s3.create_bucket(BUCKET)
        yield s3


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    running = serving(tmp_path)
    try:
        yield await asyncio.to_thread(running.__enter__)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_a_bucket_is_set_up_and_a_recording_taken_in_heard_and_deleted(
    service: Service, bucket: EmbeddedS3, chrome: Chrome, tmp_path: Path
) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    try:
        async with sitting_at(chrome, service.url) as page:
            page.set_default_timeout(PATIENCE_MS)
            await sign_in(page, service)
            credential = await keep_the_key(page)
            await set_up(page, f"{bucket.url}/{BUCKET}/voice", credential)
            sid = await take_in(page, tmp_path)
            await hear(page, sid, bucket)
            other = await look_while_one_comes(page, service)
            await delete(page, [sid, other])
    finally:
        expect.set_options(timeout=5000)
    for each in (sid, other):
        assert [key for key in bucket.keys(BUCKET) if each in key], "deleting leaves what is the customer's own"


async def sign_in(page: Page, service: Service) -> None:
    """With what the service printed when it started for the first time."""
    assert service.account is not None
    await page.goto("/console/")
    await page.fill("#email", service.account["email"])
    await page.fill("#password", service.account["password"])
    await page.click("button")
    await page.wait_for_url("**/console/recordings")
    await expect(page.locator("main")).to_contain_text("No recordings yet")


async def go_to(page: Page, name: str) -> None:
    await page.locator(".nav").get_by_role("link", name=re.compile(f"^{name}( |$)")).click()  # a number may follow


async def keep_the_key(page: Page) -> str:
    """The access key of the bucket; returns its SID as the page tells it."""
    await go_to(page, "Credentials")
    await page.fill("#name", "Production")
    await page.fill("#key_id", MANAGER[0])
    await page.fill("#secret", MANAGER[1])
    await page.click("text=Keep access key")
    kept = page.locator(".note .mono")
    await expect(kept).to_contain_text("CR")
    assert MANAGER[1] not in await page.content()
    return await kept.inner_text()


async def set_up(page: Page, url: str, credential: str) -> None:
    """Fill in the form, try it as it stands, let callreel set CORS, save it."""
    await go_to(page, "Storage settings")
    await page.check("#aws_storage_enabled")
    await page.fill("#aws_s3_url", url)
    await page.select_option("#aws_credentials_sid", credential)
    await page.click("button[value=test-cors]")
    await expect(page.locator("#test .badge")).to_have_text("Ready")
    await page.click("button[value=test]")
    cors = page.locator("#test li", has_text="Browsers may play")
    await expect(cors.locator(".ms")).to_have_text("passed")
    await page.click("button[value=save]")
    await expect(page.locator("main")).to_contain_text("Recordings made from now on go to calls")


async def take_in(page: Page, home: Path) -> str:
    """A file is chosen and handed in on the first page; its own page opens when it is durable. Returns its SID."""
    file = home / "call.wav"
    file.write_bytes(speech(SECONDS, seed=3, channels=2))
    await go_to(page, "Recordings")
    await expect(page.locator("main")).to_contain_text("No recordings yet")
    await page.click("text=Take in a recording")
    await page.set_input_files("#take-file", file)
    await page.fill("#take-from", "+442079460182")
    await page.click("text=Take it in")
    await page.wait_for_url(re.compile("/console/recordings/RE[0-9a-f]{32}$"))
    await expect(page.locator("h1")).to_contain_text("+44 207 946 0182")
    return page.url.rpartition("/")[2]


async def look_while_one_comes(page: Page, service: Service) -> str:
    """One that a phone system hands in over HTTP is told above the open list, which stays the same document."""
    await go_to(page, "Recordings")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.evaluate("window.sameDocument = true")
    sid = await hand_in(service)
    await page.click("text=1 new recording")
    await expect(page.locator(f"#row-{sid}")).to_be_visible()
    await expect(page.locator(f"#status-{sid}")).to_have_text("In your bucket")
    assert await page.evaluate("window.sameDocument"), "the page was loaded anew"
    return sid


async def hand_in(service: Service) -> str:
    assert service.account is not None
    signed = aiohttp.encode_basic_auth(service.account["sid"], service.account["auth_token"])
    url = f"{service.url}/callreel/v1/Accounts/{service.account['sid']}/Recordings"
    headers = {"Content-Type": "audio/wav", "Authorization": signed}
    body = speech(SECONDS, seed=4, channels=2)
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["sid"])


async def hear(page: Page, sid: str, bucket: EmbeddedS3) -> None:
    """The page it was taken in on gets its player once it is delivered; Play gives sound, straight from the bucket."""
    await expect(page.locator(f"#status-{sid}")).to_have_text("In your bucket")
    await expect(page.locator("[data-play]")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.click("[data-play]")
    await expect(page.locator("[data-now]")).to_have_text(re.compile("0:0[1-8]"))
    assert await page.evaluate("document.querySelector('reel-player').audio.currentTime") >= 1
    assert [url for url in asked if url.startswith(bucket.url) and sid in url]
    assert await page.locator("[data-trouble]").is_hidden()


async def delete(page: Page, sids: list[str]) -> None:
    """The page selected, asked for, confirmed with the typed word, counted."""
    await go_to(page, "Recordings")
    await page.check("[data-select-page]")
    await expect(page.locator("[data-bulk-count]")).to_have_text("2 selected")
    await page.click("[data-bulk] .btn.bad")
    await expect(page.locator("h1")).to_have_text("Delete 2 recordings?")
    await expect(page.locator(".sum")).to_contain_text("2 files stay in calls")
    await page.fill("#confirm", await page.inner_text("label[for=confirm] .mono"))
    await page.click("button.solid")
    progress = page.locator("#progress")
    await expect(progress.locator(".big")).to_have_text("2")
    await expect(progress).to_contain_text("of 2 deleted")
    await expect(progress).to_contain_text("Done")
    await expect(page.locator("h1")).to_have_text("Deleted")
    await go_to(page, "Recordings")
    for sid in sids:
        await expect(page.locator(f"#status-{sid}")).to_have_text("Deleted")
