"""Take one item as far as it goes now: fetched, delivered, settled, its original deleted."""

from __future__ import annotations

from datetime import timedelta

from callreel.errors import CallreelError, Final, NotNow, SourceRedirects
from callreel.migration.delete_source import delete_source
from callreel.migration.fetch import SOURCE_IS_AWAY, fetch, stumbled
from callreel.migration.settle import settle
from callreel.migration.shelves import Moving
from callreel.model.moved_item import FINISHED, ItemState, MovedItem, Reason
from callreel.model.recording import Recording, State, next_job
from callreel.source.twilio_account import TwilioAccount

PUT_OFF_S = 5.0
_UNDERWAY = frozenset({State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING})


class SourceAway(Exception):
    """The source did not answer for this item. The item was put off; whoever drives decides about the others."""

    def __init__(self, item: MovedItem, reason: str) -> None:
        super().__init__(reason)
        self.item, self.reason = item, reason


async def move(item: MovedItem, *, source: TwilioAccount, shelves: Moving) -> MovedItem:
    """Take an item from state to state until it is finished or has to wait. The row is the truth: killed anywhere,
    it goes on from there.

    Raises `SourceAway` after putting the item off, and what no other item would fare better with: see `fetch`.
    """
    recording: Recording | None = None
    while item.state not in FINISHED or item.next_attempt_at is not None:
        now = shelves.clock.now()
        if item.next_attempt_at is None or item.next_attempt_at > now:
            return item
        if item.state is ItemState.LISTED:
            item, recording = await _fetch(item, source, shelves)
        elif item.state is ItemState.FAILED:  # its recording was delivered after all
            item = await shelves.ledger.items.move(item, ItemState.FETCHED, reason=None, detail=None, remedy=None)
        elif item.state is ItemState.FETCHED:
            recording = await shelves.carry(item.recording_sid, recording)
            if recording is not None and recording.state in _UNDERWAY:
                return await _wait_for_delivery(item, recording, shelves)
            item = await settle(item, recording, shelves=shelves)
        elif item.state is ItemState.DELETE_INTENT:
            if recording is None:
                recording = await shelves.ledger.recordings.find_for_work(item.recording_sid)
            item = await delete_source(item, recording, source=source, shelves=shelves)
        else:
            return item
    return item


async def _fetch(item: MovedItem, source: TwilioAccount, shelves: Moving) -> tuple[MovedItem, Recording | None]:
    """One try. When it got no answer, the source is asked for something small: if it answers that, it was this one."""
    try:
        fetched = await fetch(item, source=source, shelves=shelves)
        return fetched.item, fetched.recording
    except SourceRedirects:
        raise
    except SOURCE_IS_AWAY as why:
        is_there = await _answers(source, item)
        put_off = await stumbled(item, why, shelves, counts=is_there)
        if is_there:
            return put_off, None
        raise SourceAway(put_off, why.message) from why


async def _answers(source: TwilioAccount, item: MovedItem) -> bool:
    try:
        await source.find(item.origin.account_sid, item.source_recording_sid)
    except (NotNow, Final):
        return False
    return True


async def _wait_for_delivery(item: MovedItem, recording: Recording, shelves: Moving) -> MovedItem:
    """The delivery goes on under a job of its own, and wakes the item when it has come to an end."""
    job = next_job(recording.state, settings=recording.settings, next_attempt_at=recording.next_attempt_at)
    assert job is not None
    waiting = await shelves.ledger.items.move(
        item, ItemState.FETCHED, next_attempt_at=None, detail=(recording.last_error or "waits for its delivery")[:500]
    )
    await shelves.ledger.items.wake([item.recording_sid])  # it may have ended between our look and our write
    return waiting


async def wait_for_source(item: MovedItem, why: CallreelError, *, shelves: Moving) -> MovedItem:
    """The source refused this item for a reason that is not its own: later, and it is no try."""
    return await shelves.ledger.items.move(
        item,
        item.state,
        next_attempt_at=shelves.clock.now() + timedelta(seconds=PUT_OFF_S),
        reason=Reason.SOURCE_REFUSED,
        detail=why.message[:500],
    )
