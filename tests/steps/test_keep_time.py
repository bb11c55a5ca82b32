"""While the wall clock is distrusted nothing goes because its time has come; a person's word or a sane day mends it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from callreel.errors import TimeDistrusted
from callreel.model.deed import OPERATOR, Action
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import FatalErrorPolicy
from callreel.rehearsal import s3_faults as faults
from callreel.steps.keep_time import keep_time
from callreel.steps.purge import KEYS_KEPT, purge
from callreel.steps.request_deletion import request_deletion
from callreel.worker import duties
from callreel.worker.duties import keep_watch
from tests.stage import Stage

FORTY_ONE_DAYS_S = 41 * 86400.0


async def beat(stage: Stage) -> bool:
    return (await keep_time(stage.parts.spool.host_id, ledger=stage.parts.ledger, clock=stage.clock)).is_whole


async def deleted(stage: Stage) -> Recording:
    recording = await stage.carry_until_settled(await stage.take_in())
    return await stage.carry(await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger))


async def one_round(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of the watch, as soon as it is asked for."""
    stopping = asyncio.Event()
    recovered = duties._recover

    async def and_stop(*args: Any, **options: Any) -> Any:
        stopping.set()
        return await recovered(*args, **options)

    monkeypatch.setattr(duties, "EVERY_S", 0.0)
    monkeypatch.setattr(duties, "_recover", and_stop)
    await keep_watch(stage.parts, stopping)
    monkeypatch.setattr(duties, "_recover", recovered)


async def test_after_a_jump_ahead_nothing_is_purged_until_a_person_confirms(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = await deleted(stage)
    assert await beat(stage)
    stage.clock.jump(FORTY_ONE_DAYS_S)
    await one_round(stage, monkeypatch)
    assert (await stage.look(recording)).state is State.DELETED
    deed = OPERATOR.deed(Action.CLOCK_CONFIRMED, None)
    assert await stage.parts.ledger.heartbeats.confirm(deed, now=stage.clock.now()) == 1
    assert await stage.parts.ledger.heartbeats.confirm(deed, now=stage.clock.now()) == 0
    await one_round(stage, monkeypatch)
    assert await stage.parts.ledger.recordings.find_for_work(recording.sid) is None
    assert [row.action async for row in stage.parts.ledger.audit.read_chain("installation")] == ["clock.confirmed"]


async def test_without_a_jump_time_may_pass(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await deleted(stage)
    assert await beat(stage)
    stage.clock.advance(FORTY_ONE_DAYS_S)
    await one_round(stage, monkeypatch)
    assert await stage.parts.ledger.recordings.find_for_work(recording.sid) is None


async def test_a_sane_day_mends_it(stage: Stage) -> None:
    assert await beat(stage)
    stage.clock.jump(-3600)
    assert not await beat(stage)
    stage.clock.advance(86_000)
    assert not await beat(stage)
    stage.clock.advance(401)
    assert await beat(stage)


async def test_a_refused_recording_is_not_erased_meanwhile(stage: Stage) -> None:
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    recording = await stage.carry(await stage.take_in())
    assert await beat(stage)
    stage.clock.jump(86400)
    await beat(stage)
    with pytest.raises(TimeDistrusted):
        await stage.carry_until_settled(recording)
    recording = await stage.look(recording)
    assert recording.state is State.FATAL
    assert stage.parts.spool.path_of(recording.sid).exists()
    await stage.parts.ledger.heartbeats.confirm(OPERATOR.deed(Action.CLOCK_CONFIRMED, None), now=stage.clock.now())
    assert (await stage.carry(recording)).state is State.ERASED


async def test_idempotency_keys_are_kept_for_a_week(stage: Stage) -> None:
    first = await stage.take_in(idempotency_key="key")
    stage.clock.advance(KEYS_KEPT.total_seconds())
    await purge(ledger=stage.parts.ledger, clock=stage.clock)
    assert (await stage.take_in(idempotency_key="key")).sid == first.sid
    stage.clock.advance(timedelta(seconds=1).total_seconds())
    await purge(ledger=stage.parts.ledger, clock=stage.clock)
    assert (await stage.take_in(idempotency_key="key")).sid != first.sid
    async with stage.parts.ledger.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM idempotency_keys"))).scalar_one() == 1
