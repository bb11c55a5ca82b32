"""Delete an original whose copy is proved. The intent is committed before the first request."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from callreel.errors import CallreelError, Final, NotNow, SourceRateLimited, SourceUnauthorized
from callreel.failpoints import reach
from callreel.migration.receipt import write_receipt
from callreel.migration.shelves import Moving
from callreel.model.moved_item import ItemState, MovedItem, Reason
from callreel.model.receipt import Receipt
from callreel.model.recording import Recording
from callreel.model.source import DeleteOutcome
from callreel.source.twilio_account import TwilioAccount

WAITS_S = (1.0, 10.0, 60.0)  # after each try that failed; the last is before the last look
MOST_TRIES = 3


async def delete_source(
    item: MovedItem, recording: Recording | None, *, source: TwilioAccount, shelves: Moving
) -> MovedItem:
    """One try. 204 confirms, and so does 404: the intent was committed before we ever asked.

    The confirmation and the clearing of the link are one transaction, with the receipt. Three tries that fail, and a
    look a minute later that finds the original still there, make DELETE_FAILED: the link stays, and it can be taken up
    again. A 429 is no try.
    """
    if item.delete_attempts >= MOST_TRIES:
        return await _last_look(item, recording, source, shelves)
    now = shelves.clock.now()
    sent_at = max(now, item.intent_at or now)  # also by a clock that was set back
    try:
        answer = await source.delete(item.origin.account_sid, item.source_recording_sid)
    except SourceRateLimited as why:
        at = sent_at + timedelta(seconds=min(why.retry_after_s or WAITS_S[0], 300.0))
        return await shelves.ledger.items.move(item, ItemState.DELETE_INTENT, next_attempt_at=at, detail=why.message)
    except (NotNow, SourceUnauthorized) as why:
        return await _count_a_try(item, why, sent_at, shelves)
    reach("C16")
    if answer.outcome is DeleteOutcome.REFUSED:
        return await _count_a_try(item, CallreelError(answer.message), sent_at, shelves)
    return await _confirm(item, recording, sent_at, shelves)


async def _last_look(item: MovedItem, recording: Recording | None, source: TwilioAccount, shelves: Moving) -> MovedItem:
    """What a source did late, or without saying so, is seen. Only a 404 of its own confirms."""
    said = item.detail or "no reason was given"
    try:
        if await source.find(item.origin.account_sid, item.source_recording_sid) is None:
            return await _confirm(item, recording, item.delete_sent_at or shelves.clock.now(), shelves)
    except (NotNow, Final) as why:
        said = why.message
    return await shelves.ledger.items.move(
        item,
        ItemState.DELETE_FAILED,
        receipt=_receipt_of(recording, shelves),
        next_attempt_at=None,
        reason=Reason.DELETE_REFUSED,
        detail=f"The source did not delete it in {item.delete_attempts} tries: {said}"[:500],
        remedy="See what the source's credential may do (callreel sources check), then: callreel migrate retry",
    )


async def _confirm(item: MovedItem, recording: Recording | None, sent_at: datetime, shelves: Moving) -> MovedItem:
    return await shelves.ledger.items.move(
        item,
        ItemState.LINK_CLEARED,
        receipt=_receipt_of(recording, shelves),
        delete_sent_at=sent_at,
        delete_confirmed_at=max(shelves.clock.now(), sent_at),
        source_link=None,
        next_attempt_at=None,
        reason=None,
        detail=None,
        remedy=None,
    )


async def _count_a_try(item: MovedItem, why: CallreelError, sent_at: datetime, shelves: Moving) -> MovedItem:
    tries = item.delete_attempts + 1
    return await shelves.ledger.items.move(
        item,
        ItemState.DELETE_INTENT,
        delete_sent_at=sent_at,
        delete_attempts=tries,
        next_attempt_at=shelves.clock.now() + timedelta(seconds=WAITS_S[tries - 1]),
        reason=Reason.DELETE_REFUSED,
        detail=why.message[:500],
    )


def _receipt_of(recording: Recording | None, shelves: Moving) -> partial[Receipt] | None:
    if recording is None:
        return None
    return partial(_write, recording=recording, shelves=shelves)


def _write(item: MovedItem, *, recording: Recording, shelves: Moving) -> Receipt:
    return write_receipt(item, recording, key=shelves.receipt_key, now=shelves.clock.now())
