"""After the storm: what only those outside know, held against ledger, spool, bucket and the callbacks received."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from callreel.app import open_parts
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid
from callreel.parts import Parts
from callreel.rehearsal.s3_shelf import BucketShelf
from callreel.sealing.twilio_format import decrypt
from callreel.settings import load_settings
from tests.chaos.clients import OWED_TO_ALL, Handed
from tests.chaos.processes import BUCKET
from tests.crash.invariants import fetch_all, violations_in
from tests.sealing.keys import private_pem, rsa_key

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

_DELIVERED = (State.DELIVERED, State.RELEASED)
_GONE = (State.DELETING, State.DELETED)


async def judge(storm: Storm) -> None:
    """Write down everything that is not as it should be. The service is stopped, and the S3 is calm."""
    bucket = BucketShelf(storm.s3.root / BUCKET, fsync=False)  # a second reader: nothing is written any more
    try:
        async with _opened(storm) as parts:
            await _Judge(storm, parts, await fetch_all(parts), bucket).all()
    finally:
        bucket.close()


@asynccontextmanager
async def _opened(storm: Storm) -> AsyncIterator[Parts]:
    server = EmbeddedPostgres(storm.service.data_dir)
    await asyncio.to_thread(server.start)
    try:
        settings = load_settings(data_dir=storm.service.data_dir, **storm.service.settings)
        async with open_parts(settings, database_url=server.url(), public_url="http://callreel.test") as parts:
            yield parts
    finally:
        await asyncio.to_thread(server.stop)


class _Judge:
    def __init__(self, storm: Storm, parts: Parts, rows: dict[str, Recording], bucket: BucketShelf) -> None:
        self._storm, self._parts, self._rows, self._bucket = storm, parts, rows, bucket
        self._outcome, self._notebook = storm.outcome, storm.notebook

    async def all(self) -> None:
        out = self._outcome
        out.broken += self._notebook.strange
        for sid, handed in self._notebook.acknowledged.items():
            await self._is_there(sid, handed)
        self._no_strangers()
        self._one_content_each()
        await self._all_told()
        out.broken += await violations_in(self._parts, self._bucket.history, {})

    async def _is_there(self, sid: str, handed: Handed) -> None:
        """The bytes that were sent, opened where they were encrypted, lie where the row says, or were deleted."""
        recording, out = self._rows.get(sid), self._outcome
        if recording is None:
            out.lost.append(f"{sid} was acknowledged and has no row")
        elif sid in self._notebook.deleted:
            if recording.state not in _GONE:
                out.broken.append(f"{sid} was deleted by its owner and is {recording.state}")
        elif recording.state not in _DELIVERED:
            out.lost.append(f"{sid} is {recording.state} when all is quiet: {recording.last_error}")
        else:
            out.delivered += 1
            media = await self._media_of(recording)
            if media is None or hashlib.sha256(media).hexdigest() != handed.sha256:
                out.lost.append(f"{sid} is {recording.state} and its object is not what was sent")

    async def _media_of(self, recording: Recording) -> bytes | None:
        """What the object holds, as its owner reads it."""
        key = str(recording.object_key)
        if not recording.is_external:
            return b"".join((await self._parts.buckets.hosted(recording)).pieces())
        version = self._bucket.current.get(key)
        if version is None:
            return None
        body = self._bucket.path_of(version.content_id).read_bytes()
        if recording.encryption_details is None:
            return body
        opened = io.BytesIO()
        decrypt(io.BytesIO(body), opened, private_pem(rsa_key()), recording.encryption_details)
        return opened.getvalue()

    def _no_strangers(self) -> None:
        known = set(self._notebook.acknowledged)
        self._outcome.twice += [f"{sid} was never acknowledged under its key" for sid in self._rows if sid not in known]
        keys = {r.object_key for r in self._rows.values() if r.is_external}
        self._outcome.broken += [
            f"I5: {key} belongs to no recording" for key in self._bucket.history if key not in keys
        ]

    def _one_content_each(self) -> None:
        self._outcome.twice += [
            f"I4: {key} has had {len(contents)} contents"
            for key, contents in self._bucket.history.items()
            if len(contents) != 1
        ]

    async def _all_told(self) -> None:
        for sid, handed in self._notebook.acknowledged.items():
            told = self._storm.receiver.told.get(sid, {})
            owed = await self._parts.ledger.outbox.list_of(AccountSid(handed.account_sid), sid)
            if missing := OWED_TO_ALL - {e.event for e in owed}:
                self._outcome.untold.append(f"{sid}: nobody is to be told {', '.join(sorted(missing))}")
            if missing := {e.event for e in owed if e.state == "sent"} - told.keys():
                self._outcome.untold.append(f"{sid}: nobody was told {', '.join(sorted(missing))}")
            well = {"sent"} if self._storm.weather.callbacks_awaited else {"sent", "due"}
            if unsent := [e.event for e in owed if e.state not in well]:
                self._outcome.untold.append(f"{sid}: still to be told or given up: {', '.join(unsent)}")
            tokens = {e.event: {e.id} for e in owed}
            if any(tokens.get(event) != seen for event, seen in told.items()):
                self._outcome.untold.append(f"{sid}: an event was told under a token that is not its own")
