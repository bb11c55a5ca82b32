"""Rooms: names, lists, the end of a room, and whose they are."""

from __future__ import annotations

import pytest

from callreel.errors import NotFound, RoomExists
from callreel.ledger.paging import Place
from callreel.ledger.rooms import RoomFilter
from callreel.model.room import RoomOptions, RoomStatus, RoomType
from callreel.model.sid import AccountSid, mint_sid
from callreel.steps.open_account import open_account
from callreel.steps.open_room import open_room
from tests.video import Studio


async def open_named(studio: Studio, name: str | None = None) -> str:
    room = await open_room(
        studio.account_sid,
        unique_name=name,
        type=RoomType.GROUP,
        status_callback=None,
        status_callback_method="POST",
        options=RoomOptions(video_codecs=("VP8", "H264"), max_participants=4),
        ledger=studio.parts.ledger,
        clock=studio.clock,
    )
    return room.sid


async def test_a_room_is_read_as_it_was_written(studio: Studio) -> None:
    sid = await open_named(studio, "standup")
    room = await studio.parts.ledger.rooms.fetch(studio.account_sid, sid)
    assert (room.unique_name, room.status, room.type) == ("standup", RoomStatus.IN_PROGRESS, RoomType.GROUP)
    assert room.options == RoomOptions(video_codecs=("VP8", "H264"), max_participants=4)
    assert room.date_created == studio.clock.now()


async def test_a_room_without_a_name_is_named_by_its_sid(studio: Studio) -> None:
    sid = await open_named(studio)
    assert (await studio.parts.ledger.rooms.fetch(studio.account_sid, sid)).unique_name == sid


async def test_a_name_stands_for_one_room_at_a_time(studio: Studio) -> None:
    rooms = studio.parts.ledger.rooms
    first = await open_named(studio, "standup")
    with pytest.raises(RoomExists):
        await open_named(studio, "standup")
    studio.clock.advance(90)
    ended = await rooms.complete(await rooms.fetch(studio.account_sid, first), now=studio.clock.now())
    assert (ended.status, ended.duration_s, ended.end_time) == (RoomStatus.COMPLETED, 90, studio.clock.now())
    assert (await rooms.fetch(studio.account_sid, "standup")).sid == first
    second = await open_named(studio, "standup")
    assert (await rooms.fetch(studio.account_sid, "standup")).sid == second
    assert (await rooms.fetch(studio.account_sid, first)).sid == first


async def test_completing_a_room_twice_changes_nothing(studio: Studio) -> None:
    rooms = studio.parts.ledger.rooms
    room = await rooms.fetch(studio.account_sid, await open_named(studio))
    ended = await rooms.complete(room, now=studio.clock.now())
    studio.clock.advance(60)
    assert await rooms.complete(room, now=studio.clock.now()) == ended


async def test_the_list_pages_newest_first_through_rooms_of_one_moment(studio: Studio) -> None:
    sids = {await open_named(studio) for _ in range(5)}
    rooms = studio.parts.ledger.rooms
    first = await rooms.list(studio.account_sid, RoomFilter(), place=None, size=3)
    assert len(first.rows) == 3
    assert first.has_next
    after = Place(first.rows[-1].date_created, first.rows[-1].sid)
    second = await rooms.list(studio.account_sid, RoomFilter(), place=after, size=3)
    assert not second.has_next
    assert {room.sid for room in [*first.rows, *second.rows]} == sids
    assert (
        await rooms.list(studio.account_sid, RoomFilter(status=RoomStatus.COMPLETED), place=None, size=3)
    ).rows == []


async def test_another_accounts_room_is_not_found(studio: Studio) -> None:
    sid = await open_named(studio, "standup")
    stranger = AccountSid(mint_sid("AC"))
    for name in (sid, "standup"):
        with pytest.raises(NotFound):
            await studio.parts.ledger.rooms.fetch(stranger, name)


async def test_two_accounts_may_use_the_same_room_sid(studio: Studio) -> None:
    sid = await open_named(studio)
    other, _ = await open_account(
        "Other",
        parent=None,
        accounts=studio.parts.ledger.accounts,
        keyring=studio.parts.keyring,
        digest=studio.parts.digest,
        clock=studio.clock,
    )
    mine = await studio.parts.ledger.rooms.fetch(studio.account_sid, sid)
    theirs = Studio(parts=studio.parts, account_sid=other.sid, clock=studio.clock, s3=studio.s3)
    await theirs.spooled(room_sid=sid)
    assert (await studio.parts.ledger.rooms.fetch(other.sid, sid)).status is RoomStatus.COMPLETED
    assert await studio.parts.ledger.rooms.fetch(studio.account_sid, sid) == mine
