"""Reading a source's list: page by page, over crashes and changes."""

from __future__ import annotations

import pytest

from callreel.errors import SourceRefused, SourceUnauthorized
from callreel.migration.inventory import take_inventory
from callreel.model.migration import Migration, MigrationStatus
from tests.migration.conftest import Move


def never() -> bool:
    return False


async def started(moving: Move) -> Migration:
    return await moving.parts.ledger.migrations.start(
        moving.source, host_id=moving.parts.spool.host_id, created_after=None, created_before=None
    )


async def read(moving: Move, migration: Migration) -> Migration:
    return await take_inventory(migration, moving.source, moving.client, ledger=moving.parts.ledger, is_stopping=never)


async def listed(moving: Move) -> list[str]:
    due = await moving.parts.ledger.items.list_due(moving.source.sid, moving.parts.spool.host_id, limit=1000)
    return sorted(item.source_recording_sid for item in due)


async def test_a_list_of_many_pages_is_read_whole(moving: Move) -> None:
    put = [moving.twilio.put(n).sid for n in range(25)]
    moving.twilio.page_size = 10
    migration = await read(moving, await started(moving))
    assert (migration.total, migration.is_listed) == (25, True)
    assert await listed(moving) == sorted(put)


async def test_a_list_goes_on_with_the_page_that_was_not_written(moving: Move) -> None:
    for n in range(25):
        moving.twilio.put(n)
    moving.twilio.page_size = 10
    migration = await started(moving)
    asked = 0

    def after_two() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    left = await take_inventory(
        migration, moving.source, moving.client, ledger=moving.parts.ledger, is_stopping=after_two
    )
    assert (left.total, left.is_listed) == (20, False)
    assert left.cursor is not None
    moving.twilio.asked.clear()
    found = await moving.parts.ledger.migrations.find_for_work(left.sid)
    assert found is not None
    whole = await read(moving, found)
    assert (whole.total, whole.is_listed) == (25, True)
    assert moving.twilio.asked[0][1] != "None"  # not from the beginning


async def test_a_list_that_changes_under_the_reader_neither_loses_nor_doubles(moving: Move) -> None:
    for n in range(30):
        moving.twilio.put(n)
    moving.twilio.page_size = 10
    changes = iter([100, 101, 102])

    def change() -> None:
        """One more comes in front, and one that was listed is deleted."""
        if (number := next(changes, None)) is not None:
            moving.twilio.put(number)
            moving.twilio.shelf.pop(f"RE{30 - 2 * (number - 99):032x}", None)

    moving.twilio.while_listing = change
    migration = await read(moving, await started(moving))
    found = await listed(moving)
    assert set(moving.twilio.shelf) <= set(found)
    assert len(found) == len(set(found)) == migration.total


async def test_a_page_that_can_no_longer_be_had_begins_the_list_anew(moving: Move) -> None:
    for n in range(25):
        moving.twilio.put(n)
    moving.twilio.page_size = 10
    migration = await started(moving)
    moving.twilio.meets("list", *[None, SourceRefused("no such page", status=400)])  # type: ignore[list-item]
    migration = await read(moving, migration)
    assert (migration.total, migration.is_listed) == (25, True)


async def test_a_source_that_refuses_to_be_listed_says_so_and_keeps_its_place(moving: Move) -> None:
    moving.twilio.put(1)
    migration = await started(moving)
    moving.twilio.meets("list", SourceUnauthorized("401"))
    with pytest.raises(SourceUnauthorized):
        await read(moving, migration)
    assert (await read(moving, migration)).total == 1


async def test_a_paused_list_is_read_no_further(moving: Move) -> None:
    for n in range(25):
        moving.twilio.put(n)
    moving.twilio.page_size = 10
    migration = await started(moving)
    paused = await moving.parts.ledger.migrations.pause(migration)
    left = await read(moving, migration)
    assert (left.status, left.total) == (MigrationStatus.PAUSED, 0)
    resumed = await moving.parts.ledger.migrations.resume(paused)
    assert (await read(moving, resumed)).total == 25
