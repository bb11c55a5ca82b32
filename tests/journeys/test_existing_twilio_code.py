"""Code that was written for Twilio, with not a character changed, against a service that runs as a user runs it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.matroska_file import matroska
from tests.journeys.recordings import LIMIT_S, hand_in
from tests.journeys.service import Service, serving

pytestmark = pytest.mark.xdist_group("existing_code")

HERE = Path(__file__).parent
PROGRAM = HERE / "existing_twilio_code.py"
KEY_ID, SECRET = "AKEXISTINGCODE000000", "e" * 40


def run(service: Service, *arguments: str) -> Any:
    """What the program printed."""
    assert service.account is not None
    sign_in = {"TWILIO_ACCOUNT_SID": service.account["sid"], "TWILIO_AUTH_TOKEN": service.account["auth_token"]}
    done = subprocess.run(
        [sys.executable, str(HERE / "redirected.py"), service.url, str(PROGRAM), *arguments],
        env=os.environ | sign_in,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def hand_in_video(service: Service, receiver: CallbackReceiver, count: int) -> dict[str, bytes]:
    """Video tracks, each of them completed and told. Returns SID → media."""
    assert service.account is not None
    sid, token = service.account["sid"], service.account["auth_token"]
    made: dict[str, bytes] = {}
    headers = {"Authorization": aiohttp.encode_basic_auth(sid, token), "Content-Type": "video/x-matroska"}
    async with aiohttp.ClientSession(service.url, headers=headers) as http:
        for seed in range(count):
            media = matroska(1.0, seed=seed, codec="VP8")
            path = f"/callreel/v1/Accounts/{sid}/VideoRecordings"
            async with http.post(path, params={"StatusCallback": f"{receiver.url}/video"}, data=media) as answer:
                assert answer.status == 201, await answer.text()
                made[(await answer.json())["sid"]] = media
    async with asyncio.timeout(LIMIT_S):
        await receiver.until(
            lambda came: (
                made.keys()
                <= {one["RecordingSid"] for one in came if one["StatusCallbackEvent"] == "recording-completed"}
            )
        )
    return made


def test_the_program_has_not_heard_of_callreel() -> None:
    assert "callreel" not in PROGRAM.read_text()


async def test_create_a_credential_switch_storage_on_list_download_and_delete(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    async with CallbackReceiver() as receiver, EmbeddedS3(tmp_path / "s3") as s3:
        s3.create_bucket("recordings")
        s3.add_user(KEY_ID, SECRET)
        with serving(tmp_path) as service:
            said = await asyncio.to_thread(run, service, "switch-on", f"{s3.url}/recordings/video", KEY_ID, SECRET)
            assert said["stored_by"] == said["credential"]
            voice = await hand_in(service, receiver, 3)
            video = await hand_in_video(service, receiver, 3)
            stored = s3.keys("recordings")
            said = await asyncio.to_thread(run, service, "archive", str(archive))
    assert len(stored) == 3
    assert said["saved"] == {sid: ["completed", "1"] for sid in voice} | {sid: ["completed", 1] for sid in video}
    assert (said["left"], said["gone"]) == (0, [404, 20404])
    names = {f"{sid}.wav": media for sid, media in voice.items()} | {
        f"{sid}.mkv": media for sid, media in video.items()
    }
    assert {path.name: digest(path.read_bytes()) for path in archive.iterdir()} == {
        name: digest(media) for name, media in names.items()
    }


def digest(media: bytes) -> str:
    return hashlib.sha256(media).hexdigest()
