"""While external storage is off: a recording stays at its source, and can be listed and played through callreel."""

from __future__ import annotations

from typing import Any

from callreel.errors import MediaGone, MediaNotReady, SourceRateLimited
from callreel.ledger.moved_items import ItemMove
from callreel.ledger.moves import Birth
from callreel.migration.fetch import as_told, look_again, met_with, put_off, skip
from callreel.migration.shelves import Moving
from callreel.model.moved_item import ItemState, MovedItem, Reason, expected_bytes
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import RecordingKind
from callreel.source.twilio_account import TwilioAccount

_RESTS: dict[str, Any] = {
    "next_attempt_at": None,
    "reason": Reason.EXTERNAL_STORAGE_OFF,
    "detail": "External storage is off: the recording stays at the source and is played from there",
    "remedy": "Switch external storage on, and it is moved",
}


async def stay(item: MovedItem, *, source: TwilioAccount, shelves: Moving) -> MovedItem:
    """Write a recording whose media is at the source, as the source describes it, and let the item rest.

    Nothing is fetched. Raises as `fetch`.
    """
    try:
        if not item.origin.is_ready or item.origin.duration_s is None:
            item = await look_again(item, source, shelves)
    except (MediaNotReady, SourceRateLimited) as why:
        return await put_off(item, why, shelves)
    except MediaGone as why:
        return await skip(item, why.message, shelves)
    if await shelves.ledger.recordings.find_for_work(item.recording_sid) is not None:
        return await shelves.ledger.items.move(item, ItemState.LISTED, **_RESTS)
    recording = await _at_source(item, shelves)
    step = ItemMove(item, ItemState.LISTED, _RESTS)
    born = await shelves.births.bear(Birth(recording=recording, item=step, **met_with(item, recording)))
    return step.moved(born.date_updated)


async def _at_source(item: MovedItem, shelves: Moving) -> Recording:
    """The recording as the source's metadata tells of it; its digests are not known before it is fetched."""
    origin, now = item.origin, shelves.clock.now()
    settings_id, settings = await shelves.ledger.settings.current(item.account_sid, RecordingKind.VOICE)
    return Recording(
        sid=item.recording_sid,
        account_sid=item.account_sid,
        kind=RecordingKind.VOICE,
        state=State.AT_SOURCE,
        fence=1,
        host_id=item.host_id,
        channels=origin.channels,
        duration_ms=origin.duration_ms or 0,
        date_created=origin.date_created,
        date_updated=now,
        media_size_bytes=expected_bytes(origin) or 0,
        media_sha256="",
        media_md5="",
        settings=settings,
        settings_id=settings_id,
        **as_told(item),
    )
