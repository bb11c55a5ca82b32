"""Moves: guarded, on the map, and all that follows from them in one transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from callreel.errors import IdempotencyConflict, Outrun, SidTaken
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.ledger.moves import AlreadyBorn, Birth
from callreel.model.recording import ARROWS, CallbackWish, Recording, State
from callreel.model.sid import RecordingSid, mint_sid
from callreel.parts import Parts
from callreel.steps.open_account import open_account
from tests.recordings import a_recording
from tests.stage import Stage

WISH = CallbackWish(url="http://r.example.com/cb", events=("in-progress", "completed", "failed"))


async def counted(parts: Parts) -> dict[str, int]:
    """How many rows each table that a move writes has."""
    async with parts.ledger.engine.connect() as connection:
        tables = ("recordings", "moves", "outbox", "pgqueuer", "alerts", "idempotency_keys", "calls")
        return {t: (await connection.execute(text(f"SELECT count(*) FROM {t}"))).scalar_one() for t in tables}


def born(stage: Stage, **facts: Any) -> Birth:
    recording = a_recording(
        sid=RecordingSid(mint_sid("RE")), account_sid=stage.account_sid, host_id=stage.parts.spool.host_id
    )
    keys = {k: facts.pop(k) for k in ("idempotency_key", "request_hash", "alerts", "call") if k in facts}
    return Birth(recording=recording.changed(**facts), **keys)


async def bear(stage: Stage, **facts: Any) -> Recording:
    recording = await stage.parts.ledger.bear(born(stage, **facts))
    assert isinstance(recording, Recording)
    return recording


async def test_a_birth_writes_row_line_event_and_job_together(stage: Stage) -> None:
    before = await counted(stage.parts)
    recording = await bear(stage, callback=WISH)
    after = await counted(stage.parts)
    grown = {table: after[table] - before[table] for table in after}
    assert grown == {
        "recordings": 1, "moves": 1, "outbox": 1, "pgqueuer": 2, "alerts": 0, "idempotency_keys": 0, "calls": 0,
    }  # fmt: skip
    assert await stage.look(recording) == recording


async def test_a_sid_that_was_a_recording_once_is_never_used_again(stage: Stage) -> None:
    sid = RecordingSid(mint_sid("RE"))
    row = {"sid": sid, "account": stage.account_sid}
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(
            text("INSERT INTO tombstones (sid, account_sid, purged_at, reason) VALUES (:sid, :account, now(), '')"), row
        )
    before = await counted(stage.parts)
    buried, other = born(stage, sid=sid, idempotency_key="key", request_hash="hash"), born(stage)
    outcomes = await asyncio.gather(
        stage.parts.ledger.bear(buried), stage.parts.ledger.bear(other), return_exceptions=True
    )
    assert isinstance(outcomes[0], SidTaken)
    after = await counted(stage.parts)
    assert (after["recordings"] - before["recordings"], after["idempotency_keys"]) == (1, 0)


async def test_of_two_movers_one_wins_and_the_other_writes_nothing(stage: Stage) -> None:
    recording = await bear(stage, callback=WISH)
    before = await counted(stage.parts)
    outcomes = await asyncio.gather(
        stage.parts.ledger.move(recording, State.PARKED),
        stage.parts.ledger.move(recording, State.FATAL),
        return_exceptions=True,
    )
    assert sorted(type(o).__name__ for o in outcomes) == ["Outrun", "Recording"]
    after = await counted(stage.parts)
    assert (after["moves"] - before["moves"], after["outbox"] - before["outbox"]) == (1, 1)


async def test_two_ledgers_that_race_have_one_winner_too(stage: Stage) -> None:
    p = stage.parts
    others = [
        Ledger(p.ledger.engine, clock=p.clock, worker_id=f"w{n}", public_url=lambda: "http://x") for n in range(4)
    ]
    recording = await bear(stage)
    outcomes = await asyncio.gather(*(o.move(recording, State.PARKED) for o in others), return_exceptions=True)
    assert sorted(type(o).__name__ for o in outcomes) == ["Outrun"] * 3 + ["Recording"]
    assert await stage.path_taken(recording) == ["spooled", "parked"]


@pytest.mark.parametrize("stale", ["state", "fence", "account_sid"])
async def test_a_mover_with_an_old_picture_is_outrun(stage: Stage, stale: str) -> None:
    recording = await bear(stage)
    old: dict[str, Any] = {"state": State.FATAL, "fence": 7, "account_sid": "AC" + "0" * 32}
    wrong = recording.changed(**{stale: old[stale]})
    before = await counted(stage.parts)
    for write in (stage.parts.ledger.move(wrong, State.SEALED), stage.parts.ledger.note(wrong, upload_id="x")):
        with pytest.raises(Outrun):
            await write
    assert await counted(stage.parts) == before
    assert await stage.look(recording) == recording


async def test_a_move_that_is_not_on_the_map_fails_loudly_and_writes_nothing(stage: Stage) -> None:
    recording = await bear(stage)
    before = await counted(stage.parts)
    for to in set(State) - ARROWS[State.SPOOLED]:
        with pytest.raises(AssertionError, match="no arrow"):
            await stage.parts.ledger.move(recording, to)
    with pytest.raises(AssertionError, match="no arrow"):
        await stage.parts.ledger.bear(born(stage, state=State.DELIVERED))
    assert await counted(stage.parts) == before


async def test_a_fact_that_recordings_do_not_have_fails_loudly(stage: Stage) -> None:
    recording = await bear(stage)
    with pytest.raises(AssertionError, match="invented"):
        await stage.parts.ledger.move(recording, State.PARKED, invented=1)


@pytest.mark.parametrize("breaks", ["outbox", "moves", "pgqueuer"])
async def test_when_any_part_fails_none_is_written(stage: Stage, breaks: str) -> None:
    recording = await bear(stage, callback=WISH)
    column = {"outbox": "event", "moves": "to_state", "pgqueuer": "entrypoint"}[breaks]
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(
            text(f"ALTER TABLE {breaks} ADD CONSTRAINT no CHECK ({column}::text = 'never') NOT VALID")
        )
    before = await counted(stage.parts)
    to = State.SEALED if breaks == "pgqueuer" else State.PARKED
    with pytest.raises(DBAPIError):
        await stage.parts.ledger.move(recording, to)
    assert await counted(stage.parts) == before
    assert await stage.look(recording) == recording


async def test_every_kind_of_fact_survives_the_shared_statement(stage: Stage) -> None:
    a, b = await bear(stage), await bear(stage)
    now = stage.clock.now()
    details = {"type": "rsa-aes", "encrypted_cek": 'a"b,{}\\', "iv": "ü"}

    def facts(n: int) -> dict[str, Any]:
        return {
            "blob_size_bytes": 2**40 + n,
            "blob_sha256": f"{n}" * 64,
            "blob_md5": None,
            "encryption_details": details | {"n": str(n)} if n else None,
            "is_external": bool(n),
            "retry_spent_s": 1.5 * n,
            "attempts": n,
            "next_attempt_at": now if n else None,
            "object_key": "a,b{}\"'",
            "error_code": 16111 if n else None,
        }

    moved = await asyncio.gather(*(stage.parts.ledger.move(r, State.SEALED, **facts(n)) for n, r in enumerate((a, b))))
    for n, recording in enumerate(moved):
        there = await stage.look(recording)
        assert there == recording
        assert {name: getattr(there, name) for name in facts(n)} == facts(n)


async def test_a_note_raises_no_fence_and_writes_no_line(stage: Stage) -> None:
    recording = await bear(stage)
    noted = await stage.parts.ledger.note(recording, upload_id="u")
    assert (noted.upload_id, noted.fence) == ("u", recording.fence)
    assert await stage.look(noted) == noted
    assert await stage.path_taken(noted) == ["spooled"]


async def test_lines_tell_who_moved_what_when_and_why(stage: Stage) -> None:
    recording = await bear(stage)
    await stage.parts.ledger.move(recording, State.PARKED, reason="because")
    first, second = await stage.parts.ledger.recordings.history(stage.account_sid, recording.sid)
    assert (first.from_state, first.to_state, first.fence, first.reason) == (None, "spooled", 1, None)
    assert (second.from_state, second.to_state, second.fence, second.reason) == ("spooled", "parked", 2, "because")
    assert second.at == stage.clock.now()
    assert second.worker == stage.parts.ledger.worker_id


async def test_an_event_is_owed_once_in_a_life(stage: Stage) -> None:
    ledger = stage.parts.ledger
    recording = await ledger.move(await bear(stage, callback=WISH), State.PARKED, error_code=16111)
    recording = await ledger.move(recording, State.SPOOLED, error_code=None)
    await ledger.move(recording, State.PARKED, error_code=16111)
    assert [e for e, _, _ in await stage.events(recording)] == ["in-progress", "failed"]


async def test_a_worker_that_carries_on_writes_no_job_for_itself(stage: Stage) -> None:
    recording = await bear(stage)
    before = (await counted(stage.parts))["pgqueuer"]
    await stage.parts.ledger.move(recording.changed(carried=True), State.SEALED)
    assert (await counted(stage.parts))["pgqueuer"] == before


# --- Births ----------------------------------------------------------------------------------------------------------


async def test_a_key_used_before_gives_the_first_answer_or_a_conflict(stage: Stage) -> None:
    first = await bear(stage, idempotency_key="k", request_hash="h")
    again = await stage.parts.ledger.bear(born(stage, idempotency_key="k", request_hash="h"))
    assert again == AlreadyBorn(first.sid)
    before = await counted(stage.parts)
    with pytest.raises(IdempotencyConflict):
        await stage.parts.ledger.bear(born(stage, idempotency_key="k", request_hash="other", callback=WISH))
    assert await counted(stage.parts) == before


async def test_births_under_one_key_at_once_make_one_recording(stage: Stage) -> None:
    births = [born(stage, idempotency_key="k", request_hash="h") for _ in range(10)]
    outcomes = await asyncio.gather(*(stage.parts.ledger.bear(b) for b in births))
    (one,) = [o for o in outcomes if isinstance(o, Recording)]
    assert {o for o in outcomes if isinstance(o, AlreadyBorn)} == {AlreadyBorn(one.sid)}
    assert (await counted(stage.parts))["recordings"] == 1


async def test_a_birth_of_nobodys_account_fails_alone(stage: Stage) -> None:
    births = [born(stage), born(stage, account_sid="AC" + "0" * 32), born(stage)]
    outcomes = await asyncio.gather(*(stage.parts.ledger.bear(b) for b in births), return_exceptions=True)
    assert [type(o) for o in outcomes if isinstance(o, Recording)] == [Recording, Recording]
    assert isinstance(outcomes[1], DBAPIError)
    assert (await counted(stage.parts))["recordings"] == 2


async def test_an_alert_of_a_birth_is_written_with_it(stage: Stage) -> None:
    alert = Alert(account_sid=stage.account_sid, code=13256, level="warning", text="x" * 2000, at=stage.clock.now())
    await bear(stage, alerts=(alert,))
    (there,) = await stage.parts.ledger.alerts.list(stage.account_sid)
    assert (there.code, len(there.text)) == (13256, 1000)


async def test_a_forgotten_recording_leaves_a_tombstone_in_the_same_transaction(stage: Stage) -> None:
    ledger = stage.parts.ledger
    recording = await ledger.move(await ledger.move(await bear(stage), State.FATAL), State.ERASED)
    with pytest.raises(Outrun):
        await ledger.purge(recording.changed(fence=99), reason="test")
    assert await ledger.recordings.buried([recording.sid]) == set()
    with pytest.raises(AssertionError, match="no arrow"):
        await ledger.purge(await bear(stage), reason="test")
    await ledger.purge(recording, reason="test")
    assert await ledger.recordings.buried([recording.sid]) == {recording.sid}
    assert await ledger.recordings.find(stage.account_sid, recording.sid) is None


async def test_another_account_sees_nothing(stage: Stage) -> None:
    p = stage.parts
    recording = await bear(stage, callback=WISH)
    other, _ = await open_account(
        "Other", parent=None, accounts=p.ledger.accounts, keyring=p.keyring, digest=p.digest, clock=p.clock
    )
    assert await p.ledger.recordings.find(other.sid, recording.sid) is None
    assert list(await p.ledger.recordings.history(other.sid, recording.sid)) == []
    assert list(await p.ledger.outbox.list_of(other.sid, recording.sid)) == []
