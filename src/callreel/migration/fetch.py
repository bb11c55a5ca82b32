"""Fetch a recording from its source into the spool, and believe it only when it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO

from callreel.births import Kept
from callreel.errors import (
    AddressBlocked,
    BodyCutShort,
    BodyTooLarge,
    CallreelError,
    MediaGone,
    MediaMismatch,
    MediaNotReady,
    NotAudio,
    SidTaken,
    SourceRateLimited,
    SourceRefused,
    SourceStumbled,
    SourceUnreachable,
)
from callreel.failpoints import reach
from callreel.ledger.moved_items import ItemMove
from callreel.ledger.moves import Birth
from callreel.media.wav import inspect_wav, is_left_open
from callreel.migration.shelves import Moving
from callreel.model.moved_item import ItemState, MovedItem, Reason, expected_bytes
from callreel.model.recording import Recording, State
from callreel.model.source import NEVER_MEDIA, SourceRecording
from callreel.model.storage_settings import RecordingKind
from callreel.source.twilio_account import TwilioAccount

MOST_ATTEMPTS = 10
BASE_S, CAP_S = 1.0, 300.0
NOT_READY_S, LONGEST_NOT_READY_S = 5.0, 86_400.0  # Twilio finishes a recording in seconds, a long one in minutes
MARGIN = 4  # Twilio documents 128 kbit/s for a channel; what is more than this many times longer is something else
MARGIN_BYTES = 1 << 20
DURATION_OFF_MS = 1000  # the source's metadata is in whole seconds


class _Odd(Exception):
    """What came is not what the metadata says. Told apart from trouble on the way: it counts as a try."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class _Facts:
    channels: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """An item after a try, and its recording where the try brought it."""

    item: MovedItem
    recording: Recording | None = None


async def fetch(item: MovedItem, *, source: TwilioAccount, shelves: Moving) -> Fetched:
    """One try to bring an item's media into the spool, whole, with its row.

    1. look whether it was brought before a crash; drop bytes that no row ever named
    2. ask again for metadata that was not final when it was listed
    3. stream, no longer than it may be, and check length, container and duration
    4. write the recording and with it the item: FETCHED

    Otherwise the item stays LISTED with a time, or is SKIPPED or FAILED with a reason. Raises what no other item would
    fare better with: `SourceUnauthorized`, `SourceRedirects`, `SpoolFull`, `SpoolFailed`, `DatabaseAway`.
    """
    known = await shelves.ledger.recordings.find_for_work(item.recording_sid)
    at_source = known if known is not None and known.state is State.AT_SOURCE else None
    if known is not None and at_source is None and known.source_recording_sid == item.source_recording_sid:
        return Fetched(await shelves.ledger.items.move(item, ItemState.FETCHED, **_facts(known, shelves)), known)
    if known is not None and known.source_recording_sid != item.source_recording_sid:
        return Fetched(await _give_up(item, Reason.NOT_WHOLE, f"{known.sid} is another recording here", shelves))
    if shelves.spool.path_of(item.recording_sid).exists():
        await shelves.spool.release(item.recording_sid)
    try:
        if not item.origin.is_ready or item.origin.duration_s is None:
            item = await look_again(item, source, shelves)
        return await _bring(item, at_source, source, shelves)
    except (MediaNotReady, SourceRateLimited) as why:
        return Fetched(await put_off(item, why, shelves))
    except MediaGone as why:
        return Fetched(await skip(item, why.message, shelves))
    except SidTaken as why:
        return Fetched(await _give_up(item, Reason.NOT_WHOLE, why.message, shelves))
    except SourceRefused as why:
        return Fetched(await _count_a_try(item, Reason.SOURCE_REFUSED, why.message, shelves))
    except (MediaMismatch, BodyCutShort) as why:
        return Fetched(await _count_a_try(item, Reason.NOT_WHOLE, why.message, shelves))
    except NotAudio as why:
        return Fetched(await _count_a_try(item, Reason.NOT_AUDIO, why.message, shelves))
    except BodyTooLarge:
        said = f"The media is larger than the {limit_of(item.origin, shelves.max_bytes)} bytes its metadata allows"
        return Fetched(await _count_a_try(item, Reason.NOT_WHOLE, said, shelves))
    except _Odd as why:
        return Fetched(await _count_a_try(item, why.reason, why.detail, shelves))


def limit_of(origin: SourceRecording, max_bytes: int) -> int:
    """How many bytes of media are read at most: several times what the metadata implies, and a margin."""
    expected = expected_bytes(origin)
    return max_bytes if expected is None else min(max_bytes, MARGIN * expected + MARGIN_BYTES)


async def stumbled(item: MovedItem, why: CallreelError, shelves: Moving, *, counts: bool) -> MovedItem:
    """Trouble on the way to the source: try again later. It counts as a try unless the source is away altogether."""
    if counts:
        return await _count_a_try(item, Reason.SOURCE_STUMBLED, why.message, shelves)
    return await put_off(item, why, shelves, reason=Reason.SOURCE_STUMBLED)


