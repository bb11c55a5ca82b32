"""The service is killed in the middle of a hundred deliveries, and nobody notices but the log."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from callreel.outbound.signature import is_signed_by
from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.s3_faults import forget_answer, stall
from callreel.rehearsal.speech import speech
from tests.journeys.service import Service, callreel, serving

pytestmark = pytest.mark.xdist_group("sigkill")

RECORDINGS = 100
KEY_ID, SECRET = "AKSIGKILL00000000000", "s" * 40
LIMIT_S = 90.0


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[EmbeddedS3]:
    async with EmbeddedS3(tmp_path / "s3") as server:
        server.create_bucket("recordings")
        server.add_user(KEY_ID, SECRET)
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[CallbackReceiver]:
    async with CallbackReceiver() as running:
        yield running


async def test_after_sigkill_each_recording_is_delivered_once_and_told(
    tmp_path: Path, s3: EmbeddedS3, receiver: CallbackReceiver
) -> None:
    settings = {"CALLREEL_DELIVERY_CONCURRENCY": "8"}
    with serving(tmp_path, **settings) as killed:
        assert killed.account is not None
        account, token = killed.account["sid"], killed.account["auth_token"]
        s3.faults.next(forget_answer(), 10, on="PutObject")
        taken = await _take_in(killed, account, token, s3.url, receiver.url)
        s3.faults.next(stall(), 8, on="PutObject")
        async with asyncio.timeout(LIMIT_S):
            await s3.faults.stalled.wait()
        killed.send(signal.SIGKILL)
        await asyncio.to_thread(killed.wait)
        s3.faults.clear()
        delivered_before = len(s3.keys("recordings"))
        with serving(tmp_path, **settings) as again:
            async with asyncio.timeout(LIMIT_S):
                await receiver.until(lambda came: taken.keys() <= {one["RecordingSid"] for one in came})
            left = callreel("deliveries", "list", "--json", "--data-dir", str(again.data_dir), cwd=tmp_path)
    assert 0 < delivered_before < RECORDINGS
    assert json.loads(left.stdout) == {"deliveries": []}
    assert s3.keys("recordings") == sorted(f"{account}/{sid}" for sid in taken)
    assert all(s3.versions("recordings", f"{account}/{sid}") == [sha256] for sid, sha256 in taken.items())
    assert list((tmp_path / "data" / "spool" / "ready").iterdir()) == []
    assert all(is_signed_by(token, one.url, one.parameters, one.signature) for one in receiver.received)
    tokens = {(one["RecordingSid"], one["RecordingStatus"], one.idempotency_token) for one in receiver.received}
    assert len(tokens) == RECORDINGS  # told twice, if at all, under the same token


async def _take_in(service: Service, account: str, token: str, s3_url: str, callback: str) -> dict[str, str]:
    """Hand in a hundred recordings. Returns SID → SHA-256 of the media."""
    sign_in = {"Authorization": aiohttp.encode_basic_auth(account, token)}
    async with aiohttp.ClientSession(service.url, headers=sign_in) as http:
        made = await http.post("/v1/Credentials/AWS", data={"Credentials": f"{KEY_ID}:{SECRET}"})
        where = {
            "AwsCredentialsSid": (await made.json())["sid"],
            "AwsS3Url": f"{s3_url}/recordings",
            "AwsStorageEnabled": "true",
        }
        base = f"/callreel/v1/Accounts/{account}"
        assert (await http.post(f"{base}/RecordingSettings/Voice", data=where)).status == 200
        return dict(await asyncio.gather(*(_hand_in(http, base, callback, seed) for seed in range(RECORDINGS))))


async def _hand_in(http: aiohttp.ClientSession, base: str, callback: str, seed: int) -> tuple[str, str]:
    media = speech(0.2, seed=seed)
    query = {"RecordingStatusCallback": f"{callback}/done"}
    async with http.post(f"{base}/Recordings", params=query, data=media, headers={"Content-Type": "audio/x-wav"}) as a:
        assert a.status == 201, await a.text()
        return (await a.json())["sid"], hashlib.sha256(media).hexdigest()
