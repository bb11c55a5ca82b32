"""Who called whom: asked of the source behind the move, sealed here, and never in a move's way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from callreel.model.call import Call
from callreel.model.deed import OPERATOR
from callreel.model.moved_item import ItemState
from callreel.model.source import Source
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_faults import CALLS, fault
from callreel.rehearsal.twilio_shelf import TwilioRecording
from callreel.steps.keep_source import SourceWish, add_source, change_source
from callreel.steps.read_calls import fetch_call, find_calls_of_number
from callreel.worker.naming import name_due
from callreel.worker.polling import poll_due
from tests.migration.conftest import Move
from tests.stage import Stage, a_wav


class Town:
    """A source on a pretend Twilio, and the verbs of moving out of it and asking it for calls."""

    def __init__(self, stage: Stage, twilio: PretendTwilio, source: Source) -> None:
        self.stage, self.twilio, self.source, self.parts = stage, twilio, source, stage.parts
        self.over_there = twilio.accounts[source.twilio_account_sid]
        self._moving = Move(stage)

    def recorded(self, **facts: Any) -> TwilioRecording:
        self.stage.clock.advance(61)
        return self.twilio.add_recording(self.over_there, a_wav(seed=len(self.over_there.shelf)), **facts)

    async def moved(self, one: TwilioRecording) -> None:
        """Offered by the poller and taken as far as it goes."""
        self.stage.clock.advance(61)
        await poll_due(self.parts)
        await self.settled(one)

    async def settled(self, one: TwilioRecording) -> None:
        item = await self.parts.ledger.items.find_by_origin(self.source.sid, one.sid)
        assert item is not None
        self._moving.twilio = await self.parts.sources.open(self.source)  # type: ignore[assignment]
        assert (await self._moving.until_settled(item)).state is ItemState.LINK_CLEARED

    async def round(self) -> int:
        return await name_due(self.parts, asyncio.Event())

    async def call_of(self, one: TwilioRecording) -> Call:
        return await fetch_call(self.stage.account_sid, str(one.call_sid), logs=self.parts.logs)

    @property
    def asked(self) -> int:
        return self.twilio.seen[CALLS]


@pytest.fixture
async def town(stage: Stage) -> AsyncIterator[Town]:
    async with PretendTwilio(clock=stage.clock) as twilio:
        over_there, p = twilio.add_account(), stage.parts
        source = await add_source(
            stage.account_sid,
            over_there.sid,
            SourceWish(auth_token=over_there.auth_token),
            base_url=twilio.url,
            ledger=p.ledger,
            sources=p.sources,
            guard=p.guard,
            clock=p.clock,
            by=OPERATOR,
        )
        yield Town(stage, twilio, source)


async def test_a_moved_recording_is_found_by_the_number_that_called(town: Town) -> None:
    one = town.recorded()
    town.twilio.calls[str(one.call_sid)] = {"from": "+4930111", "to": "sip:desk@example.test", "direction": "inbound"}
    await town.moved(one)
    before = await town.call_of(one)
    assert (before.from_number, before.direction, before.start_time) == (None, None, one.start_time)
    assert await town.round() == 1
    call = await town.call_of(one)
    assert (call.from_number, call.to_number, call.direction) == ("+4930111", "sip:desk@example.test", "inbound")
    assert (call.start_time, call.end_time) == (one.start_time - timedelta(seconds=5), one.date_created)
    for number, found in (("+4930111", [call.sid]), ("sip:desk@example.test", [call.sid]), ("+493011", [])):
        assert await find_calls_of_number(town.stage.account_sid, number, most=10, logs=town.parts.logs) == found


async def test_numbers_are_nowhere_in_the_database_in_the_clear(town: Town) -> None:
    one = town.recorded()
    town.twilio.calls[str(one.call_sid)] = {"from": "+493011223344"}
    await town.moved(one)
    await town.round()
    async with town.parts.ledger.engine.connect() as connection:
        for table in ("calls", "recordings", "migration_items", "receipts", "audit"):
            for row in (await connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} AS t"))).scalars():
                assert "493011223344" not in row


async def test_a_move_asks_for_no_call_and_is_done_before(town: Town) -> None:
    one = town.recorded()
    await town.moved(one)
    assert town.asked == 0
    await town.round()
    assert town.asked == 1
    assert await town.round() == 0


async def test_two_recordings_of_a_call_ask_once(town: Town) -> None:
    first = town.recorded()
    await town.moved(first)
    second = town.recorded(call_sid=first.call_sid)
    await town.moved(second)
    await town.round()
    await town.moved(town.recorded(call_sid=first.call_sid))
    assert await town.round() == 0
    assert town.asked == 1
    assert (await town.call_of(second)).from_number is not None


async def test_a_day_of_recorded_calls_is_asked_for_as_a_list(town: Town) -> None:
    put = [town.recorded() for _ in range(30)]
    await town.moved(put[0])
    for one in put[1:]:
        await town.settled(one)
    for _ in range(3):
        await town.round()
    assert {(await town.call_of(one)).direction is None for one in put} == {False}
    assert town.asked <= 3  # a page for each day they lie on


async def test_a_call_the_source_does_not_know_stays_without_numbers(town: Town) -> None:
    gone, there = town.recorded(), town.recorded()
    town.twilio.calls[str(gone.call_sid)] = None
    await town.moved(gone)
    await town.moved(there)
    await town.round()
    assert (await town.call_of(gone)).from_number is None
    assert (await town.call_of(there)).from_number is not None
    town.stage.clock.advance(86_400)
    assert await town.round() == 0


@pytest.mark.parametrize("kind", ["internal-error", "html-200", "redirect", "reset"])
async def test_a_source_in_trouble_is_asked_later(town: Town, kind: str) -> None:
    one = town.recorded()
    await town.moved(one)
    town.twilio.faults.next(fault(kind), times=2, on=CALLS)  # aiohttp asks again by itself after a reset
    await town.round()
    assert await town.round() == 0
    town.stage.clock.advance(90)
    await town.round()
    town.stage.clock.advance(300)
    await town.round()
    assert (await town.call_of(one)).from_number is not None


async def test_a_credential_that_may_not_read_calls_is_given_up_in_the_end(town: Town) -> None:
    one = town.recorded()
    await town.moved(one)
    town.over_there.status = "suspended"
    for _ in range(10):
        town.stage.clock.advance(3700)
        await town.round()
    assert town.asked == 6
    assert not await town.parts.ledger.calls.is_asking(town.source.sid)
    assert (await town.call_of(one)).from_number is None


async def test_nobody_is_asked_where_that_is_switched_off_until_it_is_on(town: Town) -> None:
    p = town.parts

    async def switch(on: bool) -> None:
        town.source = await change_source(
            town.source,
            SourceWish(include_calls=on),
            ledger=p.ledger,
            sources=p.sources,
            clock=p.clock,
            by=OPERATOR,
        )

    await switch(False)
    one = town.recorded()
    await town.moved(one)
    assert await town.round() == 0
    assert not await p.ledger.calls.is_asking(town.source.sid)
    await switch(True)
    assert await p.ledger.calls.is_asking(town.source.sid)
    await town.round()
    assert (await town.call_of(one)).from_number is not None


async def test_a_call_log_deleted_meanwhile_stays_deleted(town: Town) -> None:
    one = town.recorded()
    await town.moved(one)
    await town.parts.ledger.calls.remove_all(town.stage.account_sid, [str(one.call_sid)], [])
    assert await town.round() == 0


async def test_odd_words_of_a_source_do_no_harm(town: Town) -> None:
    one = town.recorded()
    town.twilio.calls[str(one.call_sid)] = {
        "from": "\x1b[31m" + "9" * 999,
        "to": None,
        "status": "dreaming",
        "duration": "minus one",
        "start_time": None,
    }
    await town.moved(one)
    await town.round()
    call = await town.call_of(one)
    assert re.fullmatch(r" \[31m9{1,256}", str(call.from_number))
    assert (call.to_number, call.status, call.start_time) == (None, "completed", one.start_time)


async def test_another_accounts_call_of_the_same_sid_is_not_told(town: Town) -> None:
    one = town.recorded()
    await town.moved(one)
    await town.round()
    found = await town.parts.ledger.calls.which_are_unnamed(
        town.stage.account_sid, "SR" + "0" * 32, [str(one.call_sid)]
    )
    assert list(found) == []
