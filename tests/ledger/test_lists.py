"""Pages in both directions, filters, and versions of settings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from callreel.ledger.moves import Birth
from callreel.ledger.paging import Place, from_microseconds, microseconds
from callreel.ledger.recordings import RecordingFilter
from callreel.ledger.settings import SettingsBook
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from tests.recordings import NOON, a_recording
from tests.stage import Stage

ALL = RecordingFilter(include_deleted=True)


async def many(stage: Stage, count: int) -> list[str]:
    """Recordings, two to each second, newest first as a list shows them."""
    made = [
        a_recording(
            sid=RecordingSid(f"RE{n:032x}"),
            account_sid=stage.account_sid,
            date_created=NOON + timedelta(seconds=n // 2),
        )
        for n in range(count)
    ]
    await asyncio.gather(*(stage.parts.ledger.bear(Birth(recording=r)) for r in made))
    return [r.sid for r in sorted(made, key=lambda r: (r.date_created, r.sid), reverse=True)]


def place_of(recording: Recording, *, backward: bool = False) -> Place:
    return Place(recording.date_created, recording.sid, backward)


@pytest.mark.parametrize("size", [1, 3, 10, 11, 50])
async def test_pages_forward_and_back_show_every_row_once(stage: Stage, size: int) -> None:
    wanted = await many(stage, 11)
    books = stage.parts.ledger.recordings
    pages = [await books.list(stage.account_sid, ALL, place=None, size=size)]
    assert not pages[0].has_previous
    while pages[-1].has_next:
        pages.append(await books.list(stage.account_sid, ALL, place=place_of(pages[-1].rows[-1]), size=size))
        assert pages[-1].has_previous
    assert [r.sid for page in pages for r in page.rows] == wanted
    for before, page in zip(reversed(pages[:-1]), reversed(pages[1:]), strict=True):
        back = await books.list(stage.account_sid, ALL, place=place_of(page.rows[0], backward=True), size=size)
        assert [r.sid for r in back.rows] == [r.sid for r in before.rows]
        assert back.has_next
        assert back.has_previous == before.has_previous


async def test_a_row_that_comes_meanwhile_shifts_no_page(stage: Stage) -> None:
    wanted = await many(stage, 6)
    books = stage.parts.ledger.recordings
    first = await books.list(stage.account_sid, ALL, place=None, size=3)
    newer = a_recording(
        sid=RecordingSid("RE" + "f" * 32), account_sid=stage.account_sid, date_created=NOON + timedelta(days=1)
    )
    await stage.parts.ledger.bear(Birth(recording=newer))
    second = await books.list(stage.account_sid, ALL, place=place_of(first.rows[-1]), size=3)
    assert [r.sid for r in (*first.rows, *second.rows)] == wanted


async def test_filters_choose(stage: Stage) -> None:
    ledger, account = stage.parts.ledger, stage.account_sid
    call, conference = "CA" + "1" * 32, "CF" + "1" * 32
    made = {
        "call": a_recording(sid=RecordingSid("RE" + "1" * 32), account_sid=account, call_sid=call),
        "conference": a_recording(sid=RecordingSid("RE" + "2" * 32), account_sid=account, conference_sid=conference),
        "old": a_recording(sid=RecordingSid("RE" + "3" * 32), account_sid=account, date_created=NOON - timedelta(1)),
        "video": a_recording(sid=RecordingSid("RE" + "4" * 32), account_sid=account, kind=RecordingKind.VIDEO),
        "deleted": a_recording(sid=RecordingSid("RE" + "5" * 32), account_sid=account, state=State.ABSENT),
    }
    for recording in made.values():
        await ledger.bear(Birth(recording=recording))
    await ledger.move(made["deleted"], State.DELETING)

    async def shown(wanted: RecordingFilter) -> set[str]:
        page = await ledger.recordings.list(account, wanted, place=None, size=50)
        return {name for name, r in made.items() if r.sid in {row.sid for row in page.rows}}

    assert await shown(RecordingFilter()) == {"call", "conference", "old"}
    assert await shown(ALL) == {"call", "conference", "old", "deleted"}
    assert await shown(RecordingFilter(call_sid=call)) == {"call"}
    assert await shown(RecordingFilter(conference_sid=conference)) == {"conference"}
    assert await shown(RecordingFilter(created_from=NOON)) == {"call", "conference"}
    assert await shown(RecordingFilter(created_before=NOON)) == {"old"}
    assert await shown(RecordingFilter(kind=RecordingKind.VIDEO)) == {"video"}
    assert await shown(RecordingFilter(states=frozenset({State.FATAL}))) == set()


async def test_the_unfinished_are_listed_until_they_are_finished(stage: Stage) -> None:
    books = stage.parts.ledger.recordings
    recording = await stage.take_in()
    assert [r.sid for r in await books.list_unfinished(account_sid=stage.account_sid, states=None)] == [recording.sid]
    assert await books.count_by_state() == {"spooled": 1}
    await stage.carry(recording)
    assert list(await books.list_unfinished(account_sid=None, states=None)) == []
    assert await books.count_by_state() == {}


def test_microseconds_are_exact_both_ways() -> None:
    for moment in (NOON, NOON + timedelta(microseconds=1), NOON - timedelta(days=50_000, microseconds=7)):
        assert from_microseconds(microseconds(moment)) == moment
    with pytest.raises(OverflowError):
        from_microseconds(10**30)


# --- Settings --------------------------------------------------------------------------------------------------------


async def test_the_newest_settings_hold_and_the_old_ones_stay_readable(stage: Stage) -> None:
    p, account = stage.parts, stage.account_sid
    numbers = [
        await p.ledger.settings.keep(account, RecordingKind.VIDEO, StorageSettings(friendly_name=n), now=NOON)
        for n in ("first", "second")
    ]
    for book in (p.ledger.settings, SettingsBook(p.ledger.engine)):  # with and without what was remembered
        assert await book.current(account, RecordingKind.VIDEO) == (
            numbers[1],
            StorageSettings(friendly_name="second"),
        )
        assert [(await book.version(n)).friendly_name for n in numbers] == ["first", "second"]


async def test_before_the_first_settings_the_defaults_hold(stage: Stage) -> None:
    assert await stage.parts.ledger.settings.current(stage.account_sid, RecordingKind.VIDEO) == (
        None,
        StorageSettings(),
    )
    assert await stage.parts.ledger.settings.version(None) == StorageSettings()


async def test_a_recording_keeps_the_settings_it_was_made_under(stage: Stage) -> None:
    recording = await stage.take_in()
    await stage.choose(friendly_name="later")
    assert (await stage.look(recording)).settings == recording.settings
    assert recording.settings.friendly_name is None
