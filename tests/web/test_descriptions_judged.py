"""Schemathesis over our own OpenAPI documents: whatever they allow, and what they forbid, is answered without a 5xx.

Requests are made up from a fixed seed. `--requests N` sends N to each operation, for a longer look than the suite's.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from callreel.clock import SetClock
from callreel.web.surfaces import TITLES, Surface
from tests.web.conftest import WAV, Caller, Carry
from tests.web.installed import one_of_everything
from tests.web.video_tracks import CAMERA

pytestmark = pytest.mark.xdist_group("schemathesis")

MEDIA_TYPES = ("audio/wav", "audio/x-matroska", "video/x-matroska")
for _type in MEDIA_TYPES:
    schemathesis.serializer.alias(_type, "application/octet-stream")

SEED = 20261121
METHODS = {"get": 0, "post": 1, "delete": 2}  # what deletes comes last, so that there is something to find before
_PARAMETER = re.compile(r"(\w+)/\{(\w+)\}")
_TWILIO_SHAPE = {"code", "message", "more_info", "status"}
# What the transport itself refuses before the edge sees it.
_UNSENDABLE = (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeEncodeError)


class Judge:
    """Sends made-up requests and remembers what was wrong with the answers."""

    def __init__(self, caller: Caller, surface: Surface, known: dict[str, list[str]], requests_each: int) -> None:
        self.caller, self.surface, self.known, self.requests_each = caller, surface, known, requests_each
        self.statuses: dict[str, set[int]] = {}
        self.sent = 0
        self.faults: list[str] = []
        self.session = requests.Session()
        self.session.auth = (caller.sid, caller.token)

    def examine(self, operation: Any) -> None:
        """Ask one operation for what its description allows and for what it forbids, in turn."""
        modes = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

        @seed(SEED)
        @settings(
            max_examples=self.requests_each,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=modes, data=st.data())
        def examined(case: Any, data: st.DataObject) -> None:
            for collection, name in _PARAMETER.findall(operation.path):
                there = self.known.get(collection, [])
                if there and data.draw(st.integers(0, 5)):
                    case.path_parameters[name] = data.draw(st.sampled_from(there))
            if case.media_type in MEDIA_TYPES and data.draw(st.booleans()):
                case.body = WAV if case.media_type == "audio/wav" else CAMERA
            self.send(operation, case)

        examined()

    def send(self, operation: Any, case: Any) -> None:
        name = f"{operation.method.upper()} {operation.path}"
        try:
            answer = case.call(base_url=f"{self.caller.base}/{self.surface}", session=self.session)
        except _UNSENDABLE:
            return
        self.sent += 1
        self.statuses.setdefault(name, set()).add(answer.status_code)
        asked = f"{name} → {answer.status_code} {answer.content[:300]!r}\n{case.as_curl_command()}"
        if answer.status_code >= 500 or (answer.status_code >= 400 and not _is_twilio_shaped(answer)):
            self.faults.append(asked)
        elif answer.status_code < 300:
            try:
                case.validate_response(answer, checks=[schemathesis.checks.response_schema_conformance])
            except Exception as why:
                self.faults.append(f"{asked}\n{why}")


def _shown(statuses: dict[str, set[int]]) -> str:
    return "; ".join(f"{name} {sorted(seen)}" for name, seen in statuses.items())


def _is_twilio_shaped(answer: requests.Response) -> bool:
    if answer.content.startswith(b"<?xml"):
        return f"<Status>{answer.status_code}</Status>" in answer.text
    said = json.loads(answer.content)
    return set(said) == _TWILIO_SHAPE and said["status"] == answer.status_code


@pytest.mark.parametrize("surface", TITLES)
async def test_no_request_is_answered_with_a_server_error(
    surface: Surface, acme: Caller, deliver: Carry, clock: SetClock, pytestconfig: pytest.Config
) -> None:
    known = await one_of_everything(acme, deliver, clock)
    description = (await acme.get(f"/{surface}/openapi.json", auth=None)).json()
    schema = schemathesis.openapi.from_dict(description)
    operations = [found.ok() for found in schema.get_all_operations()]
    judge = Judge(acme, surface, known, pytestconfig.getoption("requests"))
    for operation in sorted(operations, key=lambda o: METHODS[o.method.lower()]):
        await asyncio.to_thread(judge.examine, operation)
    judge.session.close()
    print(f"{surface}: {len(operations)} operations, {judge.sent} requests, answers {_shown(judge.statuses)}")
    assert judge.faults == [], "\n\n".join(judge.faults[:20])
    assert judge.sent >= len(operations) * pytestconfig.getoption("requests") // 2


async def test_the_judge_notices_a_server_error(acme: Caller, no_database: None) -> None:
    description = (await acme.get("/accounts/openapi.json", auth=None)).json()
    schema = schemathesis.openapi.from_dict(description)
    judge = Judge(acme, Surface.ACCOUNTS, {}, 3)
    await asyncio.to_thread(judge.examine, schema["/v1/Credentials/AWS"]["GET"])
    judge.session.close()
    assert judge.faults != []
