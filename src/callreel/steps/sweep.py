"""Abort the multipart uploads of ours that nobody needs: begun, and lost by a crash before their id was committed."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import timedelta

from callreel.bucket.bucket import OpenUpload
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import CallreelError, DatabaseAway
from callreel.ledger.ledger import Ledger
from callreel.model.sid import AccountSid
from callreel.places import Closed, Place, places_of

UPLOAD_AGE = timedelta(hours=24)  # an attempt is bounded by two hours; what is older was left behind
AT_ONCE = 4  # accounts swept together: a bucket that does not answer keeps one of them waiting
BATCH = 500
_RECORDING = re.compile(r"(?<![0-9A-Za-z])R[ET][0-9a-f]{32}(?![0-9a-f])", re.ASCII)


@dataclass(slots=True)
class Swept:
    """What became of it: object keys of aborted uploads, and buckets that could not be swept, with the reason."""

    aborted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def sweep(*, ledger: Ledger, buckets: Buckets, clock: Clock) -> Swept:
    """Look through the buckets of every account that sends its recordings to one of its own.

    Only uploads under our prefix to keys that name a recording of ours, begun more than 24 hours ago, and in no row
    that is still at work. Listing needs s3:ListBucketMultipartUploads: a bucket that denies it is noted and left to its
    lifecycle rule. May be repeated. Raises `DatabaseAway`.
    """
    swept, turn = Swept(), asyncio.Semaphore(AT_ONCE)

    async def of(account_sid: AccountSid) -> None:
        async with turn:
            numbers = await ledger.settings.newest_destinations(account_sid)
            async for place in places_of(account_sid, numbers, settings=ledger.settings, buckets=buckets):
                if isinstance(place, Closed):
                    swept.notes.append(f"{account_sid}: {place.text}")
                else:
                    await _sweep_place(place, swept, ledger=ledger, clock=clock)

    accounts = await ledger.settings.accounts_with_buckets()
    await asyncio.gather(*map(of, accounts))
    return swept


async def _sweep_place(place: Place, swept: Swept, *, ledger: Ledger, clock: Clock) -> None:
    oldest = clock.now() - UPLOAD_AGE
    old: list[OpenUpload] = []
    try:
        async for upload in place.bucket.list_uploads(place.prefix):
            if upload.initiated < oldest and _RECORDING.search(upload.key):
                old.append(upload)
            if len(old) >= BATCH:
                await _abort(old, place, swept, ledger=ledger)
                old = []
        await _abort(old, place, swept, ledger=ledger)
    except DatabaseAway:
        raise
    except CallreelError as why:
        swept.notes.append(f"{place.name}: {why.message}")


async def _abort(old: list[OpenUpload], place: Place, swept: Swept, *, ledger: Ledger) -> None:
    """Only those of recordings that are or were ours: others may use the same bucket, and the same prefix."""
    if not old:
        return
    sid_of = {upload.upload_id: match.group() for upload in old if (match := _RECORDING.search(upload.key))}
    ours = await ledger.examination.known(list(sid_of.values()))
    live = await ledger.examination.live_uploads(list(sid_of))
    for upload in old:
        if sid_of[upload.upload_id] in ours and upload.upload_id not in live:
            await place.bucket.abort_upload(upload.key, upload.upload_id)
            swept.aborted.append(upload.key)
