"""The worker over the real queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import text

from callreel.bucket.traffic import QUICK_S
from callreel.ledger.jobs import JobRow, route_of
from callreel.model.recording import Recording, State
from callreel.model.sid import mint_sid
from callreel.rehearsal import s3_faults as faults
from callreel.rehearsal.black_hole import black_hole
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey
from callreel.steps.open_account import open_account
from callreel.worker import duties
from callreel.worker.duties import keep_watch, recover_at_start
from callreel.worker.turns import Turns
from callreel.worker.worker import Worker
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import Stage, a_wav

LIMIT_S = 60


@asynccontextmanager
async def at_work(stage: Stage) -> AsyncIterator[Worker]:
    worker = Worker(stage.parts)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            yield worker
            worker.stop()
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so, and let everybody else have their turn in between."""
    while not await condition():
        await asyncio.sleep(0)


async def is_so(what: bool) -> bool:
    return what


async def all_are(stage: Stage, recordings: list[Recording], state: State) -> bool:
    async with stage.parts.ledger.engine.connect() as connection:
        there = await connection.execute(
            text("SELECT count(*) FROM recordings WHERE sid = ANY(:sids) AND state = :state"),
            {"sids": [r.sid for r in recordings], "state": state},
        )
        return there.scalar_one() == len(recordings)


async def queued(stage: Stage) -> list[tuple[str, str]]:
    async with stage.parts.ledger.engine.connect() as connection:
        rows = await connection.execute(text("SELECT payload, status::text FROM pgqueuer ORDER BY id"))
        return [(bytes(row[0]).decode(), row[1]) for row in rows]


async def nothing_queued(stage: Stage) -> bool:
    return not await queued(stage)


async def test_recordings_are_carried_from_the_queue_to_the_bucket(stage: Stage) -> None:
    made = [await stage.take_in(a_wav(seed=n)) for n in range(10)]
    async with at_work(stage):
        made += [await stage.take_in(a_wav(seed=10 + n)) for n in range(10)]
        await until(lambda: all_are(stage, made, State.RELEASED))
        await until(lambda: nothing_queued(stage))
    assert list(stage.s3.seen).count("PutObject") == 20
    assert stage.spooled() == []


async def test_a_job_that_finds_the_recording_elsewhere_ends_quietly(stage: Stage) -> None:
    released = await stage.carry(await stage.take_in())
    parked = await stage.parts.ledger.move(await stage.take_in(), State.PARKED)
    host = stage.parts.spool.host_id
    await stage.parts.ledger.remind(
        [
            JobRow(route_of(step, host), sid)
            for step in ("seal", "deliver", "release", "erase", "delete")
            for sid in (released.sid, parked.sid, mint_sid("RE"), "nonsense")
        ]
    )
    async with at_work(stage):
        await until(lambda: nothing_queued(stage))
    assert [await stage.look(r) for r in (released, parked)] == [released, parked]
    assert list(stage.s3.seen).count("PutObject") == 1


async def test_a_job_for_later_is_not_run_early(stage: Stage) -> None:
    stage.s3.faults.next(faults.slow_down(retry_after_s=200))
    waiting = await stage.take_in()
    async with at_work(stage):
        await until(lambda: all_are(stage, [waiting], State.WAITING))
        other = await stage.take_in()
        await until(lambda: all_are(stage, [other], State.RELEASED))

        async def only_later() -> bool:
            return await queued(stage) == [(waiting.sid, "queued")]

        await until(only_later)
    assert (await stage.look(waiting)).attempts == 1


async def test_stopping_finishes_what_is_under_way_and_takes_nothing_more(stage: Stage) -> None:
    stage.s3.faults.next(faults.stall())
    first = await stage.take_in()
    worker = Worker(stage.parts)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(LIMIT_S):
        await stage.s3.faults.stalled.wait()
        worker.stop()
        second = await stage.take_in()
        assert not running.done()
        stage.s3.faults.release()
        await running
    assert (await stage.look(first)).state is State.RELEASED
    assert (await stage.look(second)).state is State.SPOOLED


async def test_a_stop_that_comes_before_the_start_is_heard(stage: Stage) -> None:
    worker = Worker(stage.parts)
    worker.stop()
    async with asyncio.timeout(LIMIT_S):
        await worker.run()


async def test_jobs_of_a_worker_that_died_are_taken_over_at_start(stage: Stage) -> None:
    fresh, lost = await stage.take_in(), await stage.sealed()
    await stage.parts.ledger.move(lost, State.UPLOADING, attempts=1)
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(
            text("UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(), heartbeat = now()")
        )
    done = await recover_at_start(stage.parts)
    assert done.taken_back == [lost.sid]
    async with at_work(stage):
        await until(lambda: all_are(stage, [fresh, lost], State.RELEASED))


async def test_two_jobs_about_one_recording_make_one_upload(stage: Stage) -> None:
    recording = await stage.take_in()
    await stage.parts.ledger.remind([JobRow(route_of("deliver", stage.parts.spool.host_id), recording.sid)] * 5)
    async with at_work(stage):
        await until(lambda: nothing_queued(stage))
    assert (await stage.look(recording)).state is State.RELEASED
    assert list(stage.s3.seen).count("PutObject") == 1


