"""`make screenshots`: every page in light, dark and 500 px wide, to be looked at. Adding a page is one line."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from tests.console.conftest import PASSWORD
from tests.console.town import OWNER, Town, town

FOLDER = Path("screenshots")
LOOKS = {"light": ("light", 1440), "dark": ("dark", 1440), "narrow": ("light", 500)}


def pages_of(there: Town) -> dict[str, str]:
    """Every page by the name of its picture."""
    return {
        "recordings": "/console/recordings",
        "recordings-filtered": "/console/recordings?status=bucket&length=short",
        "recordings-empty": "/console/recordings?status=failed",
        "recordings-deleted": "/console/recordings?status=deleted",
        **{f"recording-{word}": f"/console/recordings/{made.sid}" for word, made in there.recordings.items()},
        "not-here": "/console/nothing",
        "accounts": "/console/accounts",
        "deletion-asked": there.more["deletion-asked"],
        "deletion-done": there.more["deletion-done"],
        "deletions": "/console/deletions",
        "calls": "/console/calls",
        "call": there.more["call"],
        "campaigns": "/console/campaigns",
        "campaign": there.more["campaign"],
        "deliveries": "/console/deliveries",
        "deliveries-held": "/console/deliveries?status=held",
        "storage": "/console/storage?kind=voice",
        "storage-video": "/console/storage?kind=video",
        "migration": "/console/migration",
        "migration-source": there.more["migration-source"],
        "migration-running": there.more["migration-running"],
        "migration-done": there.more["migration-done"],
        "credentials": "/console/credentials",
        "credential": f"/console/credentials/{there.stage.credential_sid}",
        "api-keys": "/console/api-keys",
        "audit": "/console/audit",
        "usage": "/console/usage",
        "video": "/console/video",
        "video-recording": there.more["video"],
        "settings": "/console/settings",
        "retention": "/console/retention",
    }


async def take(browser: Browser, there: Town, wanted: str) -> None:
    """The pages whose names begin with `wanted`, in every look."""
    for look, (scheme, width) in LOOKS.items():
        context = await browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 1060}
        )
        page = await context.new_page()
        await page.goto(f"{there.base}/console/")
        await page.screenshot(path=FOLDER / f"sign-in-{look}.png", full_page=True)
        await page.fill("#email", OWNER)
        await page.fill("#password", PASSWORD)
        await page.click("button")
        await page.wait_for_url("**/console/recordings")
        for name, path in pages_of(there).items():
            if name.startswith(wanted):
                await page.goto(there.base + path)
                await page.wait_for_load_state("networkidle")
                await page.screenshot(path=FOLDER / f"{name}-{look}.png", full_page=True)
        if "storage-tested".startswith(wanted):
            await page.goto(f"{there.base}/console/storage?kind=voice")
            await page.click("button[value=test-cors]")
            await expect(page.locator("#test .badge")).to_have_text("Ready")
            await page.screenshot(path=FOLDER / f"storage-tested-{look}.png", full_page=True)
        await context.close()


async def main(wanted: str = "") -> None:
    """Take them all."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium here: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        async with town(Path(home)) as there, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            await take(browser, there, wanted)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
