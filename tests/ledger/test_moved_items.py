"""Items of a source: each once whoever lists it, counted in the transaction that moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from callreel.clock import SetClock
from callreel.errors import MigrationRunning, Outrun, StateConflict
from callreel.ledger.item_intake import MOVE
from callreel.ledger.jobs import live_subjects, route_of
from callreel.ledger.ledger import Ledger
from callreel.model.account import Account
from callreel.model.deletion_settings import DeletionSettings
from callreel.model.migration import Migration, MigrationStatus
from callreel.model.moved_item import ItemState, MovedItem, Reason
from callreel.model.recording import State
from callreel.model.sid import RecordingSid, SourceSid, mint_sid
from callreel.model.source import Source, SourcePage, SourceRecording
from callreel.parts import Parts
from tests.recordings import a_recording

MADE = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "a" * 12


def listed(number: int, **facts: object) -> SourceRecording:
    return SourceRecording(
        sid=f"RE{number:032x}",
        account_sid="AC" + "e" * 32,
        date_created=MADE + timedelta(seconds=number),
        duration_s=3,
        **facts,  # type: ignore[arg-type]
    )


@pytest.fixture
def source(account: tuple[Account, str], clock: SetClock) -> Source:
    return Source(
        sid=SourceSid(mint_sid("SR")),
        account_sid=account[0].sid,
        friendly_name="old",
        twilio_account_sid="AC" + "e" * 32,
        date_created=clock.now(),
        date_updated=clock.now(),
    )


@pytest.fixture
def ledger(parts: Parts) -> Ledger:
    return parts.ledger


async def offered(ledger: Ledger, source: Source, *numbers: int) -> int:
    return await ledger.items.offer(source, [listed(n) for n in numbers], host_id=HOST, kept_sources={})


async def started(ledger: Ledger, source: Source) -> Migration:
    return await ledger.migrations.start(source, host_id=HOST, created_after=None, created_before=None)


async def read_whole(ledger: Ledger, source: Source, migration: Migration, *pages: list[int]) -> Migration:
    """The list read until it stands still: every page, then a pass that finds nothing new."""
    while not migration.is_listed:
        for at, numbers in enumerate(pages, 1):
            onward = f"page-{at}" if at < len(pages) else None
            page = SourcePage(tuple(listed(n) for n in numbers), onward)
            migration = await ledger.migrations.keep_page(migration, source, page)
    return migration


async def due(ledger: Ledger, source: Source) -> list[MovedItem]:
    return list(await ledger.items.list_due(source.sid, HOST, limit=100))


async def settled(ledger: Ledger, item: MovedItem, *, to: ItemState) -> MovedItem:
    item = await ledger.items.move(item, ItemState.FETCHED, media_size_bytes=100, media_sha256="00")
    item = await ledger.items.move(item, ItemState.DELETE_INTENT, next_attempt_at=None)
    return await ledger.items.move(item, to, source_link=None) if item.state is ItemState.DELETE_INTENT else item


async def test_a_recording_reported_twice_is_one_item(ledger: Ledger, source: Source) -> None:
    assert await offered(ledger, source, 1, 2, 2) == 2
    assert await offered(ledger, source, 2, 3) == 1
    assert [item.source_recording_sid for item in await due(ledger, source)] == [listed(n).sid for n in (1, 2, 3)]
    async with ledger.engine.connect() as connection:
        assert await live_subjects(connection, [route_of(MOVE, HOST)]) == {source.sid}


async def test_an_item_keeps_its_name_where_it_is_free(ledger: Ledger, source: Source) -> None:
    await offered(ledger, source, 1)
    (item,) = await due(ledger, source)
    assert item.recording_sid == item.source_recording_sid == listed(1).sid
    assert item.source_link == f"https://api.twilio.com/2010-04-01/Accounts/AC{'e' * 32}/Recordings/{listed(1).sid}"


async def test_a_taken_name_is_left_to_its_owner(ledger: Ledger, source: Source, account: tuple[Account, str]) -> None:
    from callreel.ledger.moves import Birth

    taken = a_recording(sid=RecordingSid(listed(1).sid), account_sid=account[0].sid)
    await ledger.bear(Birth(recording=taken))
    await offered(ledger, source, 1)
    (item,) = await due(ledger, source)
    assert item.recording_sid != item.source_recording_sid == listed(1).sid
    assert item.recording_sid.startswith("RE")


async def test_what_is_no_sid_is_left_out(ledger: Ledger, source: Source) -> None:
    odd = SourceRecording(sid="RE../../etc", account_sid="x", date_created=MADE)
    assert await ledger.items.offer(source, [odd], host_id=HOST, kept_sources={}) == 0


async def test_a_source_has_one_migration_at_a_time(ledger: Ledger, source: Source) -> None:
    migration = await started(ledger, source)
    with pytest.raises(MigrationRunning):
        await started(ledger, source)
    paused = await ledger.migrations.pause(migration)
    with pytest.raises(MigrationRunning):
        await started(ledger, source)
    await ledger.migrations.cancel(paused)
    await started(ledger, source)


async def test_a_list_is_read_until_it_stands_still(ledger: Ledger, source: Source) -> None:
    migration = await started(ledger, source)
    first = await ledger.migrations.keep_page(migration, source, SourcePage((listed(1), listed(2)), "next"))
    assert (first.cursor, first.total, first.is_listed) == ("next", 2, False)
    with pytest.raises(Outrun):  # the same page by somebody who was slower
        await ledger.migrations.keep_page(migration, source, SourcePage((listed(1),), "next"))
    whole = await ledger.migrations.keep_page(first, source, SourcePage((listed(2), listed(3)), None))
    assert (whole.cursor, whole.total, whole.is_listed) == (None, 3, False)
    again = await ledger.migrations.keep_page(whole, source, SourcePage((listed(4), listed(1)), None))
    assert (again.total, again.is_listed) == (4, False)
    assert (await ledger.migrations.keep_page(again, source, SourcePage((listed(4),), None))).is_listed


async def test_an_empty_list_is_a_completed_migration(ledger: Ledger, source: Source) -> None:
    done = await read_whole(ledger, source, await started(ledger, source), [])
    assert (done.status, done.total) == (MigrationStatus.COMPLETED, 0)


async def test_counts_change_with_the_items_and_the_last_one_completes(ledger: Ledger, source: Source) -> None:
    migration = await read_whole(ledger, source, await started(ledger, source), [1, 2, 3])
    one, two, three = await due(ledger, source)
    await settled(ledger, one, to=ItemState.LINK_CLEARED)
    await settled(ledger, two, to=ItemState.DELETE_FAILED)
    here = await ledger.migrations.fetch(source.account_sid, migration.sid)
    assert (here.moved, here.deleted_at_source, here.delete_failed, here.bytes) == (2, 1, 1, 200)
    assert here.status is MigrationStatus.RUNNING
    await ledger.items.move(three, ItemState.FAILED, next_attempt_at=None)
    here = await ledger.migrations.fetch(source.account_sid, migration.sid)
    assert (here.status, here.failed, here.moved) == (MigrationStatus.COMPLETED, 1, 2)


async def test_the_switch_is_read_when_the_intent_is_written(ledger: Ledger, source: Source, clock: SetClock) -> None:
    await offered(ledger, source, 1)
    (item,) = await due(ledger, source)
    item = await ledger.items.move(item, ItemState.FETCHED)
    await ledger.deletion_settings.keep(
        source.account_sid, DeletionSettings(delete_source_after_migration=False), now=clock.now()
    )
    item = await ledger.items.move(item, ItemState.DELETE_INTENT, intent_at=clock.now())
    assert (item.state, item.reason, item.intent_at) == (ItemState.KEPT, Reason.SWITCHED_OFF, None)


async def test_an_item_is_moved_once(ledger: Ledger, source: Source) -> None:
    await offered(ledger, source, 1)
    (item,) = await due(ledger, source)
    await ledger.items.move(item, ItemState.FETCHED)
    with pytest.raises(Outrun):
        await ledger.items.move(item, ItemState.FETCHED)


async def test_nothing_of_a_paused_migration_is_due(ledger: Ledger, source: Source) -> None:
    migration = await read_whole(ledger, source, await started(ledger, source), [1])
    paused = await ledger.migrations.pause(migration)
    assert await due(ledger, source) == []
    await offered(ledger, source, 2)  # a new recording waits for no old one
    assert [item.source_recording_sid for item in await due(ledger, source)] == [listed(2).sid]
    await ledger.migrations.resume(paused)
    assert len(await due(ledger, source)) == 2


async def test_a_canceled_migration_deletes_no_further_original(ledger: Ledger, source: Source) -> None:
    migration = await read_whole(ledger, source, await started(ledger, source), [1, 2])
    one, _ = await due(ledger, source)
    one = await ledger.items.move(one, ItemState.FETCHED)
    canceled = await ledger.migrations.cancel(migration)
    assert [item.source_recording_sid for item in await due(ledger, source)] == [listed(1).sid]
    assert (await ledger.items.move(one, ItemState.DELETE_INTENT)).reason == Reason.CANCELED
    with pytest.raises(StateConflict):
        await ledger.migrations.resume(canceled)


async def test_resuming_takes_up_again_what_failed(ledger: Ledger, source: Source, clock: SetClock) -> None:
    migration = await read_whole(ledger, source, await started(ledger, source), [1, 2, 3])
    one, two, three = await due(ledger, source)
    await settled(ledger, one, to=ItemState.LINK_CLEARED)
    two = await ledger.items.move(two, ItemState.FETCHED, fetched_at=clock.now(), media_size_bytes=100)
    two = await ledger.items.move(two, ItemState.DELETE_INTENT, next_attempt_at=None)
    await ledger.items.move(two, ItemState.DELETE_FAILED, delete_attempts=3)
    await ledger.items.move(three, ItemState.FAILED, next_attempt_at=None, reason=Reason.NOT_WHOLE)
    done = await ledger.migrations.fetch(source.account_sid, migration.sid)
    assert done.status is MigrationStatus.COMPLETED
    again = await ledger.migrations.resume(done)
    assert (again.status, again.failed, again.delete_failed, again.moved, again.bytes) == ("running", 0, 0, 1, 100)
    assert {(i.state, i.delete_attempts, i.reason) for i in await due(ledger, source)} == {
        (ItemState.FETCHED, 0, None),
        (ItemState.LISTED, 0, None),
    }


async def test_a_later_migration_tries_again_what_was_kept(ledger: Ledger, source: Source) -> None:
    first = await read_whole(ledger, source, await started(ledger, source), [1])
    (item,) = await due(ledger, source)
    item = await ledger.items.move(item, ItemState.FETCHED, fetched_at=MADE)
    await ledger.items.move(item, ItemState.KEPT, next_attempt_at=None)
    assert (await ledger.migrations.fetch(source.account_sid, first.sid)).status is MigrationStatus.COMPLETED
    second = await read_whole(ledger, source, await started(ledger, source), [1])
    assert second.total == 1
    assert [(i.state, i.migration_sid) for i in await due(ledger, source)] == [(ItemState.FETCHED, second.sid)]


async def test_an_item_wakes_when_its_recording_is_delivered(
    ledger: Ledger, source: Source, account: tuple[Account, str]
) -> None:
    from callreel.ledger.moves import Birth

    await offered(ledger, source, 1)
    (item,) = await due(ledger, source)
    await ledger.items.move(item, ItemState.FETCHED, next_attempt_at=None)
    born = await ledger.bear(
        Birth(recording=a_recording(sid=item.recording_sid, account_sid=account[0].sid, state=State.SPOOLED))
    )
    assert await ledger.items.wake() == []
    assert await ledger.items.count_undelivered(source.sid, HOST) == 1
    recording = await ledger.move(born, State.PARKED)  # type: ignore[arg-type]
    assert await ledger.items.wake([recording.sid]) == [source.sid]
    assert len(await due(ledger, source)) == 1
