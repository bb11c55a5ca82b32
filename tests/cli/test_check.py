from __future__ import annotations

import asyncio
import json

from callreel.model.account import Account
from callreel.model.recording import State
from callreel.parts import Parts
from tests.cli.conftest import Callreel, document
from tests.cli.test_deliveries import _recording


async def test_check_says_that_every_promise_holds(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    await _recording(parts, account[0], State.SPOOLED)
    assert document(await asyncio.to_thread(with_database, "check", "--json")) == {
        "ok": True,
        "violations": [],
        "notes": [],
    }
    said = await asyncio.to_thread(with_database, "check", "--deep", "--account", account[0].sid)
    assert (said.exit_code, said.stdout) == (0, "Every promise holds.\n")


async def test_check_exits_with_1_and_a_line_for_each_violation(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    recording = await _recording(parts, account[0], State.SPOOLED)
    parts.spool.path_of(recording.sid).unlink()
    said = await asyncio.to_thread(with_database, "check")
    assert said.exit_code == 1
    assert said.stdout.splitlines()[0] == f"I3: {recording.sid} is spooled and is not in the spool"
    said = await asyncio.to_thread(with_database, "check", "--json")
    assert said.exit_code == 1
    violation = {"invariant": "I3", "subject": recording.sid, "text": "is spooled and is not in the spool"}
    assert json.loads(said.stdout)["violations"] == [violation]


async def test_check_of_an_account_there_is_not(with_database: Callreel, parts: Parts) -> None:
    said = await asyncio.to_thread(with_database, "check", "--account", "AC" + "0" * 32)
    assert said.exit_code == 1
    assert "There is no account" in said.stderr


def test_check_needs_an_installation(callreel: Callreel) -> None:
    said = callreel("check")
    assert said.exit_code == 1
    assert "There is no installation" in said.stderr