async def look_again(item: MovedItem, source: TwilioAccount, shelves: Moving) -> MovedItem:
    """What the source says of it now, kept. Raises `MediaGone` and `MediaNotReady`, and what the source raises."""
    found = await source.find(item.origin.account_sid, item.source_recording_sid)
    if found is None:
        raise MediaGone(f"{item.source_recording_sid} is not at the source any more")
    if found.status in NEVER_MEDIA:
        raise MediaGone(f"{found.sid} has no media at the source: its status is {found.status}")
    if not found.is_ready:
        raise MediaNotReady(f"{found.sid} is {found.status} at the source still")
    return item if found == item.origin else await shelves.ledger.items.learn(item, found)


async def _bring(item: MovedItem, at_source: Recording | None, source: TwilioAccount, shelves: Moving) -> Fetched:
    origin = item.origin
    try:
        async with source.media(origin.account_sid, origin.sid, channels=origin.channels) as media:
            if media.length is None and origin.encryption_details is not None:
                raise _Odd(Reason.NOT_WHOLE, "The source announced no length of its ciphertext")
            kept = await shelves.births.receive(
                item.recording_sid,
                media.chunks(),
                partial(_judge, origin),
                account_sid=item.account_sid,
                kind=RecordingKind.VOICE,
                announced_bytes=media.length,
                limit_bytes=limit_of(origin, shelves.max_bytes),
            )
        if origin.encryption_details is not None:
            await _read_again(item, kept.digests.sha256, source, shelves)
    except _Odd:
        await shelves.spool.release(item.recording_sid)
        raise
    reach("M1")
    recording = _newborn(item, kept, shelves)
    if at_source is not None:
        recording = await _come_over(at_source, recording, shelves)
        return Fetched(
            await shelves.ledger.items.move(item, ItemState.FETCHED, **_facts(recording, shelves)), recording
        )
    step = ItemMove(item, ItemState.FETCHED, _facts(recording, shelves))
    born = await shelves.births.bear(Birth(recording=recording, item=step, **met_with(item, recording)))
    reach("M2")
    return Fetched(step.moved(born.date_updated), born)


async def _read_again(item: MovedItem, sha256: str, source: TwilioAccount, shelves: Moving) -> None:
    """Ciphertext cannot tell that it is whole, so two downloads must give the same bytes. Raises `_Odd`."""
    again = hashlib.sha256()
    async with source.media(item.origin.account_sid, item.origin.sid, channels=item.origin.channels) as media:
        async for chunk in media.chunks():
            again.update(chunk)
    if again.hexdigest() != sha256:
        raise _Odd(Reason.NOT_WHOLE, "Two downloads of the ciphertext gave different bytes")


def _judge(origin: SourceRecording, file: BinaryIO, size_bytes: int) -> _Facts:
    """Whether the file is the recording the metadata tells of. Raises `NotAudio` and `_Odd`."""
    if origin.encryption_details is not None:
        return _judge_ciphertext(origin, file, size_bytes)
    facts = inspect_wav(file, size_bytes)
    if facts.frames == 0:
        raise _Odd(Reason.NOT_WHOLE, "The media has no samples")
    file.seek(4)
    promised = int.from_bytes(file.read(4), "little") + 8
    if promised not in (size_bytes, size_bytes - 1) and not is_left_open(promised - 8):
        raise _Odd(Reason.NOT_WHOLE, f"The media has {size_bytes} bytes; its own head says {promised}")
    told_ms = origin.duration_ms
    if told_ms is not None and abs(facts.duration_ms - told_ms) > DURATION_OFF_MS:
        raise _Odd(
            Reason.NOT_WHOLE, f"The media lasts {facts.duration_ms / 1000:.1f} s; the source says {told_ms // 1000} s"
        )
    return _Facts(facts.channels, facts.duration_ms if told_ms is None else told_ms)


def _judge_ciphertext(origin: SourceRecording, file: BinaryIO, size_bytes: int) -> _Facts:
    """Ciphertext has no container to check: its length, within a margin, and that it is no error page."""
    file.seek(0)
    head = file.read(64).lstrip().lower()
    if head.startswith((b"<?xml", b"<!doctype", b"<html", b"<twilioresponse")):
        raise NotAudio("The body is an HTML or XML document, not a recording")
    expected = expected_bytes(origin)
    if expected is not None and not expected // MARGIN - MARGIN_BYTES <= size_bytes <= MARGIN * expected + MARGIN_BYTES:
        raise _Odd(Reason.NOT_WHOLE, f"The media has {size_bytes} bytes where about {expected} were expected")
    return _Facts(origin.channels, origin.duration_ms or 0)


def _newborn(item: MovedItem, kept: Kept[_Facts], shelves: Moving) -> Recording:
    """The recording as the source knows it: its dates, its length, its price. The worker that fetches it carries it."""
    born = kept.newborn(
        now=shelves.clock.now(),
        channels=kept.facts.channels,
        duration_ms=kept.facts.duration_ms,
        **as_told(item),
    )
    return born.changed(date_created=item.origin.date_created, carried=True)


