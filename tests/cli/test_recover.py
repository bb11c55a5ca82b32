from __future__ import annotations

import asyncio
import os

from sqlalchemy import text

from callreel.ledger.audit import INSTALLATION
from callreel.model.account import Account
from callreel.model.recording import State
from callreel.model.sid import mint_sid
from callreel.parts import Parts
from callreel.steps.keep_time import keep_time
from tests.cli.conftest import Callreel, document
from tests.cli.test_deliveries import _recording


async def test_a_dry_run_shows_what_would_be_done_and_does_nothing(
    with_database: Callreel, parts: Parts, account: tuple[Account, str]
) -> None:
    recording = await _recording(parts, account[0], State.SPOOLED)
    async with parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("DELETE FROM pgqueuer"))
    for _ in range(2):
        found = document(await asyncio.to_thread(with_database, "recover", "--dry-run", "--json"))
        assert (found["dry_run"], found["worker_alive"]) == (True, False)
        assert found["reminded"] == {"total": 1, "first": [recording.sid]}
    assert document(await asyncio.to_thread(with_database, "recover", "--json"))["reminded"]["total"] == 1
    [deed] = [row async for row in parts.ledger.audit.read_chain(INSTALLATION)]
    assert (deed.action, deed.actor, deed.details["reminded"]) == ("recovery.run", "operator", 1)
    said = await asyncio.to_thread(with_database, "recover", "--dry-run")
    assert said.stdout == "There is nothing to recover.\n"


async def test_beside_a_worker_only_a_dry_run_is_done(with_database: Callreel, parts: Parts) -> None:
    parts.spool.lock_for_work()
    said = await asyncio.to_thread(with_database, "recover")
    assert said.exit_code == 1
    assert f"pid {os.getpid()} on " in said.stderr
    assert document(await asyncio.to_thread(with_database, "recover", "--dry-run", "--json"))["worker_alive"] is True


async def test_a_file_in_quarantine_is_listed_and_removed_for_a_reason(with_database: Callreel, parts: Parts) -> None:
    (parts.spool.quarantine / "strange").write_bytes(b"12345")
    await asyncio.to_thread(with_database, "recover")
    files = document(await asyncio.to_thread(with_database, "quarantine", "list", "--json"))["files"]
    assert [(one["name"], one["size_bytes"]) for one in files] == [("strange", 5)]
    assert (await asyncio.to_thread(with_database, "quarantine", "remove", "strange", "--reason", " ")).exit_code == 2
    removed = await asyncio.to_thread(with_database, "quarantine", "remove", "strange", "--reason", "a test", "--json")
    assert document(removed) == {"removed": "strange"}
    again = await asyncio.to_thread(with_database, "quarantine", "remove", "strange", "--reason", "a test")
    assert again.exit_code == 1
    assert (await asyncio.to_thread(with_database, "quarantine", "list")).stdout == "Nothing is in quarantine.\n"
    assert document(await asyncio.to_thread(with_database, "check", "--json"))["ok"]


async def test_a_distrusted_clock_is_shown_and_confirmed(with_database: Callreel, parts: Parts) -> None:
    host_id = mint_sid("SP")
    await keep_time(host_id, ledger=parts.ledger, clock=parts.clock)
    parts.clock.jump(-60)  # type: ignore[attr-defined]
    await keep_time(host_id, ledger=parts.ledger, clock=parts.clock)
    (shown,) = document(await asyncio.to_thread(with_database, "clock", "show", "--json"))["clocks"]
    assert (shown["host_id"], shown["trusted"]) == (host_id, False)
    assert "60 s behind" in shown["why"]
    assert document(await asyncio.to_thread(with_database, "clock", "confirm", "--json")) == {"confirmed": 1}
    assert document(await asyncio.to_thread(with_database, "clock", "confirm", "--json")) == {"confirmed": 0}
    assert document(await asyncio.to_thread(with_database, "clock", "show", "--json"))["clocks"][0]["trusted"]
