"""Hearing a recording in a real browser: from a bucket, from here, and after opening it with a private key."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from playwright.async_api import Browser as Chrome
from playwright.async_api import Page, Request, expect

from callreel.clock import SetClock
from callreel.console.assets import asset
from callreel.migration.offer import offer
from callreel.migration.stay import stay
from callreel.model.account import Account
from callreel.model.person import Role
from callreel.model.recording import Recording
from callreel.model.source import SourceRecording
from callreel.parts import Parts
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.speech import speech
from callreel.rehearsal.twilio_shelf import TwilioRecording
from tests.console.conftest import admit, allow_pages, needs_chromium, seat, sitting_at
from tests.migration.conftest import Move
from tests.sealing.keys import another_rsa_key, private_pem, public_pem, rsa_key
from tests.stage import BUCKET, WRITER, Stage
from tests.web.test_migrations import a_source

pytestmark = [needs_chromium, pytest.mark.xdist_group("chromium")]
PLAYER = "reel-player"


@pytest.fixture
async def page(
    chrome: Chrome, base: str, parts: Parts, account: tuple[Account, str], stage: Stage
) -> AsyncIterator[Page]:
    """A listener of Acme at a browser; the bucket allows the Console's pages."""
    allow_pages(stage.s3, base)
    email = await admit(parts, account[0], "listener@acme.example", Role.LISTENER)
    async with sitting_at(chrome, base) as sat:
        await seat(sat, email, parts)
        yield sat


async def recorded(stage: Stage, seconds: float = 6, **intake: object) -> Recording:
    body = speech(seconds, seed=3, channels=2)
    return await stage.carry_until_settled(await stage.take_in(body, **intake))  # type: ignore[arg-type]


async def shown(page: Page, recording: Recording) -> list[Request]:
    """Open its page; what is requested from then on is in the list."""
    requests: list[Request] = []
    await page.goto(f"/console/recordings/{recording.sid}")
    page.on("request", lambda request: requests.append(request))
    return requests


async def played(page: Page) -> None:
    await page.click("[data-play]")
    await expect(page.locator(PLAYER)).to_have_attribute("data-state", "playing")


async def heard_s(page: Page) -> float:
    return float(await page.evaluate(f"document.querySelector('{PLAYER}').audio.currentTime"))


async def trouble(page: Page) -> str:
    await expect(page.locator("[data-trouble]")).to_be_visible()
    return await page.inner_text("[data-trouble]")


async def test_it_plays_straight_from_the_bucket_and_fetches_nothing_before_play(
    page: Page, stage: Stage, base: str
) -> None:
    recording = await recorded(stage)
    before: list[str] = []
    page.on("request", lambda request: before.append(request.url))
    requests = await shown(page, recording)
    await expect(page.locator(PLAYER)).to_have_attribute("data-peaks", str(60 * 2))
    assert not [url for url in before if url.startswith(stage.s3.url)]
    await played(page)
    fetched = [request.url for request in requests if request.url.startswith(stage.s3.url)]
    assert fetched
    assert all(str(recording.object_key) in url for url in fetched)
    assert not [r.url for r in requests if not r.url.startswith((base, stage.s3.url, "blob:", "data:"))]
    await page.click("[data-side=right]")
    await page.click("[data-speed='2']")
    await expect(page.locator(PLAYER)).to_have_attribute("data-state", "ended")
    assert await heard_s(page) == pytest.approx(6, abs=0.2)


async def test_keys_move_it_and_silence_is_skipped(page: Page, stage: Stage) -> None:
    await shown(page, await recorded(stage, 20))
    await page.focus("[data-wave]")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("[data-now]")).to_have_text("0:05")
    await page.keyboard.press("End")
    await expect(page.locator("[data-now]")).to_have_text("0:19")
    await page.keyboard.press("Home")
    await expect(page.locator(PLAYER)).to_have_attribute("data-peaks", str(200 * 2))
    await page.evaluate(  # a second of speech, then nothing until the last
        f"(() => {{ const p = document.querySelector('{PLAYER}');"
        "p.peaks.fill(0); p.peaks.fill(200, 0, 20); p.peaks.fill(200, 360) })()"
    )
    await page.click("[data-skip]")
    await played(page)
    await expect(page.locator("[data-now]")).to_have_text("0:18")