def as_told(item: MovedItem) -> dict[str, Any]:
    """What a recording keeps of its source's words, whether its media was fetched or stays there."""
    origin, details = item.origin, item.origin.encryption_details
    return {
        "source": item.kept_source,
        "media_type": "audio/x-wav",
        "start_time": origin.start_time or origin.date_created,
        "call_sid": origin.call_sid,
        "conference_sid": origin.conference_sid,
        "track": origin.track,
        "encryption_details": None if details is None else dict(details),
        "source_sid": item.source_sid,
        "source_recording_sid": item.source_recording_sid,
        "price": origin.price,
        "price_unit": origin.price_unit,
    }


async def _come_over(at_source: Recording, newborn: Recording, shelves: Moving) -> Recording:
    """A recording that was listed here while its media lay at the source: now its media is in the spool."""
    brought = {name: getattr(newborn, name) for name in _BROUGHT}
    moved = await shelves.ledger.move(
        at_source.changed(carried=True), State.SPOOLED, reason="brought from its source", **brought
    )
    return moved.changed(settings=newborn.settings)


_BROUGHT = (
    "host_id", "settings_id", "channels", "duration_ms", "media_type", "media_size_bytes", "media_sha256", "media_md5",
    "encryption_details", "sealed_at_rest", "media_key_wrapped",
)  # fmt: skip


def met_with(item: MovedItem, recording: Recording) -> dict[str, Any]:
    """The call or conference it belongs to, where it was not seen before. Who called whom a listing does not tell: it
    is asked for later, by `name_calls`."""
    seen: dict[str, Any] = {
        "account_sid": item.account_sid,
        "date_created": recording.date_created,
        "date_updated": recording.date_updated,
        "status": "completed",
    }
    met: dict[str, Any] = {}
    if recording.call_sid is not None:
        met["call"] = seen | {
            "sid": recording.call_sid,
            "parties_sealed": None,
            "from_mark": None,
            "to_mark": None,
            "direction": None,
            "campaign": None,
            "start_time": recording.start_time,
            "end_time": recording.start_time + timedelta(milliseconds=recording.duration_ms),
            "duration_ms": recording.duration_ms,
            "source_sid": item.source_sid,
            "source_account_sid": item.origin.account_sid,
            "ask_at": recording.date_updated,
            "asked": 0,
        }
    if recording.conference_sid is not None:
        met["conference"] = seen | {"sid": recording.conference_sid, "name_sealed": None, "name_mark": None}
    return met


def _facts(recording: Recording, shelves: Moving) -> dict[str, Any]:
    now = shelves.clock.now()
    return {
        "media_size_bytes": recording.media_size_bytes,
        "media_sha256": recording.media_sha256,
        "fetched_at": now,
        "next_attempt_at": now,
        "attempts": 0,
        "reason": None,
        "detail": None,
        "remedy": None,
    }


async def put_off(
    item: MovedItem, why: CallreelError, shelves: Moving, *, reason: Reason = Reason.NOT_READY
) -> MovedItem:
    """Not now, and nobody's fault: it costs no try. The longer it lasts, the more seldom it is asked for."""
    now = shelves.clock.now()
    since_s = (now - item.date_created).total_seconds()
    if reason is Reason.NOT_READY and since_s > LONGEST_NOT_READY_S:
        return await _give_up(item, reason, why.message, shelves)
    wait_s = max(getattr(why, "retry_after_s", None) or 0.0, min(CAP_S, max(NOT_READY_S, since_s / 10)))
    return await shelves.ledger.items.move(
        item,
        ItemState.LISTED,
        next_attempt_at=now + timedelta(seconds=min(CAP_S, wait_s)),
        reason=reason,
        detail=why.message[:500],
    )


async def _count_a_try(item: MovedItem, reason: Reason, said: str, shelves: Moving) -> MovedItem:
    attempts = item.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        return await _give_up(item, reason, said, shelves, attempts=attempts)
    wait_s = shelves.rng.uniform(0.5, 1.0) * min(CAP_S, BASE_S * 2.0**attempts)
    return await shelves.ledger.items.move(
        item,
        ItemState.LISTED,
        attempts=attempts,
        next_attempt_at=shelves.clock.now() + timedelta(seconds=wait_s),
        reason=reason,
        detail=said[:500],
    )


async def _give_up(
    item: MovedItem, reason: Reason, said: str, shelves: Moving, *, attempts: int | None = None
) -> MovedItem:
    return await shelves.ledger.items.move(
        item,
        ItemState.FAILED,
        attempts=item.attempts if attempts is None else attempts,
        next_attempt_at=None,
        reason=reason,
        detail=said[:500],
        remedy="Nothing was deleted. See what the source has, then take it up again: callreel migrate resume",
    )


async def skip(item: MovedItem, said: str, shelves: Moving) -> MovedItem:
    return await shelves.ledger.items.move(
        item, ItemState.SKIPPED, next_attempt_at=None, reason=Reason.NO_MEDIA, detail=said[:500], remedy=None
    )


SOURCE_IS_AWAY = (SourceUnreachable, SourceStumbled, AddressBlocked)
"""Trouble that may be the source's as a whole, and not this recording's."""

Chunks = AsyncIterator[bytes]
