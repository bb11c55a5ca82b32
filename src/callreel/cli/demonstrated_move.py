"""The demo's small migration: out of a pretend Twilio on a bad day, into the demo's bucket, with proof."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.speech import speech
from callreel.rehearsal.twilio_faults import DELETE, LIST, MEDIA, fault
from callreel.rehearsal.twilio_shelf import TwilioRecording

OLD = 12
LOOK_EVERY_S = 0.1

Post = Callable[[str, dict[str, str], int], Awaitable[dict[str, Any]]]
Get = Callable[[str], Awaitable[dict[str, Any]]]
Expect = Callable[[bool, str], bool]


async def move_out(
    own_path: str, prefix: str, s3: EmbeddedS3, bucket: str, *, post: Post, get: Get, expect: Expect
) -> int:
    """Add a source, check it, move what it has, and take what its webhook tells. Returns how many were moved.

    Moved is: deleted over there, in the bucket byte for byte, and with a signed receipt. `own_path` is the account's
    path on callreel's surface, `prefix` what its object keys begin with.
    """
    async with PretendTwilio() as twilio:
        over_there = twilio.add_account(name="Demo over there")
        twilio.simulate(over_there, OLD - 1, size_bytes=48_000)
        twilio.add_recording(
            over_there, speech(2, seed=30, channels=2), channels=2, created=datetime.now(UTC) - timedelta(days=400)
        )
        held = {one.sid: _sha256(twilio, one) for one in over_there.shelf.after(None)}
        _have_a_bad_day(twilio)
        form = {"TwilioAccountSid": over_there.sid, "AuthToken": over_there.auth_token, "BaseUrl": twilio.url}
        source = await post(f"{own_path}/Sources", form | {"PollSeconds": "0"}, 201)
        migration = await post(f"{own_path}/Migrations", {"SourceSid": source["sid"]}, 201)
        while migration["status"] == "running":
            await asyncio.sleep(LOOK_EVERY_S)
            migration = await get(f"{own_path}/Migrations/{migration['sid']}")
        expect(migration["status"] == "completed", f"the migration is {migration['status']}: {migration['reason']}")
        items = (await get(f"{own_path}/Migrations/{migration['sid']}/Items?PageSize=100"))["items"]
        new = twilio.add_recording(over_there, speech(2, seed=31), source="RecordVerb")
        held[new.sid] = _sha256(twilio, new)
        told = await twilio.send_webhook(new, f"{source['webhook_url']}?Source=Voicemail")
        expect(told == 204, f"the source's webhook was answered {told}")
        await twilio.until_deleted(new.sid)
        receipts = {item["source_recording_sid"] for item in items if item["receipt"] is not None} | {new.sid}
        moved = 0
        for sid, sha256 in held.items():
            is_there = s3.versions(bucket, f"{prefix}/{sid}") == [sha256]
            is_moved = twilio.deleted.count(sid) == 1 and is_there and sid in receipts
            moved += expect(is_moved, f"{sid} of the pretend Twilio was not moved with proof")
    return moved


def _have_a_bad_day(twilio: PretendTwilio) -> None:
    """Limits, torn downloads, a page of HTML, a deletion that is not answered: nothing that a real day lacks."""
    twilio.at_once = 6
    twilio.faults.next(fault("bare-503"), on=LIST)
    twilio.faults.next(fault("torn-media"), times=2, on=MEDIA)
    twilio.faults.next(fault("html-200"), on=MEDIA)
    twilio.faults.next(fault("too-many"), on=MEDIA)
    twilio.faults.next(fault("internal-error"), on=DELETE)


def _sha256(twilio: PretendTwilio, one: TwilioRecording) -> str:
    found = twilio.accounts[one.account_sid].shelf.find(one.sid)
    assert found is not None
    return hashlib.sha256(found.media).hexdigest()
