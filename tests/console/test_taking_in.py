"""A recording is taken in from the browser: durable before it is acknowledged, and only from a page of ours."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from callreel.ledger.recordings import RecordingFilter
from callreel.parts import Parts
from tests.console.conftest import Browser
from tests.stage import Stage, a_wav

PATH = "/console/recordings/take-in"


async def put(person: Browser, body: bytes, query: str = "", **headers: str) -> tuple[int, Any]:
    sent = {"Origin": person.base} | {name.replace("_", "-"): value for name, value in headers.items()}
    url = URL(f"{person.base}{PATH}{query}", encoded=True)
    async with person.session.put(url, data=body, headers=sent, allow_redirects=False) as answer:
        return answer.status, await answer.json() if "json" in answer.content_type else await answer.text()


async def token(person: Browser) -> str:
    return (await person.get("/console/recordings")).token


async def count(stage: Stage) -> int:
    page = await stage.parts.ledger.recordings.list(stage.account_sid, RecordingFilter(), place=None, size=10)
    return len(page.rows)


async def test_a_file_becomes_a_recording_with_its_call(owner: Browser, stage: Stage, parts: Parts) -> None:
    query = "?from=%2B14155550134&to=%2B442079460182&source=Voicemail"
    status, said = await put(owner, a_wav(), query, X_Callreel_Token=await token(owner))
    assert status == 201, said
    shown = await owner.get(said["path"])
    assert shown.status == 200
    listed = await owner.get("/console/recordings")
    assert "+1 415 555 0134" in listed.text
    assert await count(stage) == 1


@pytest.mark.parametrize("body", [b"", b"<script>alert(1)</script>", b"RIFF\x00\x00\x00\x00WAVE"])
async def test_what_is_no_audio_is_said_and_nothing_is_kept(owner: Browser, stage: Stage, body: bytes) -> None:
    status, said = await put(owner, body, X_Callreel_Token=await token(owner))
    assert (status, bool(said["why"])) == (400, True)
    assert await count(stage) == 0


async def test_without_the_token_of_a_page_or_from_elsewhere_it_is_refused(owner: Browser, stage: Stage) -> None:
    assert (await put(owner, a_wav()))[0] == 403
    assert (await put(owner, a_wav(), X_Callreel_Token="forged"))[0] == 403
    foreign = {"Origin": "https://evil.example"}
    assert (await put(owner, a_wav(), X_Callreel_Token=await token(owner), **foreign))[0] == 403
    assert await count(stage) == 0


async def test_a_listener_may_not(listener: Browser, stage: Stage) -> None:
    assert (await put(listener, a_wav(), X_Callreel_Token=await token(listener)))[0] == 403
    assert "data-take-in" not in (await listener.get("/console/recordings")).text


async def test_another_accounts_person_takes_in_for_their_own(owner: Browser, stranger: Browser, stage: Stage) -> None:
    status, said = await put(stranger, a_wav(), X_Callreel_Token=await token(stranger))
    assert status == 201
    assert (await owner.get(said["path"])).status == 404
    assert await count(stage) == 0
