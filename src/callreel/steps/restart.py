"""Begin again with what was given up: the operator's restart of parked and held recordings."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import InvalidDestination, Outrun
from callreel.ledger.ledger import Ledger
from callreel.ledger.paging import Place
from callreel.model.deed import CALLREEL, Action, Actor, Deed
from callreel.model.recording import ObjectFate, Recording, State
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind

PAGE = 500
RESTARTS_PER_S = 100.0  # of one account


def can_be_restarted(recording: Recording) -> bool:
    """Parked, refused for good with its media held, or deleted while its object would not go."""
    return recording.state is State.PARKED or recording.is_held or _has_object_left(recording)


async def restart(
    recording: Recording,
    *,
    ledger: Ledger,
    buckets: Buckets,
    reason: str = "restarted by an operator",
    by: Actor = CALLREEL,
    at: datetime | None = None,
) -> bool:
    """Give one recording a new window under the settings as they are now. False when there was nothing to do.

    It is due at `at` (None: now). Destination and credential are read from the account's current settings, and so is
    the encryption key where the media was never sealed; a sealed blob stays the blob, and an upload in parts that was
    begun goes on where the place is the same. Idempotent.
    """
    if not can_be_restarted(recording):
        return False
    if _has_object_left(recording):
        return await _remove_again(recording, ledger=ledger, buckets=buckets, reason=reason, by=by)
    number, settings = await ledger.settings.current(recording.account_sid, recording.kind)
    refreshed = recording.changed(settings=settings, settings_id=number)
    facts = _anew(number) | {"next_attempt_at": at}
    to = State.SEALED if refreshed.is_sealed else State.SPOOLED
    if refreshed.is_sealed:
        try:
            place = buckets.place_of(refreshed)
            facts |= place
            if recording.upload_id is not None and _is_same_place(recording, refreshed, place):
                facts["upload_id"] = recording.upload_id
        except InvalidDestination:
            # Whoever comes next says so, on the recording: the delivery, or sealing where no place was ever fixed.
            to = State.SEALED if recording.object_key is not None else State.SPOOLED
    try:
        await ledger.move(
            refreshed,
            to,
            reason=reason,
            deed=_deed(recording, by, reason),
            **facts,
        )
    except Outrun:
        return False
    return True


async def restart_all(
    page: Sequence[Recording],
    *,
    ledger: Ledger,
    buckets: Buckets,
    clock: Clock,
    pace: Pace,
    by: Actor = CALLREEL,
    reason: str = "restarted by an operator",
) -> int:
    """Restart a page of recordings together, which share commits, each due a little later than the one before.

    Returns how many were restarted.
    """
    outcomes = await asyncio.gather(
        *(
            restart(one, ledger=ledger, buckets=buckets, reason=reason, by=by, at=pace.next_time(one, clock.now()))
            for one in page
            if can_be_restarted(one)
        )
    )
    return sum(outcomes)


class Pace:
    """Times for restarts, so that many of one account drain gradually: so many a second, the first at once.

    100,000 recordings become 100,000 jobs over 17 minutes, between which everybody else's have their turn.
    """

    def __init__(self, per_s: float = RESTARTS_PER_S) -> None:
        self._per_s = per_s
        self._given: Counter[AccountSid] = Counter()

    def next_time(self, recording: Recording, now: datetime) -> datetime | None:
        """When the next restart of this account is due; None for now."""
        before = self._given[recording.account_sid]
        self._given[recording.account_sid] += 1
        return now + timedelta(seconds=before / self._per_s) if before >= self._per_s else None


def _is_same_place(before: Recording, after: Recording, place: Mapping[str, Any]) -> bool:
    """Whether an upload begun before can be finished: same object, seen with the same credential."""
    return (
        before.object_url == place["object_url"]
        and before.object_key == place["object_key"]
        and before.settings.aws_credentials_sid == after.settings.aws_credentials_sid
        and before.settings.aws_role_arn == after.settings.aws_role_arn
    )


async def take_up_again(account_sid: AccountSid, *, ledger: Ledger, buckets: Buckets, clock: Clock) -> int:
    """Give every held video recording of an account a new window, now that its video settings changed.

    Page by page, from the newest to the oldest; may be repeated. Returns how many were restarted.
    """
    restarted, pace = 0, Pace()
    after: Place | None = None
    while held := await ledger.recordings.list_unfinished(
        account_sid=account_sid, states=None, held_only=True, kind=RecordingKind.VIDEO, after=after, limit=PAGE
    ):
        restarted += await restart_all(
            held,
            ledger=ledger,
            buckets=buckets,
            clock=clock,
            pace=pace,
            reason="the account saved its video settings",
        )
        after = Place(held[-1].date_created, held[-1].sid)
    return restarted


def _has_object_left(recording: Recording) -> bool:
    return recording.state is State.DELETED and recording.object_fate == ObjectFate.REMAINS


async def _remove_again(recording: Recording, *, ledger: Ledger, buckets: Buckets, reason: str, by: Actor) -> bool:
    """Ask the bucket again, for another window, to remove the object of a deleted recording.

    With the credential of the settings as they are now, if they still name that bucket; else with the one of then.
    """
    number, settings = await ledger.settings.current(recording.account_sid, recording.kind)
    try:
        there, then = buckets.destination_of(settings), buckets.destination_of(recording.settings)
    except InvalidDestination:
        there = then = None
    if there is None or then is None or (there.endpoint, there.bucket) != (then.endpoint, then.bucket):
        number = recording.settings_id
    facts = _anew(number) | {"object_fate": ObjectFate.REMOVING, "purge_after": None}
    del facts["error_code"], facts["upload_id"]
    try:
        await ledger.move(recording, State.DELETING, reason=reason, deed=_deed(recording, by, reason), **facts)
    except Outrun:
        return False
    return True


def _deed(recording: Recording, by: Actor, reason: str) -> Deed:
    return by.deed(
        Action.DELIVERIES_RESTARTED,
        recording.account_sid,
        recording.sid,
        reason=reason,
        before=str(recording.state),
    )


def _anew(settings_id: int | None) -> dict[str, Any]:
    return {
        "settings_id": settings_id,
        "attempts": 0,
        "retry_spent_s": 0.0,
        "retry_wait_s": 0.0,
        "refused_at": None,
        "next_attempt_at": None,
        "error_code": None,
        "last_error_code": None,
        "last_error": None,
        "last_request_id": None,
        "upload_id": None,
    }