async def test_a_url_that_ends_while_it_plays_is_renewed(page: Page, stage: Stage, clock: SetClock) -> None:
    requests = await shown(page, await recorded(stage, 40))
    await played(page)
    clock.advance(3601)
    await page.evaluate(f"document.querySelector('{PLAYER}').seek(30)")
    await expect(page.locator("[data-now]")).to_have_text("0:31")
    asked = [r for r in requests if r.url.endswith("/playback")]
    assert len(asked) == 2
    assert await page.locator("[data-trouble]").is_hidden()


async def test_a_recording_in_service_storage_plays_from_here(page: Page, stage: Stage, base: str) -> None:
    await stage.choose(aws_storage_enabled=False)
    requests = await shown(page, await recorded(stage))
    await played(page)
    assert not [r.url for r in requests if not r.url.startswith((base, "blob:"))]


async def test_without_a_cors_rule_it_plays_as_the_browser_does_it(page: Page, stage: Stage) -> None:
    allow_pages(stage.s3, "https://elsewhere.example")
    await shown(page, await recorded(stage))
    await played(page)


async def test_a_bucket_that_goes_away_is_told_plainly(page: Page, stage: Stage) -> None:
    await shown(page, await recorded(stage, 60))
    await played(page)
    await page.route(f"{stage.s3.url}/**", lambda route: route.abort())
    await page.evaluate(f"document.querySelector('{PLAYER}').seek(50)")
    assert "The bucket is away." in await trouble(page)
    await page.unroute(f"{stage.s3.url}/**")
    await played(page)  # from where it stopped
    assert await heard_s(page) >= 49


async def test_a_key_that_may_only_write_is_told_plainly(page: Page, stage: Stage) -> None:
    stage.credential_sid = await stage.keep_key(WRITER)
    await stage.choose()
    await shown(page, await recorded(stage))
    assert "may write, not read" in await trouble(page)


async def test_an_object_that_was_removed_is_told_plainly(page: Page, stage: Stage) -> None:
    recording = await recorded(stage)
    stage.s3._shelf.bucket(BUCKET).current.pop(str(recording.object_key))
    await shown(page, recording)
    assert "not in the bucket any more" in await trouble(page)


# --- Encrypted -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def encrypted(stage: Stage) -> Recording:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    return await recorded(stage)


async def opened_with(page: Page, pem: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem)
    await page.set_input_files("[data-key]", file)


async def test_an_encrypted_recording_is_opened_in_the_page_and_the_key_never_leaves_it(
    page: Page, stage: Stage, encrypted: Recording, tmp_path: Path
) -> None:
    requests = await shown(page, encrypted)
    assert await page.is_disabled("[data-play]")
    pem = private_pem(rsa_key()).decode()
    await opened_with(page, pem, tmp_path)
    await expect(page.locator(PLAYER)).to_have_attribute("data-state", "opened")
    await played(page)
    parts = [line for line in pem.splitlines() if "KEY" not in line and line]
    for request in requests:
        sent = request.url + (request.post_data or "") + str(await request.all_headers())
        assert not [part for part in parts if part in sent]
        assert request.method == "GET"
    assert await page.evaluate(f"document.querySelector('{PLAYER}').peaks.length") == 120


async def test_a_wrong_key_is_told_plainly(page: Page, encrypted: Recording, tmp_path: Path) -> None:
    await shown(page, encrypted)
    await opened_with(page, private_pem(another_rsa_key()).decode(), tmp_path)
    assert "does not open this recording" in await trouble(page)
    await opened_with(page, public_pem(rsa_key()), tmp_path)
    await expect(page.locator("[data-trouble]")).to_contain_text("This is a public key.")
    await opened_with(page, "hello", tmp_path)
    await expect(page.locator("[data-trouble]")).to_contain_text("This is not a private key.")
    assert await page.is_disabled("[data-play]")


async def test_a_flipped_bit_is_found_and_nothing_is_played(
    page: Page, stage: Stage, encrypted: Recording, tmp_path: Path
) -> None:
    shelf = stage.s3._shelf.bucket(BUCKET)
    path = shelf.path_of(shelf.current[str(encrypted.object_key)].content_id)
    body = bytearray(path.read_bytes())
    body[5000] ^= 1
    path.write_bytes(bytes(body))
    await shown(page, encrypted)
    await opened_with(page, private_pem(rsa_key()).decode(), tmp_path)
    assert "The recording was changed." in await trouble(page)
    assert await page.is_disabled("[data-play]")


