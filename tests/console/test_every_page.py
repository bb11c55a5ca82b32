"""What holds for every page of the Console, in a real browser: axe finds nothing, nothing is fetched from elsewhere.

A new screen adds its page to `PAGES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser as Chrome
from playwright.async_api import expect

from callreel.model.account import Account
from callreel.model.deed import CALLREEL
from callreel.model.deletion import DeletionStatus
from callreel.model.person import Role
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid
from callreel.parts import Parts
from callreel.rehearsal.speech import speech
from callreel.steps.delete_in_bulk import delete_in_bulk
from callreel.steps.keep_source import SourceWish, add_source
from tests.console.conftest import admit, allow_pages, needs_chromium, seat, sign_in_at, sitting_at
from tests.stage import Stage
from tests.video import Studio

pytestmark = [needs_chromium, pytest.mark.xdist_group("chromium")]
CALL = "CA" + "a" * 32
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# {bucket}, {parked} and {deleted} are recordings' SIDs, {source} and {move} what they say.
PAGES = (
    "/console/recordings",
    "/console/recordings?status=parked&length=short",
    "/console/recordings?q=nobody",
    "/console/recordings/{bucket}",
    "/console/recordings/{parked}",
    "/console/recordings/{deleted}",
    "/console/deletions",
    "/console/deletions/{deletion}",
    "/console/calls",
    "/console/calls/{call}",
    "/console/campaigns",
    "/console/campaigns/{campaign}",
    "/console/storage",
    "/console/storage?kind=video",
    "/console/credentials",
    "/console/credentials/{credential}",
    "/console/api-keys",
    "/console/audit",
    "/console/deliveries",
    "/console/deliveries?status=held",
    "/console/migration",
    "/console/migration/sources/{source}",
    "/console/migration/{move}",
    "/console/settings",
    "/console/usage",
    "/console/video",
    "/console/video/{film}",
    "/console/retention",
    "/console/accounts",
    "/console/nothing",
)
CONTRAST = '{ runOnly: ["color-contrast"] }'
# Colour contrast needs the fonts and the layout of a real page; everything of WCAG 2.2 A and AA is asked for.
RULES = '{ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }'


@dataclass(frozen=True)
class There:
    base: str
    bucket: str
    parts: Parts
    owner: str
    sids: dict[str, str]


@pytest.fixture
async def there(base: str, parts: Parts, account: tuple[Account, str], stage: Stage) -> There:
    allow_pages(stage.s3, base)
    call = {"call_sid": CALL, "from_number": "+442079460182", "to_number": "+441614960733", "campaign": "Winback"}
    made: dict[str, Recording] = {}
    made["bucket"] = await stage.carry_until_settled(await stage.take_in(speech(3, seed=3, channels=2), **call))
    uploading = await parts.ledger.move(await stage.sealed(), State.UPLOADING)
    made["parked"] = await parts.ledger.move(uploading, State.PARKED, reason="the window is used up")
    gone = await parts.ledger.move(await stage.carry_until_settled(await stage.take_in()), State.DELETING)
    made["deleted"] = await stage.carry(gone)
    made["uploading"] = await parts.ledger.move(await stage.sealed(), State.UPLOADING)
    owner = await admit(parts, account[0], "owner@acme.example", Role.OWNER)
    studio = Studio(parts, stage.account_sid, stage.clock, stage.s3)
    made["film"] = await studio.carry_until_settled(await studio.spooled())
    sids = {name: str(recording.sid) for name, recording in made.items()} | await _moving(stage)
    asked = await delete_in_bulk(
        stage.account_sid, [sids["bucket"], sids["parked"]], status=DeletionStatus.DRY_RUN, receipt_email=None,
        ledger=parts.ledger, clock=stage.clock, by=CALLREEL,
    )  # fmt: skip
    campaigns = await parts.ledger.campaigns.list(stage.account_sid, place=None, size=1)
    sids |= {"deletion": asked.sid, "call": CALL, "campaign": campaigns.rows[0].sid, "credential": stage.credential_sid}
    return There(base, stage.s3.url, parts, owner, sids)


async def _moving(stage: Stage) -> dict[str, str]:
    """A source, and a migration that has begun."""
    parts = stage.parts
    source = await add_source(
        stage.account_sid,
        "AC" + "b" * 32,
        SourceWish(auth_token="0" * 32),
        ledger=parts.ledger,
        sources=parts.sources,
        guard=parts.guard,
        clock=stage.clock,
        by=CALLREEL,
    )
    started = await parts.ledger.migrations.start(
        source, host_id=parts.spool.host_id, created_after=None, created_before=None
    )
    return {"source": source.sid, "move": started.sid}


async def test_axe_finds_nothing_on_any_page_and_nothing_is_asked_of_any_other_host(
    chrome: Chrome, there: There
) -> None:
    """Each page once: every rule in light, and of dark what can differ, which is contrast. None scrolls sideways."""
    found: list[str] = []
    asked: list[str] = []
    async with sitting_at(chrome, there.base, color_scheme="light") as page:
        page.on("request", lambda request: asked.append(request.url))
        for path in ("/console/", *PAGES):
            if path == PAGES[0]:
                await seat(page, there.owner, there.parts)
            await page.goto(path.format(**there.sids))
            await page.wait_for_load_state("networkidle")
            await page.evaluate(AXE.read_text())
            for scheme, rules in (("light", RULES), ("dark", CONTRAST)):
                await page.emulate_media(color_scheme=scheme)
                result = await page.evaluate(f"axe.run(document, {rules})")
                found += [
                    f"{path} in {scheme}: {violation['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
                    for violation in result["violations"]
                    for node in violation["nodes"]
                ]
            await page.emulate_media(color_scheme="light")
            for width in (500, 1440):
                await page.set_viewport_size({"width": width, "height": 1060})
                widest = await page.evaluate("document.documentElement.scrollWidth")
                found += [f"{path} is {widest} px wide on a screen of {width}"] if widest > width else []
    assert not found, "\n".join(found)
    assert [url for url in asked if not url.startswith((there.base, there.bucket))] == []


async def test_without_scripts_a_person_signs_in_filters_and_signs_out(chrome: Chrome, there: There) -> None:
    async with sitting_at(chrome, there.base, java_script_enabled=False) as page:
        await sign_in_at(page, there.owner)
        await page.select_option("[name=status]", "parked")
        await page.click("text=Filter")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.click("tbody a")
        await expect(page.locator("h1")).to_contain_text("Recording RE")
        await page.click("text=Restart delivery")
        await expect(page.locator("ol.tl")).to_contain_text("Restarted")
        await page.click("details.acct.up summary")
        await page.click("text=Sign out")
        await page.wait_for_url("**/console/")


async def test_filters_work_as_they_are_chosen_and_rows_change_where_they_stand(chrome: Chrome, there: There) -> None:
    async with sitting_at(chrome, there.base) as page:
        await seat(page, there.owner, there.parts)
        await page.goto("/console/recordings")
        await expect(page.locator("#count")).to_contain_text("4 recordings match")
        await page.select_option("[name=status]", "uploading")
        await page.wait_for_url("**/console/recordings?status=uploading")
        sid = there.sids["uploading"]
        badge = page.locator(f"#status-{sid}")
        await expect(badge).to_have_text("Uploading")
        ledger = there.parts.ledger
        moving = (await ledger.recordings.find_many(await _account(there), [sid]))[0]
        await ledger.move(moving, State.PARKED)
        await expect(badge).to_have_text("Parked")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.keyboard.press("/")
        await page.keyboard.type(sid)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/console/recordings?q={sid}&status=uploading")


async def test_the_theme_is_chosen_and_stays(chrome: Chrome, there: There) -> None:
    async with sitting_at(chrome, there.base) as page:
        await seat(page, there.owner, there.parts)
        await page.goto("/console/recordings?status=parked")
        await page.click("button[value=dark]")
        await page.wait_for_url("**/console/recordings?status=parked")
        assert await page.get_attribute("html", "data-theme") == "dark"
        await page.click("details.acct:not(.up) summary")
        await expect(page.locator(".acct .menu button[name=account]")).to_have_count(1)


async def _account(there: There) -> AccountSid:
    return (await there.parts.ledger.accounts.list_all())[0].sid
