"""Callbacks: in order, at least once, with the same token, and given up in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from sqlalchemy import text

from callreel.model.patience import CAP_S, WINDOW_S
from callreel.model.recording import Recording, State
from callreel.rehearsal import s3_faults as faults
from callreel.worker.routes import tell
from tests.stage import Stage

ALL_EVENTS = "in-progress completed absent failed"


class Receiver:
    """A customer's server: notes what came, answers with these statuses in turn (the last one stays)."""

    def __init__(self) -> None:
        self.statuses = [204]
        self.told: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.hold: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(body)
        status = self.statuses[min(len(self.told), len(self.statuses) - 1)]
        self.told.append(
            (dict(parse_qsl(body.decode()))["RecordingStatus"], request.headers["I-Twilio-Idempotency-Token"])
        )
        self.reached.set()
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=status)

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/cb"
    yield receiver
    await runner.cleanup()


def nobody_waits() -> bool:
    return False


async def notify(stage: Stage, recording: Recording, *, is_crowded: Callable[[], bool] = nobody_waits) -> None:
    await tell(recording.sid, parts=stage.parts, is_crowded=is_crowded)


async def delivered(stage: Stage, receiver: Receiver, **intake: str) -> Recording:
    return await stage.carry(await stage.take_in(callback=receiver.url, **({"events": ALL_EVENTS} | intake)))


async def reminders(stage: Stage) -> int:
    async with stage.parts.ledger.engine.connect() as connection:
        return int(
            (await connection.execute(text("SELECT count(*) FROM pgqueuer WHERE entrypoint='notify'"))).scalar_one()
        )


async def test_events_are_told_in_order_and_once(stage: Stage, receiver: Receiver) -> None:
    recording = await delivered(stage, receiver)
    await notify(stage, recording)
    await notify(stage, recording)
    assert receiver.events == ["in-progress", "completed"]
    assert await stage.events(recording) == [("in-progress", "0", "sent"), ("completed", "0", "sent")]


async def test_only_what_was_asked_for_is_told(stage: Stage, receiver: Receiver) -> None:
    await notify(stage, await delivered(stage, receiver, events="completed"))
    assert receiver.events == ["completed"]
    told = dict(parse_qsl(receiver.bodies[0].decode()))
    assert told["RecordingUrl"].startswith(stage.s3.url)


async def test_a_sip_trunking_recording_has_no_callbacks(stage: Stage, receiver: Receiver) -> None:
    recording = await delivered(stage, receiver, source="Trunking")
    await notify(stage, recording)
    assert receiver.events == []
    assert await stage.events(recording) == []


async def test_a_failure_is_told_with_its_code(stage: Stage, receiver: Receiver) -> None:
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    recording = await stage.take_in(callback=receiver.url, events="failed")
    await notify(stage, await stage.carry_until_settled(recording))
    assert dict(parse_qsl(receiver.bodies[0].decode()))["ErrorCode"] == "16112"


async def test_an_event_that_waits_keeps_those_behind_it_waiting(stage: Stage, receiver: Receiver) -> None:
    receiver.statuses = [500, 204]
    recording = await delivered(stage, receiver)
    before = await reminders(stage)
    await notify(stage, recording)
    assert receiver.events == ["in-progress"]
    assert await reminders(stage) == before + 1
    first, second = await stage.parts.ledger.outbox.list_due(recording.sid)
    assert first.next_attempt_at is not None
    assert timedelta() <= first.next_attempt_at - stage.clock.now() <= timedelta(seconds=CAP_S)
    assert (first.attempts, second.attempts) == (1, 0)
    await notify(stage, recording)
    assert receiver.events == ["in-progress"]
    stage.clock.advance(CAP_S)
    await notify(stage, recording)
    assert receiver.events == ["in-progress", "in-progress", "completed"]
    assert receiver.told[0][1] == receiver.told[1][1] != receiver.told[2][1]
    assert receiver.bodies[0] == receiver.bodies[1]
    assert await stage.alerts(recording) == [11200]


async def test_what_the_receiver_refuses_for_good_is_given_up_and_the_next_is_told(
    stage: Stage, receiver: Receiver
) -> None:
    receiver.statuses = [404, 204]
    recording = await delivered(stage, receiver)
    await notify(stage, recording)
    assert receiver.events == ["in-progress", "completed"]
    assert await stage.events(recording) == [("in-progress", "0", "failed"), ("completed", "0", "sent")]
    assert await stage.alerts(recording) == [11200]


async def test_after_two_hours_an_event_is_given_up(stage: Stage, receiver: Receiver) -> None:
    receiver.statuses = [503]
    recording = await delivered(stage, receiver, events="completed")
    began = stage.clock.now()
    while due := await stage.parts.ledger.outbox.list_due(recording.sid):
        if due[0].next_attempt_at is not None:
            stage.clock.advance((due[0].next_attempt_at - stage.clock.now()).total_seconds())
        await notify(stage, recording)
    assert timedelta(seconds=WINDOW_S) <= stage.clock.now() - began <= timedelta(seconds=WINDOW_S + CAP_S)
    assert await stage.events(recording) == [("completed", "0", "failed")]
    assert len({token for _, token in receiver.told}) == 1


async def test_a_malformed_url_is_given_up_at_once(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in(callback="http://user@r.example.com/"))
    await notify(stage, recording)
    assert await stage.events(recording) == [("completed", "0", "failed")]
    assert await stage.alerts(recording) == [13256]


async def test_a_busy_receiver_is_put_off_only_while_others_wait(stage: Stage, receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    made = [await delivered(stage, receiver, events="completed") for _ in range(5)]
    telling = [asyncio.create_task(notify(stage, recording)) for recording in made[:4]]
    while len(receiver.told) < 4:
        receiver.reached.clear()
        await receiver.reached.wait()
    await notify(stage, made[4], is_crowded=lambda: True)
    (put_off,) = await stage.parts.ledger.outbox.list_due(made[4].sid)
    assert (put_off.attempts, put_off.retry_spent_s) == (0, 0.0)
    assert put_off.next_attempt_at is not None
    assert timedelta(seconds=1) <= put_off.next_attempt_at - stage.clock.now() <= timedelta(seconds=10)
    receiver.hold.set()
    await asyncio.gather(*telling)
    stage.clock.advance(10)
    await notify(stage, made[4], is_crowded=lambda: True)
    assert len(receiver.told) == 5


async def test_a_receiver_that_stalls_does_not_touch_the_delivery(stage: Stage, receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    recording = await stage.take_in(callback=receiver.url, events=ALL_EVENTS)
    telling = asyncio.create_task(notify(stage, recording))
    await receiver.reached.wait()
    assert (await stage.carry(recording)).state is State.RELEASED
    receiver.hold.set()
    await telling