async def test_no_peaks_are_kept_of_what_the_customers_key_encrypted(
    page: Page, stage: Stage, encrypted: Recording
) -> None:
    await shown(page, encrypted)
    assert await stage.parts.ledger.peaks.find(stage.account_sid, encrypted.sid) is None


# --- Figures ---------------------------------------------------------------------------------------------------------


async def test_no_more_than_300_kb_are_fetched_before_the_first_sound(page: Page, stage: Stage) -> None:
    await shown(page, await recorded(stage, 60))
    player = page.locator(PLAYER)
    await played(page)
    await expect(player).to_have_attribute("data-first-sound-ms", re.compile(".+"))
    before = int(str(await player.get_attribute("data-first-sound-bytes")))
    assert 0 < before <= 300_000
    await expect(page.locator("[data-now]")).to_have_text(re.compile("0:(09|1.)"), timeout=30_000)  # the rest follows


_FLIP_AND_OPEN = """async ([moduleUrl, pem, opening, base64, bits]) => {
  const { open, readKey } = await import(moduleUrl);
  const whole = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const key = await readKey(pem);
  const clear = await open(key, opening, whole);
  const told = {};
  for (const bit of bits) {
    const changed = whole.slice();
    changed[bit >> 3] ^= 1 << (bit & 7);
    let said = "opened";
    try { await open(key, opening, changed.buffer); } catch (error) { said = error.said?.title ?? String(error); }
    told[said] = (told[said] ?? 0) + 1;
  }
  return [clear.byteLength, told];
}"""


async def test_one_flipped_bit_anywhere_is_refused_by_the_page(
    page: Page, stage: Stage, encrypted: Recording, pytestconfig: pytest.Config
) -> None:
    """The page's own opening code, over as many altered ciphertexts as `--flips` says, tags included."""
    sealed, count = stage.bodies(encrypted), int(pytestconfig.getoption("--flips"))
    await shown(page, encrypted)
    rng = Random(7)
    bits = [0, len(sealed) * 8 - 1, *(rng.randrange(len(sealed) * 8) for _ in range(count - 2))]
    opening = json.loads(str(await page.get_attribute(PLAYER, "opening")))
    arguments = [
        asset("opening.js"),
        private_pem(rsa_key()).decode(),
        opening,
        base64.b64encode(sealed).decode(),
        bits,
    ]
    size, told = await page.evaluate(_FLIP_AND_OPEN, arguments)
    assert size == len(sealed) - 16
    assert told == {"The recording was changed.": count}


async def test_what_lies_at_its_source_plays_through_here_and_is_sought_in(
    page: Page, stage: Stage, clock: SetClock
) -> None:
    await stage.choose(aws_storage_enabled=False)
    async with PretendTwilio(clock=clock) as twilio:
        old = twilio.add_account()
        one = twilio.add_recording(old, speech(30, seed=3, channels=2), channels=2)
        source, moving = await a_source(stage, twilio, old), Move(stage)
        await offer(source, [as_listed(one)], ledger=stage.parts.ledger, spool=stage.parts.spool)
        item = await stage.parts.ledger.items.find_by_origin(source.sid, one.sid)
        assert item is not None
        await stay(item, source=await stage.parts.sources.open(source), shelves=moving.shelves)
        requests = await shown(page, await moving.recording(item))
        await expect(page.locator("[data-about]")).to_contain_text("lies at its source")
        await played(page)
        await page.evaluate(f"document.querySelector('{PLAYER}').seek(25)")
        await expect(page.locator("[data-now]")).to_have_text("0:26")
        assert not [request.url for request in requests if "peaks" in request.url.lower()]
        assert await page.locator("[data-trouble]").is_hidden()


def as_listed(one: TwilioRecording) -> SourceRecording:
    return SourceRecording(
        sid=one.sid,
        account_sid=one.account_sid,
        call_sid=one.call_sid,
        date_created=one.date_created,
        duration_s=one.duration_s,
        channels=one.channels,
    )
