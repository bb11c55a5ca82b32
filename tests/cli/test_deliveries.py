from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from click.testing import Result

from callreel.cli import deliveries
from callreel.model.account import Account
from callreel.model.intake import Intake
from callreel.model.recording import Recording, State
from callreel.parts import Parts
from callreel.rehearsal.speech import speech
from callreel.steps.ingest import ingest
from tests.cli.conftest import Callreel, document

ROW = {
    "recording_sid",
    "account_sid",
    "state",
    "attempts",
    "retry_spent_seconds",
    "next_attempt_at",
    "error_code",
    "error",
    "bucket",
    "object_key",
}


async def _recording(parts: Parts, account: Account, state: State) -> Recording:
    async def body() -> AsyncIterator[bytes]:
        yield speech(0.1, seed=1)

    taken = await ingest(
        body(),
        Intake(account_sid=account.sid),
        announced_bytes=None,
        limit_bytes=1 << 20,
        births=parts.births,
        keyring=parts.keyring,
        index=parts.index,
    )
    return taken if state is State.SPOOLED else await parts.ledger.move(taken, state, last_error="SlowDown: wait")


async def _asked(callreel: Callreel, *words: str) -> Result:
    """A command has an event loop of its own, so it needs a thread of its own."""
    return await asyncio.to_thread(callreel, "deliveries", *words, "--json")


async def test_the_list_shows_all_that_is_not_finished(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    made = {(await _recording(parts, account[0], state)).sid for state in (State.SPOOLED, State.PARKED, State.FATAL)}
    rows = document(await _asked(with_database, "list"))["deliveries"]
    assert {row["recording_sid"] for row in rows} == made
    assert {row["state"] for row in rows} == {"spooled", "parked", "held"}
    assert all(set(row) == ROW for row in rows)
    held = document(await _asked(with_database, "list", "--state", "held"))["deliveries"]
    assert [row["error"] for row in held] == ["SlowDown: wait"]
    assert len(document(await _asked(with_database, "list", "--limit", "2"))["deliveries"]) == 2


async def test_a_restart_of_all_drains_page_by_page_and_may_be_repeated(
    with_database: Callreel, parts: Parts, account: tuple[Account, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "PAGE", 2)
    for state in (State.PARKED,) * 5 + (State.FATAL,) * 3 + (State.SPOOLED,):
        await _recording(parts, account[0], state)
    assert len(document(await _asked(with_database, "list"))["deliveries"]) == 9
    assert document(await _asked(with_database, "restart", "--all")) == {"restarted": 8}
    assert document(await _asked(with_database, "restart", "--all")) == {"restarted": 0}


async def test_a_restart_by_recording_restarts_that_one(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    parked, other = [await _recording(parts, account[0], State.PARKED) for _ in range(2)]
    named = ("restart", "--recording", parked.sid)
    assert document(await _asked(with_database, *named, "--recording", parked.sid)) == {"restarted": 1}
    assert document(await _asked(with_database, *named)) == {"restarted": 0}
    assert (await parts.ledger.recordings.fetch(account[0].sid, other.sid)).state is State.PARKED


async def test_a_restart_by_account_leaves_the_others_alone(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    stranger = document(await asyncio.to_thread(with_database, "accounts", "create", "--friendly-name", "B", "--json"))
    await _recording(parts, account[0], State.PARKED)
    assert document(await _asked(with_database, "restart", "--account", stranger["sid"])) == {"restarted": 0}
    assert document(await _asked(with_database, "restart", "--account", account[0].sid)) == {"restarted": 1}


async def test_an_unknown_recording_restarts_nothing(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    parked = await _recording(parts, account[0], State.PARKED)
    unknown = "RE" + "0" * 32
    refused = await _asked(with_database, "restart", "--recording", parked.sid, "--recording", unknown)
    assert refused.exit_code == 1
    assert unknown in refused.stderr
    assert (await parts.ledger.recordings.fetch(account[0].sid, parked.sid)).state is State.PARKED


@pytest.mark.parametrize(
    "words", [("restart",), ("restart", "--all", "--account", "AC" + "0" * 32), ("list", "--state", "lost")]
)
def test_what_cannot_be_meant_is_wrong_usage(callreel: Callreel, words: tuple[str, ...]) -> None:
    refused = callreel("deliveries", *words)
    assert (refused.exit_code, refused.stdout) == (2, "")