async def test_a_recording_nothing_can_be_done_for_does_not_hold_up_the_others(stage: Stage) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    stuck = await stage.take_in(trim_silence=True)
    await stage.choose(aws_storage_enabled=False)
    others = [await stage.take_in() for _ in range(5)]
    stage.parts.keyring = Keyring(MasterKey(b"x" * 32))
    async with at_work(stage):
        await until(lambda: all_are(stage, others, State.RELEASED))
        await until(lambda: nothing_queued(stage))
    assert (await stage.look(stuck)).state is State.PARKED
    assert stage.spooled() == [stuck.sid]


# --- Callbacks beside deliveries -------------------------------------------------------------------------------------


class Receiver:
    """Answers when it is let; counts what came."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.told: list[str] = []
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        form = await request.post()
        self.told.append(f"{form['RecordingSid']} {form['RecordingStatus']}")
        await self.open.wait()
        return web.Response(status=204)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/cb"
    try:
        yield receiver
    finally:
        receiver.open.set()
        await runner.cleanup()


async def test_a_dead_receiver_delays_no_delivery_and_no_other_receiver(stage: Stage) -> None:
    async with receiving() as dead, receiving() as living:
        living.open.set()
        made = [await stage.take_in(callback=dead.url, events="in-progress completed") for _ in range(140)]
        made.append(await stage.take_in(callback=living.url, events="completed"))

        async def told() -> bool:
            return [state for _, _, state in await stage.events(made[-1])] == ["sent"]

        async with at_work(stage):
            try:
                await until(lambda: all_are(stage, made, State.RELEASED))
                await until(told)
                assert dead.told
                assert {state for r in made[:-1] for _, _, state in await stage.events(r)} == {"due"}
            finally:
                dead.open.set()


async def test_each_event_is_sent_once_and_in_order_although_each_has_its_job(stage: Stage) -> None:
    async with receiving() as receiver:
        receiver.open.set()
        made = [await stage.take_in(callback=receiver.url, events="in-progress completed") for _ in range(6)]

        async def all_told() -> bool:
            return await nothing_queued(stage) and len(receiver.told) >= 12

        async with at_work(stage):
            await until(all_told)
        for recording in made:
            of_it = [told.split()[1] for told in receiver.told if told.startswith(recording.sid)]
            assert of_it == ["in-progress", "completed"]


# --- Turns and duties ------------------------------------------------------------------------------------------------


async def test_one_name_has_one_turn_at_a_time_and_is_forgotten_afterwards() -> None:
    turns, inside, most = Turns(), 0, 0
    order: list[int] = []

    async def take(number: int, name: str) -> None:
        nonlocal inside, most
        async with turns.of(name):
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(take(n, "a") for n in range(5)))
    assert (most, order) == (1, [0, 1, 2, 3, 4])
    most = 0
    await asyncio.gather(*(take(n, str(n)) for n in range(5)))
    assert most == 5
    assert turns._locks == {}


async def test_a_turn_that_is_given_up_while_waiting_is_passed_on() -> None:
    turns = Turns()
    async with turns.of("a"):
        waiting = asyncio.create_task(_take(turns))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), turns.of("a"):
        pass
    assert turns._locks == {}


async def _take(turns: Turns) -> None:
    async with turns.of("a"):
        raise AssertionError("it was not its turn")


async def test_the_watch_recovers_and_purges_and_stops_when_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "EVERY_S", 0.0)
    recording = await stage.take_in()
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("DELETE FROM pgqueuer"))
    stopping = asyncio.Event()
    watch = asyncio.create_task(keep_watch(stage.parts, stopping))

    async def reminded() -> bool:
        return [sid for sid, _ in await queued(stage)] == [recording.sid]

    async with asyncio.timeout(LIMIT_S):
        await until(reminded)
        stopping.set()
        await watch


async def test_a_duty_that_fails_does_not_end_the_watch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    stopping = asyncio.Event()

    async def fail(*_: Any, **__: Any) -> None:
        tries.append(1)
        if len(tries) == 3:
            stopping.set()
        raise RuntimeError("no")

    monkeypatch.setattr(duties, "EVERY_S", 0.0)
    monkeypatch.setattr(duties, "_recover", fail)
    async with asyncio.timeout(LIMIT_S):
        await keep_watch(stage.parts, stopping)
    assert len(tries) == 3


async def test_a_bucket_that_never_answers_holds_up_nobody_else(stage: Stage) -> None:
    parts = stage.parts
    parts.chosen = replace(parts.chosen, delivery_concurrency=4)
    account = await open_account(
        "Hole",
        parent=None,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
    )
    broken = Stage(parts, stage.clock, *account, stage.s3)
    broken.credential_sid = await broken.keep_key()
    async with at_work(stage) as worker, black_hole() as hole:
        await broken.choose(aws_s3_url=f"{hole.url}/bucket")
        stuck = [await broken.take_in() for _ in range(70)]  # more than the worker takes at once
        await until(lambda: is_so(hole.taken >= 4))
        made = [await stage.take_in(a_wav(seed=n)) for n in range(10)]
        stage.clock.advance(QUICK_S + 1)
        await until(lambda: all_are(stage, made, State.RELEASED))
        assert [await stage.look(one) for one in stuck if (await stage.look(one)).attempts > 1] == []
        worker.stop()
    assert len(broken.spooled()) == len(stuck)
