"""Recordings handed in to a running service, and waited for."""

from __future__ import annotations

import asyncio

import aiohttp

from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.speech import speech
from tests.journeys.service import Service

CALL = "CA" + "1" * 32
LIMIT_S = 60.0


async def hand_in(service: Service, receiver: CallbackReceiver, count: int) -> dict[str, bytes]:
    """Recordings of one call, each of them completed and told. Returns SID → media."""
    assert service.account is not None
    sid, token = service.account["sid"], service.account["auth_token"]
    query = {"RecordingStatusCallback": f"{receiver.url}/done", "CallSid": CALL}
    made: dict[str, bytes] = {}
    headers = {"Authorization": aiohttp.encode_basic_auth(sid, token), "Content-Type": "audio/x-wav"}
    async with aiohttp.ClientSession(service.url, headers=headers) as http:
        for seed in range(count):
            media = speech(1, seed=seed)
            async with http.post(f"/callreel/v1/Accounts/{sid}/Recordings", params=query, data=media) as answer:
                assert answer.status == 201, await answer.text()
                made[(await answer.json())["sid"]] = media
    async with asyncio.timeout(LIMIT_S):
        await receiver.until(lambda came: made.keys() <= {one["RecordingSid"] for one in came})
    return made
