"""The Console's migration: sources, plans, a move that is watched, paused, resumed and reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser as Chrome
from playwright.async_api import expect

from callreel.clock import SetClock
from callreel.model.account import Account
from callreel.model.deed import CALLREEL
from callreel.model.migration import Migration, MigrationStatus
from callreel.model.person import Role
from callreel.model.source import Source
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_sign_in import PretendAccount
from callreel.worker.worker import Worker
from tests.console.conftest import Browser, Shown, admit, needs_chromium, seat, sitting_at
from tests.stage import Stage

PATH = "/console/migration"


@pytest.fixture
async def twilio(clock: SetClock) -> AsyncIterator[PretendTwilio]:
    async with PretendTwilio(clock=clock) as server:
        yield server


@pytest.fixture
def old(twilio: PretendTwilio) -> PretendAccount:
    """The account over there, with four recordings."""
    account = twilio.add_account()
    for _ in range(4):
        twilio.add_recording(account)
    return account


def wish(twilio: PretendTwilio, old: PretendAccount, **more: str) -> dict[str, str]:
    return {
        "do": "add",
        "twilio_account_sid": old.sid,
        "name": "Twilio <b>Europe</b>",
        "secret": old.auth_token,
        "poll": "0",
        "base_url": twilio.url,
    } | more


async def add(browser: Browser, twilio: PretendTwilio, old: PretendAccount, **more: str) -> Shown:
    page = await browser.get(PATH)
    return await browser.post(PATH, wish(twilio, old, **more), token=page.token)


async def the_source(stage: Stage) -> Source:
    found = await stage.parts.ledger.sources.list(stage.account_sid, place=None, size=2)
    return found.rows[0]


async def started(stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount) -> str:
    """The path of a migration that has just begun."""
    here = (await add(owner, twilio, old)).where
    done = await owner.post(here, {"do": "start"}, token=(await owner.get(here)).token)
    assert done.status == 303, done.text
    return done.where


async def moved(stage: Stage, sid: str) -> Migration:
    worker = Worker(stage.parts)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            while True:
                found = await stage.parts.ledger.migrations.fetch(stage.account_sid, sid)
                if found.status is not MigrationStatus.RUNNING:
                    worker.stop()
                    await running
                    return found
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_source_is_added_checked_planned_and_changed(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    assert "Nothing was moved yet" in (await owner.get(PATH)).text
    added = await add(owner, twilio, old)
    assert (added.status, added.where.startswith(f"{PATH}/sources/SR")) == (303, True)
    page = await owner.get(added.where)
    assert old.auth_token not in page.text
    assert "Twilio &lt;b&gt;Europe&lt;/b&gt;" in page.text
    checked = await owner.post(added.where, {"do": "check"}, token=page.token)
    assert all(word in checked.text for word in ("Enough", "Fetch media", "Delete originals"))
    planned = (await owner.post(added.where, {"do": "plan", "from": "", "to": ""}, token=page.token)).text
    assert "4 minutes" in planned
    assert "Each month in the bucket" in planned
    changed = {"do": "change", "name": "Old", "poll": "300", "voicemail": "1", "without_calls": "1"}
    assert (await owner.post(added.where, changed, token=page.token)).status == 303
    kept = await the_source(stage)
    assert (kept.friendly_name, kept.poll_seconds, kept.record_verb_is_voicemail) == ("Old", 300, True)
    assert not kept.include_calls
    assert kept.api_key_sid is None
    audit = (await owner.get("/console/audit")).text
    assert old.auth_token not in audit
    assert "source.added" in audit


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"twilio_account_sid": "AC1"}, "AC and 32"),
        ({"secret": ""}, "needs the auth token"),
        ({"key_sid": "SK1"}, "SK and 32"),
        ({"poll": "often"}, "number of seconds"),
        ({"poll": "99999"}, "a day"),
        ({"base_url": "https://twilio.example/x?y=1"}, "BaseUrl"),
        ({"name": "n" * 65}, "64"),
        ({"do": "else"}, "unknown"),
    ],
)
async def test_what_is_no_source_is_refused_and_its_secret_not_shown(
    owner: Browser, twilio: PretendTwilio, old: PretendAccount, changed: dict[str, str], said: str
) -> None:
    refused = await add(owner, twilio, old, **changed)
    assert (refused.status, said in refused.text) == (400, True), refused.text[:3000]
    assert old.auth_token not in refused.text


async def test_a_source_is_removed_by_its_last_four_characters(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = (await add(owner, twilio, old)).where
    page = await owner.get(here)
    assert (await owner.post(here, {"do": "remove", "confirm": "no"}, token=page.token)).status == 400
    gone = await owner.post(here, {"do": "remove", "confirm": here[-4:]}, token=page.token)
    assert (gone.status, gone.where) == (303, f"{PATH}?removed=1")
    assert (await owner.get(here)).status == 404


async def test_a_source_that_refuses_is_said(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = (await add(owner, twilio, old, secret="f" * 32)).where
    page = await owner.get(here)
    assert "Not enough" in (await owner.post(here, {"do": "check"}, token=page.token)).text
    planned = await owner.post(here, {"do": "plan"}, token=page.token)
    assert (planned.status, 'role="alert"' in planned.text) == (400, True)
    for span in ({"from": "tomorrow"}, {"from": "2026-02-02", "to": "2026-02-01"}):
        assert (await owner.post(here, {"do": "plan"} | span, token=page.token)).status == 400


async def test_a_move_is_watched_to_its_end_and_reported(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = await started(stage, owner, twilio, old)
    sid = here.rpartition("/")[2]
    first = (await owner.get(here)).text
    assert 'hx-trigger="every 5s"' in first
    assert (await moved(stage, sid)).moved == 4
    page = (await owner.get(here)).text
    assert all(word in page for word in ("100.0", "4 of 4", "Nothing failed", "BEGIN PUBLIC KEY"))
    assert "every 5s" not in page
    part = (await owner.get(here, hx_request="true")).text
    assert part.count("<section") == 1
    points = json.loads((await owner.get(f"{here}/points?span=all")).text)
    assert sum(points["counts"]) == 4
    assert len(points["times"]) == len(points["counts"])
    report = await owner.get(f"{here}/report.csv")
    assert report.headers["Content-Disposition"] == f'attachment; filename="{sid}.csv"'
    assert len(report.text.splitlines()) == 5
    assert len(json.loads((await owner.get(f"{here}/report.json")).text)["items"]) == 4
    assert (await owner.get(f"{here}/report.exe")).status == 404
    assert sid in (await owner.get(PATH)).text


async def test_a_move_is_paused_resumed_and_stopped(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = await started(stage, owner, twilio, old)
    token = (await owner.get(here)).token
    for do, status in (("pause", "paused"), ("resume", "running"), ("pause", "paused"), ("stop", "canceled")):
        assert (await owner.post(here, {"do": do}, token=token)).status == 303
        found = await stage.parts.ledger.migrations.fetch(stage.account_sid, here.rpartition("/")[2])
        assert found.status == status
    assert (await owner.post(here, {"do": "resume"}, token=token)).status == 400
    assert (await owner.post(here, {"do": "else"}, token=token)).status == 400
    audit = (await owner.get("/console/audit")).text
    assert all(f"migration.{word}" in audit for word in ("started", "paused", "resumed", "canceled"))


async def test_a_source_moves_once_at_a_time(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    await started(stage, owner, twilio, old)
    here = f"{PATH}/sources/{(await the_source(stage)).sid}"
    page = await owner.get(here)
    assert "A migration of this source is running" in page.text
    again = await owner.post(here, {"do": "start"}, token=page.token)
    assert (again.status, "running or paused" in again.text) == (400, True)


async def test_what_stops_a_move_stands_there_escaped(
    stage: Stage, owner: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = await started(stage, owner, twilio, old)
    source = await the_source(stage)
    await stage.parts.ledger.migrations.stop(source.sid, reason="401 <script>x</script>", remedy="Give a new token")
    page = (await owner.get(here)).text
    assert "401 &lt;script&gt;x&lt;/script&gt;" in page
    assert "Needs you" in page


async def test_another_accounts_sid_is_404(
    stage: Stage, owner: Browser, stranger: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = await started(stage, owner, twilio, old)
    theirs = f"{PATH}/sources/{(await the_source(stage)).sid}"
    token = (await stranger.get(PATH)).token
    for path in (here, theirs, f"{here}/points", f"{here}/report.csv"):
        assert (await stranger.get(path)).status == 404
    assert (await stranger.post(here, {"do": "stop"}, token=token)).status == 404
    assert (await stranger.post(theirs, {"do": "check"}, token=token)).status == 404
    assert here.rpartition("/")[2] not in (await stranger.get(PATH)).text


async def test_a_listener_and_a_forged_form_are_refused(
    stage: Stage, owner: Browser, listener: Browser, twilio: PretendTwilio, old: PretendAccount
) -> None:
    here = await started(stage, owner, twilio, old)
    for path in (PATH, here, f"{here}/points", f"{here}/report.csv"):
        assert (await listener.get(path)).status == 403
    assert (await owner.post(here, {"do": "stop"}, token="forged")).status == 403
    found = await stage.parts.ledger.migrations.fetch(stage.account_sid, here.rpartition("/")[2])
    assert found.status is MigrationStatus.RUNNING
    await stage.parts.ledger.migrations.cancel(found, by=CALLREEL)


@needs_chromium
@pytest.mark.xdist_group("chromium")
async def test_in_a_browser_a_source_is_added_checked_planned_and_moved_to_its_end(
    chrome: Chrome, base: str, stage: Stage, account: tuple[Account, str], twilio: PretendTwilio, old: PretendAccount
) -> None:
    email = await admit(stage.parts, account[0], "owner@acme.example", Role.OWNER)
    async with sitting_at(chrome, base) as page:
        await seat(page, email, stage.parts)
        await page.goto(PATH)
        await page.fill("#twilio", old.sid)
        await page.fill("#name", "Twilio, Europe")
        await page.fill("#secret", old.auth_token)
        await page.click("text=Another address")
        await page.fill("#base", twilio.url)
        await page.click("main >> text=Add source")
        await page.click("text=Check access")
        await expect(page.locator(".card", has_text="Access").locator(".badge")).to_have_text("Enough")
        await page.click("text=Work out the plan")
        await expect(page.locator(".facts")).to_contain_text("4 minutes")
        await expect(page.locator("main")).to_contain_text("deleted at Twilio once its copy lies in calls")
        await page.click("text=Start the migration")
        await expect(page.locator("h1")).to_have_text("Migration from Twilio, Europe")
        await moved(stage, page.url.rpartition("/")[2].partition("?")[0])
        await expect(page.locator("#progress")).to_contain_text("4 of 4 recordings")  # by itself
        await expect(page.locator("#progress")).to_contain_text("4 copied and checked")
        await page.goto("/console/recordings")
        await expect(page.locator("tbody .badge", has_text="In your bucket")).to_have_count(4)
    assert len(twilio.state()["deleted"]) == 4
