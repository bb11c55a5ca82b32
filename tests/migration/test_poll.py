"""The poller: new recordings and no others, each once, none missed, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from callreel.clock import SetClock
from callreel.migration.offer import offer
from callreel.model.account import Account
from callreel.model.deed import OPERATOR, Action
from callreel.model.source import Source
from callreel.parts import Parts
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_faults import LIST, fault
from callreel.rehearsal.twilio_sign_in import PretendAccount
from callreel.steps.keep_source import SourceWish, add_source
from callreel.worker.polling import poll_due

HOUR_S = 3600.0


@pytest.fixture
async def twilio(clock: SetClock) -> AsyncIterator[PretendTwilio]:
    async with PretendTwilio(clock=clock) as server:
        yield server


@pytest.fixture
def over_there(twilio: PretendTwilio) -> PretendAccount:
    return twilio.add_account()


async def add(
    parts: Parts, account: tuple[Account, str], over_there: PretendAccount, url: str, **wish: object
) -> Source:
    return await add_source(
        account[0].sid,
        over_there.sid,
        SourceWish(auth_token=over_there.auth_token, **wish),  # type: ignore[arg-type]
        base_url=url,
        ledger=parts.ledger,
        sources=parts.sources,
        guard=parts.guard,
        clock=parts.clock,
        by=OPERATOR,
    )


@pytest.fixture
async def source(
    parts: Parts, account: tuple[Account, str], twilio: PretendTwilio, over_there: PretendAccount
) -> Source:
    return await add(parts, account, over_there, twilio.url)


async def offered(parts: Parts, source: Source) -> dict[str, str]:
    """What waits to be moved: SID over there → what it is kept as here."""
    due = await parts.ledger.items.list_due(source.sid, host_id=parts.spool.host_id, limit=1000)
    return {one.origin.sid: one.kept_source for one in due}


async def again(parts: Parts, clock: SetClock, seconds: float = 61) -> int:
    clock.advance(seconds)
    return await poll_due(parts)


async def look(parts: Parts, source: Source) -> Source:
    return await parts.ledger.sources.fetch(source.account_sid, source.sid)


async def test_new_recordings_are_offered_and_older_ones_are_not(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    twilio.add_recording(over_there, created=clock.now() - timedelta(hours=1))
    same_second = twilio.add_recording(over_there)
    assert await poll_due(parts) == 1
    assert set(await offered(parts, source)) == {same_second.sid}
    clock.advance(30)
    later = twilio.add_recording(over_there)
    assert await poll_due(parts) == 0
    assert await again(parts, clock) == 1
    assert set(await offered(parts, source)) == {same_second.sid, later.sid}


async def test_a_recording_both_ways_report_moves_once(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount
) -> None:
    twilio.add_recording(over_there)
    (listed,) = (await (await parts.sources.open(source)).list_page(over_there.sid)).recordings
    assert await offer(source, [listed], ledger=parts.ledger, spool=parts.spool) == 1
    await poll_due(parts)
    assert await offer(source, [listed], ledger=parts.ledger, spool=parts.spool) == 0
    assert len(await offered(parts, source)) == 1


async def test_one_that_is_not_ready_holds_the_mark_until_it_is(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    long_call = twilio.add_recording(over_there, ready_at=clock.now() + timedelta(hours=5))
    for _ in range(5):
        await again(parts, clock, HOUR_S)
        clock.advance(-1)
    assert await offered(parts, source) == {}
    await again(parts, clock, HOUR_S)
    assert set(await offered(parts, source)) == {long_call.sid}
    mark = (await look(parts, source)).polled_to
    assert mark == clock.now()


async def test_one_that_never_becomes_ready_holds_nobody_up_for_ever(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    twilio.add_recording(over_there, status="paused")
    await again(parts, clock, 72 * HOUR_S)
    mark = (await look(parts, source)).polled_to
    assert mark == clock.now() - timedelta(hours=48)


async def test_one_that_shows_up_late_is_not_missed(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    await again(parts, clock)
    late = twilio.add_recording(over_there, created=clock.now() - timedelta(seconds=50))
    await again(parts, clock)
    assert set(await offered(parts, source)) == {late.sid}


async def test_a_source_that_does_not_answer_is_told_and_nothing_is_skipped(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    one = twilio.add_recording(over_there)
    for kind in ("html-200", "bare-503", "redirect", "garbage"):
        twilio.faults.next(fault(kind), times=2, on=LIST)
        await again(parts, clock)
        twilio.faults.clear()
        told = await look(parts, source)
        assert told.last_error
        assert told.polled_to is None
    await again(parts, clock)
    assert (await look(parts, source)).last_error is None
    assert set(await offered(parts, source)) == {one.sid}


async def test_a_revoked_token_is_told_and_asked_for_rarely(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    over_there.auth_token = "rotated"
    await poll_due(parts)
    assert "20003" in ((await look(parts, source)).last_error or "")
    assert await again(parts, clock) == 0
    assert await again(parts, clock, 900) == 1


async def test_what_a_listing_offers_half_way_is_kept_when_the_rest_fails(
    parts: Parts, source: Source, twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    clock.advance(10 * HOUR_S)
    for minutes in range(3):
        twilio.add_recording(over_there, created=clock.now() - timedelta(minutes=minutes))
    pages: list[object] = []
    account = await parts.sources.open(source)
    whole = account.list_page

    async def one_a_page(account_sid: str, **asked: object) -> object:
        pages.append(asked)
        if len(pages) == 2:
            twilio.faults.next(fault("html-200"), times=2, on=LIST)
        return await whole(account_sid, **asked, page_size=1)  # type: ignore[arg-type]

    account.list_page = one_a_page  # type: ignore[method-assign, assignment]

    async def opened(_: Source) -> object:
        return account

    parts.sources.open = opened  # type: ignore[method-assign, assignment]
    await poll_due(parts)
    assert len(await offered(parts, source)) == 1
    twilio.faults.clear()
    await again(parts, clock)
    assert len(await offered(parts, source)) == 3


async def test_subaccounts_are_polled_where_they_are_included(
    parts: Parts, account: tuple[Account, str], twilio: PretendTwilio, over_there: PretendAccount
) -> None:
    below = twilio.add_account(owner=over_there.sid)
    source = await add(parts, account, over_there, twilio.url, include_subaccounts=True)
    made = {twilio.add_recording(one).sid for one in (over_there, below)}
    await poll_due(parts)
    assert set(await offered(parts, source)) == made


async def test_what_the_record_verb_made_is_a_voicemail_where_that_was_chosen(
    parts: Parts, account: tuple[Account, str], twilio: PretendTwilio, over_there: PretendAccount
) -> None:
    source = await add(parts, account, over_there, twilio.url, record_verb_is_voicemail=True)
    mail = twilio.add_recording(over_there, source="RecordVerb")
    talk = twilio.add_recording(over_there, source="DialVerb")
    await poll_due(parts)
    assert await offered(parts, source) == {mail.sid: "Voicemail", talk.sid: "DialVerb"}


async def test_zero_seconds_is_never(
    parts: Parts, account: tuple[Account, str], twilio: PretendTwilio, over_there: PretendAccount, clock: SetClock
) -> None:
    await add(parts, account, over_there, twilio.url, poll_seconds=0)
    assert await again(parts, clock, 10 * HOUR_S) == 0
    assert twilio.seen[LIST] == 0


async def test_two_workers_share_the_turns(parts: Parts, source: Source) -> None:
    assert sum(await asyncio.gather(poll_due(parts), poll_due(parts), poll_due(parts))) == 1


async def test_a_poll_that_died_is_begun_anew(parts: Parts, source: Source, clock: SetClock) -> None:
    assert await parts.ledger.sources.claim_due(now=clock.now())
    assert await again(parts, clock, 60) == 0
    assert await again(parts, clock, 61) == 1


async def test_a_source_removed_while_it_is_polled_leaves_nothing_behind(
    parts: Parts, source: Source, clock: SetClock
) -> None:
    (claimed,) = await parts.ledger.sources.claim_due(now=clock.now())
    deed = OPERATOR.deed(Action.SOURCE_REMOVED, source.account_sid, source.sid)
    await parts.ledger.sources.remove(source.account_sid, source.sid, deed=deed, now=clock.now())
    await parts.ledger.sources.note_poll(claimed, polled_to=clock.now(), last_error=None, next_poll_at=clock.now())
    assert await parts.ledger.sources.find_for_work(source.sid) is None
