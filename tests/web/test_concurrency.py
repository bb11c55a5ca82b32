"""20429: so many requests of one account at once, and not one more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callreel.settings import Settings, load_settings
from tests.web.conftest import WAV, Caller


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data", allowed_private_networks="127.0.0.0/8", account_concurrency=2)


async def test_one_more_than_the_limit_is_429_and_only_for_that_account(acme: Caller, stranger: Caller) -> None:
    begun: asyncio.Queue[None] = asyncio.Queue()
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield WAV[:100]
        begun.put_nowait(None)
        await rest.wait()
        yield WAV[100:]

    path = f"{acme.account_path}/Recordings.json"
    uploads = [asyncio.create_task(acme.upload(slowly())) for _ in range(2)]
    for _ in uploads:
        await begun.get()
    answers = [await acme.get(path)]
    while answers[-1].status == 200:  # an upload may still be on its way to the service
        answers.append(await acme.get(path))
    refused = answers[-1]
    assert (refused.status, refused.json()["code"]) == (429, 20429)
    assert refused.json()["message"] == "Too Many Requests"
    assert refused.headers["Twilio-Concurrent-Requests"] == "2"
    assert refused.headers["Retry-After"] == "1"
    assert (await stranger.get(f"{stranger.account_path}/Recordings.json")).status == 200
    rest.set()
    assert [(await upload).status for upload in uploads] == [201, 201]
    again = await acme.get(path)
    assert (again.status, again.headers["Twilio-Concurrent-Requests"]) == (200, "1")
    assert len(again.json()["recordings"]) == 2
