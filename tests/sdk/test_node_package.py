"""The official `twilio` package for Node, unmodified, against a service that runs as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from callreel.rehearsal.callback_receiver import CallbackReceiver
from tests.journeys.recordings import hand_in
from tests.journeys.service import Service, serving

pytestmark = pytest.mark.xdist_group("node")

HERE = Path(__file__).parent / "node"
LIMIT_S = 90.0


def why_not() -> str | None:
    """The reason to skip, with what would cure it."""
    if shutil.which("node") is None:
        return "Node is not installed: apt-get install nodejs npm"
    if not (HERE / "node_modules" / "twilio").is_dir():
        return f"Twilio's Node package is not installed: npm ci --prefix {HERE.relative_to(Path(__file__).parents[2])}"
    return None


def judge(service: Service) -> dict[str, Any]:
    """What the script saw; its assertions fail the test."""
    assert service.account is not None
    sign_in = {"TWILIO_ACCOUNT_SID": service.account["sid"], "TWILIO_AUTH_TOKEN": service.account["auth_token"]}
    done = subprocess.run(
        ["node", "judge.mjs", service.url],
        cwd=HERE,
        env=os.environ | sign_in,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
async def test_credentials_settings_recordings_and_errors(tmp_path: Path) -> None:
    async with CallbackReceiver() as receiver:
        with serving(tmp_path) as service:
            made = await hand_in(service, receiver, 5)
            seen = await asyncio.to_thread(judge, service)
    assert sorted(seen["listed"]) == sorted(made)
    told = {name: (why["status"], why["code"]) for name, why in seen["refusals"].items()}
    assert told == {
        "gone": (404, 20404),
        "malformed": (400, 70106),
        "stranger": (401, 20003),
        "notLive": (400, 21220),
        "tooMany": (400, 20007),
    }
    assert seen["refusals"]["gone"]["moreInfo"] == "https://www.twilio.com/docs/errors/20404"
    assert seen["refusals"]["notLive"]["message"] == "Requested resource is not eligible for recording"
