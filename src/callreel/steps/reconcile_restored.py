"""Bring a database that was restored from a backup together with what spool and buckets hold, before any job runs."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import CallreelError, Outrun
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.model.delivery_failure import level_of, parking_code
from callreel.model.evidence import VerifyMethod
from callreel.model.recording import COMPLETED, Recording, State
from callreel.model.sid import AccountSid, is_sid
from callreel.spool.spool import Spool
from callreel.spool.survey import put_in_quarantine, survey_ready

_NEEDS_FILE = frozenset({State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING, State.PARKED, State.FATAL})
_CAN_BE_PARKED = _NEEDS_FILE - {State.PARKED, State.FATAL}
PUT_OFF = timedelta(days=3650)
REASON = "restored from a backup, and the media is not in the spool"


@dataclass(slots=True)
class Reconciled:
    """What was found, by name. Nothing is ever deleted."""

    adopted: list[str] = field(default_factory=list)
    without_media: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    unknown_objects: list[str] = field(default_factory=list)


async def reconcile_restored(*, ledger: Ledger, spool: Spool, buckets: Buckets, clock: Clock) -> Reconciled:
    """Compare every row with the media it promises, and every file with the row it needs. May be repeated.

    1. a row whose media is not in the spool: delivered, when its object is read in its bucket and is the blob; else
       parked with an alert, and its metadata kept
    2. a recording the service keeps whose file is not in service storage: an alert
    3. a file of the spool without a row (it came after the backup): to quarantine
    4. an object in service storage without a row: listed
    """
    found = Reconciled()
    async for recording in ledger.forgotten.of_host(spool.host_id, _NEEDS_FILE):
        if not await _is_in_spool(recording, spool):
            await _without_media(recording, found, ledger=ledger, buckets=buckets, clock=clock)
    for account in await ledger.accounts.list_all():
        await _look_at_hosted(account.sid, found, ledger=ledger, buckets=buckets, clock=clock)
    await _quarantine_strangers(found, ledger=ledger, spool=spool)
    return found


async def _is_in_spool(recording: Recording, spool: Spool) -> bool:
    path = spool.path_of(recording.sid)
    if recording.encryption_details is not None and recording.blob_sha256 is not None:
        path = spool.sealed_path_of(recording.sid, recording.blob_sha256)
    return await asyncio.to_thread(path.exists)


async def _without_media(
    recording: Recording, found: Reconciled, *, ledger: Ledger, buckets: Buckets, clock: Clock
) -> None:
    try:
        if await _lies_in_bucket(recording, buckets):
            await _adopt(recording, ledger, clock)
            found.adopted.append(recording.sid)
            return
        if recording.state in _CAN_BE_PARKED:
            code = parking_code(recording.kind)
            await ledger.move(
                recording, State.PARKED, reason=REASON, error_code=code, last_error=REASON, next_attempt_at=None
            )
    except Outrun:
        return
    found.without_media.append(recording.sid)
    await _alert(recording, f"{recording.sid} was {REASON}", ledger=ledger, clock=clock)


async def _lies_in_bucket(recording: Recording, buckets: Buckets) -> bool:
    """Whether the object was read and is the blob: the backup is older than the delivery. Unreadable is no."""
    if recording.blob_sha256 is None or recording.object_key is None or not recording.is_external:
        return False
    if recording.state not in (State.SEALED, State.UPLOADING, State.WAITING):
        return False
    digest = hashlib.sha256()
    try:
        bucket = await buckets.of(recording)
        async for piece in bucket.read(recording.object_key):
            digest.update(piece)
    except CallreelError:
        return False
    return digest.hexdigest() == recording.blob_sha256


async def _adopt(recording: Recording, ledger: Ledger, clock: Clock) -> None:
    reason = "restored from a backup; the object in the bucket was read and is the blob"
    if recording.state is not State.UPLOADING:
        recording = await ledger.move(recording, State.UPLOADING, reason=reason)
    await ledger.move(
        recording,
        State.DELIVERED,
        reason=reason,
        verify_method=VerifyMethod.READ,
        verified_at=clock.now(),
        next_attempt_at=None,
        error_code=None,
        upload_id=None,
    )


async def _look_at_hosted(
    account_sid: AccountSid, found: Reconciled, *, ledger: Ledger, buckets: Buckets, clock: Clock
) -> None:
    there: dict[str, str] = {}
    async for listed in buckets.storage.list_contents(f"{account_sid}/"):
        sid = listed.key.rpartition("/")[2].partition(".")[0]
        if is_sid(sid[:2], sid):
            there[sid] = listed.key
    known = await ledger.examination.known(list(there)) if there else set()
    found.unknown_objects += [key for sid, key in there.items() if sid not in known]
    async for page in ledger.examination.pages(account_sid):
        for case in page:
            recording = case.recording
            if recording.state in COMPLETED and not recording.is_external and recording.sid not in there:
                if recording.state is State.DELIVERED:
                    # The spool may have the last copy: releasing it is put off until a person has looked.
                    await ledger.note(recording, next_attempt_at=clock.now() + PUT_OFF)
                found.without_media.append(recording.sid)
                text = f"{recording.sid} was restored from a backup, and its media is not in service storage"
                await _alert(recording, text, ledger=ledger, clock=clock)


async def _quarantine_strangers(found: Reconciled, *, ledger: Ledger, spool: Spool) -> None:
    files = await asyncio.to_thread(lambda: list(survey_ready(spool, now_s=0.0)))
    sids = [file.sid for file in files if file.sid]
    known = await ledger.examination.known(sids) if sids else set()
    for file in files:
        if file.sid not in known:
            await asyncio.to_thread(put_in_quarantine, spool, file)
            found.quarantined.append(file.path.name)


async def _alert(recording: Recording, text: str, *, ledger: Ledger, clock: Clock) -> None:
    code = parking_code(recording.kind)
    await ledger.alerts.raise_alert(
        Alert(
            account_sid=recording.account_sid,
            recording_sid=recording.sid,
            code=code,
            level=level_of(code),
            text=text,
            at=clock.now(),
        )
    )
