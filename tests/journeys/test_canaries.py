"""I13: secrets planted at every way in are afterwards in no log, database text, file name, callback or answer."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.speech import speech
from tests.conftest import psql
from tests.journeys.service import Service, serving
from tests.sealing.keys import private_pem, rsa_key

pytestmark = pytest.mark.xdist_group("serve")

S3_SECRET = "canarys3" + "Z" * 32
QUERY = "canaryquery0001"
HEADER = "canaryheader0002"
USERINFO = "canaryuserinfo0003"
KEY_ID = "AKCANARYKEYID0000000"


async def a_day_in_its_life(
    service: Service, s3: EmbeddedS3, receiver: CallbackReceiver
) -> tuple[list[str], list[str]]:
    """Everything a client does, and some of it wrong. Returns the canaries and what clients were answered."""
    assert service.account is not None
    account, token = service.account["sid"], service.account["auth_token"]
    own, answers = f"{service.url}/callreel/v1/Accounts/{account}", list[str]()
    private = private_pem(rsa_key()).decode()
    headers = {"Authorization": aiohttp.encode_basic_auth(account, token)}
    async with aiohttp.ClientSession(headers=headers) as http:

        async def post(path: str, form: dict[str, str] | bytes, **more: str) -> str:
            async with http.post(path, data=form, headers=more) as answer:
                answers.append(await answer.text())
            return answers[-1]

        made = await post(f"{service.url}/v1/Credentials/AWS", {"Credentials": f"{KEY_ID}:{S3_SECRET}"})
        await post(f"{service.url}/v1/Credentials/AWS", {"Credentials": f"bad {S3_SECRET}"})
        await post(f"{service.url}/v1/Credentials/PublicKeys", {"PublicKey": private})
        sid = made.split('"sid": "')[1][:34] if '"sid": "' in made else made.split('"sid":"')[1][:34]
        await post(
            f"{own}/RecordingSettings/Voice",
            {"AwsStorageEnabled": "true", "AwsS3Url": f"{s3.url}/calls/x", "AwsCredentialsSid": sid},
        )
        callback = f"RecordingStatusCallback={receiver.url}/cb"
        for query in (callback, f"RecordingStatusCallback=http://u:{USERINFO}@127.0.0.1:1/x", f"Strange={QUERY}"):
            await post(f"{own}/Recordings?{query}", speech(0.2, seed=1), **{"Content-Type": "audio/wav"})
        async with asyncio.timeout(60):
            await receiver.until(lambda got: len(got) >= 1)
        async with http.get(f"{service.url}/2010-04-01/Accounts/{account}/Recordings.json?Strange={QUERY}") as answer:
            recording = (await answer.json())["recordings"][-1]["sid"]  # the one whose callback came
        async with http.get(f"{own}/Recordings/{recording}/Playback") as answer:
            playback = (await answer.json())["url"]
        for odd in (f"Basic {HEADER}", aiohttp.encode_basic_auth(account, HEADER), f"Bearer {HEADER}"):
            async with http.get(f"{own}/Deliveries", headers={"Authorization": odd}) as answer:
                answers.append(await answer.text())
    signature = playback.partition("X-Amz-Signature=")[2][:64] if "X-Amz-Signature" in playback else playback[-40:]
    key = "".join(private.splitlines()[2:4])[:60]
    basic = base64.b64encode(f"{account}:{token}".encode()).decode()
    return [S3_SECRET, token, basic, HEADER, USERINFO, key, private.splitlines()[5], signature], answers


def test_no_planted_secret_is_found_anywhere(tmp_path: Path) -> None:
    async def live() -> None:
        async with EmbeddedS3(tmp_path / "s3") as s3, CallbackReceiver() as receiver:
            s3.create_bucket("calls")
            s3.add_user(KEY_ID, S3_SECRET)
            canaries, answers = await a_day_in_its_life(service, s3, receiver)
            found["canaries"], found["answers"] = canaries, answers
            found["callbacks"] = [f"{one.url} {one.parameters}" for one in receiver.received]

    found: dict[str, list[str]] = {}
    master = base64.b64encode(os.urandom(32)).decode()
    with serving(tmp_path, CALLREEL_MASTER_KEY=master, CALLREEL_LOG_LEVEL="debug") as service:
        asyncio.run(live())
        service.send(signal.SIGTERM)
        assert service.wait() == 0
        log = "\n".join(service.errors)
    canaries = [*found["canaries"], master]
    server = EmbeddedPostgres(service.data_dir)
    server.start()
    try:
        dump = psql(server, "SELECT string_agg(x::text, chr(10)) FROM (" + _everything(server) + ") AS x", "callreel")
    finally:
        server.stop()
    names = "\n".join(str(path) for path in service.data_dir.rglob("*"))
    assert "RE" in dump, "the search looks at the rows"
    assert found["callbacks"], "a callback came"
    for canary in canaries:
        assert len(canary) >= 12
        assert canary not in log
        assert canary not in dump
        assert canary not in names
        assert all(canary not in answer for answer in found["answers"] + found["callbacks"])


def _everything(server: EmbeddedPostgres) -> str:
    tables = psql(server, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "callreel").split()
    return " UNION ALL ".join(f'SELECT to_jsonb(t)::text FROM "{name}" AS t' for name in sorted(tables))
