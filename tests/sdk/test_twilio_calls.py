"""Calls and conferences by the official `twilio` package, unmodified. It blocks, so it works in a thread."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callreel.clock import SetClock
from tests.web.conftest import CALL, UNKNOWN, Record

CONFERENCE = "CF" + "2" * 32
OTHER = "CA" + "3" * 32
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
inside = asyncio.to_thread


@pytest.fixture
async def two_calls(recorded: Record, clock: SetClock) -> None:
    """One call of a minute ago, from a number to another; another call, a day later, the other way."""
    await recorded(
        query=f"?CallSid={CALL}&ConferenceSid={CONFERENCE}&From=%2B15550100&To=%2B15550199&Direction=inbound"
    )
    clock.jump(86_400)
    await recorded(query=f"?CallSid={OTHER}&From=%2B15550199&To=%2B15550100")


def refused(action: Any, *words: Any, **more: Any) -> tuple[int, int]:
    with pytest.raises(TwilioRestException) as why:
        action(*words, **more)
    return why.value.status, why.value.code


async def test_calls_are_listed_by_every_filter(sdk: Client, two_calls: None) -> None:
    def found(**filters: Any) -> list[str]:
        return [call.sid for call in sdk.calls.list(page_size=1, **filters)]

    def talk() -> None:
        assert found() == [OTHER, CALL]
        assert found(from_="+15550100") == found(to="+15550199") == [CALL]
        assert found(from_="+15550100", to="+15550100") == []
        assert found(status="completed") == [OTHER, CALL]
        assert found(status="busy") == []
        assert found(parent_call_sid=CALL) == []
        assert found(start_time=NOON) == found(start_time_before=NOON + timedelta(hours=1)) == [CALL]
        assert found(start_time_after=NOON + timedelta(hours=1)) == [OTHER]
        assert found(end_time_after=NOON - timedelta(hours=1), end_time_before=NOON + timedelta(hours=1)) == [CALL]

    await inside(talk)


async def test_a_call_is_fetched_and_its_log_deleted(sdk: Client, two_calls: None) -> None:
    def talk() -> None:
        call = sdk.calls(CALL).fetch()
        assert (call._from, call.to, call.direction, call.status) == ("+15550100", "+15550199", "inbound", "completed")
        assert (call.duration, call.end_time, call.parent_call_sid) == ("2", NOON, None)
        assert sdk.calls(CALL).delete() is True
        assert refused(sdk.calls(CALL).fetch) == (404, 20404)
        assert len(sdk.recordings.list(call_sid=CALL)) == 1

    await inside(talk)


async def test_nothing_live_can_be_asked_of_a_call_that_is_over(sdk: Client, two_calls: None) -> None:
    def talk() -> None:
        of_call = sdk.calls(CALL).recordings
        assert refused(of_call.create, recording_channels="dual", trim="do-not-trim") == (400, 21220)
        assert refused(of_call("Twilio.CURRENT").update, status="paused", pause_behavior="skip") == (400, 21220)
        assert refused(sdk.calls(f"CA{UNKNOWN}").recordings.create) == (404, 20404)
        assert refused(sdk.calls(CALL).update, status="completed")[0] == 400
        assert refused(sdk.calls.create, to="+1", from_="+2", url="http://x.example") == (403, 20403)
        of_conference = sdk.conferences(CONFERENCE).recordings
        assert refused(of_conference("Twilio.CURRENT").update, status="paused") == (400, 21220)
        assert refused(sdk.conferences(CONFERENCE).update, status="completed") == (400, 21220)

    await inside(talk)


async def test_conferences_are_listed_and_fetched(sdk: Client, two_calls: None) -> None:
    def talk() -> None:
        assert [conference.sid for conference in sdk.conferences.list()] == [CONFERENCE]
        assert sdk.conferences.list(status="in-progress") == sdk.conferences.list(friendly_name="standup") == []
        assert len(sdk.conferences.list(date_created=NOON.date(), date_updated_before=NOON.date() + timedelta(1))) == 1
        assert sdk.conferences.list(date_created_after=NOON.date() + timedelta(1)) == []
        conference = sdk.conferences(CONFERENCE).fetch()
        assert (conference.status, conference.date_created) == ("completed", NOON)
        assert sdk.conferences(CONFERENCE).participants.list() == []
        assert refused(sdk.conferences(f"CF{UNKNOWN}").fetch) == (404, 20404)

    await inside(talk)


async def test_the_lists_behind_a_recording_are_empty(sdk: Client, two_calls: None) -> None:
    def talk() -> None:
        recording = sdk.recordings(sdk.recordings.list(limit=1)[0].sid)
        assert recording.transcriptions.list() == recording.add_on_results.list() == []

    await inside(talk)
