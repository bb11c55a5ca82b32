"""Take a finished recording in. It is acknowledged when it is durable, and not before."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from callreel.births import Births, Kept, NothingInIt
from callreel.ledger.alerts import Alert
from callreel.ledger.calls import NOBODY_TO_ASK
from callreel.ledger.moves import Birth
from callreel.media.excerpt import excerpt
from callreel.media.silence import Span, find_sound
from callreel.media.wav import WavFacts, inspect_wav
from callreel.model.delivery_failure import TOO_SHORT
from callreel.model.intake import Intake
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid, mint_sid
from callreel.sealing.blind_index import BlindIndex
from callreel.sealing.keyring import Keyring
from callreel.sealing.parties import seal_parties
from callreel.spool.draft_file import Digests

INVALID_CALLBACK_URL = 13256  # Twilio's Debugger code


async def ingest(
    body: AsyncIterator[bytes],
    intake: Intake,
    *,
    announced_bytes: int | None,
    limit_bytes: int,
    births: Births,
    keyring: Keyring,
    index: BlindIndex,
) -> Recording:
    """Receive, check and keep one recording.

    1. make sure there is room and a database, before the body is read
    2. stream the body to the spool, hashing it; encrypted for the customer's key where the account asks for that
    3. check that it is audio, cut silence off where that is asked for, make file and name durable
    4. write row, call, job and first event in one transaction

    Returns the recording, or the one an earlier request with the same key made. Raises `SpoolFull`,
    `BodyTooLarge`, `BodyCutShort`, `NotAudio`, `IdempotencyConflict`, `SpoolFailed` and `DatabaseAway`; after
    any of them nothing was acknowledged.
    """
    trimming = _Trimming() if intake.trim_silence else None
    kept = await births.receive(
        RecordingSid(mint_sid("RE")),
        body,
        _audible,
        account_sid=intake.account_sid,
        kind=intake.kind,
        announced_bytes=announced_bytes,
        limit_bytes=limit_bytes,
        rewrite=trimming,
        encrypts=True,
    )
    sent_sha256, lasted_ms = kept.digests.sha256, kept.facts.duration_ms
    if trimming is not None and kept.state is State.SPOOLED:
        sent_sha256, lasted_ms = trimming.sent_sha256, trimming.lasted_ms
    lasted = timedelta(milliseconds=lasted_ms)
    recording = _recording(kept, intake, lasted, now=births.clock.now())
    return await births.bear(_birth(recording, intake, lasted, sent_sha256, keyring=keyring, index=index))


def _audible(file: BinaryIO, size_bytes: int) -> WavFacts:
    facts = inspect_wav(file, size_bytes)
    if facts.frames == 0:
        raise NothingInIt(facts)
    return facts


def _recording(kept: Kept[WavFacts], intake: Intake, lasted: timedelta, *, now: datetime) -> Recording:
    return kept.newborn(
        now=now,
        call_sid=intake.call_sid,
        conference_sid=intake.conference_sid,
        source=intake.source,
        track=intake.track,
        channels=kept.facts.channels,
        duration_ms=kept.facts.duration_ms,
        media_type="audio/x-wav",
        start_time=intake.start_time or now - lasted,
        callback=intake.callback,
        error_code=TOO_SHORT if kept.state is State.ABSENT else None,
    )


class _Trimming:
    """Cuts silence off both ends, and remembers what came: a call lasted as long, and a key is bound to it."""

    sent_sha256 = ""
    lasted_ms = 0

    def __call__(self, file: BinaryIO, facts: WavFacts, came: Digests) -> Iterator[bytes] | None:
        self.sent_sha256, self.lasted_ms = came.sha256, facts.duration_ms
        span = find_sound(file, facts)
        return None if span == Span(0, facts.frames) else excerpt(file, facts, span)


def _birth(
    recording: Recording,
    intake: Intake,
    lasted: timedelta,
    sent_sha256: str,
    *,
    keyring: Keyring,
    index: BlindIndex,
) -> Birth:
    now = recording.date_created
    seen: dict[str, Any] = {"account_sid": intake.account_sid, "date_created": now, "date_updated": now}
    call = conference = None
    if intake.call_sid:
        call = seen | {
            "sid": intake.call_sid,
            **_parties(intake, keyring, index),
            "direction": intake.direction,
            "campaign": intake.campaign,
            "status": "completed",
            "start_time": recording.start_time,
            "end_time": recording.start_time + lasted,
            "duration_ms": lasted // timedelta(milliseconds=1),
            **NOBODY_TO_ASK,
        }
    if intake.conference_sid:
        conference = seen | {
            "sid": intake.conference_sid,
            "name_sealed": None,
            "name_mark": None,
            "status": "completed",
        }
    request = f"{intake.parameters_hash}:{sent_sha256}"
    return Birth(
        recording=recording,
        call=call,
        conference=conference,
        idempotency_key=intake.idempotency_key,
        request_hash=hashlib.sha256(request.encode()).hexdigest(),
        alerts=_alerts(recording, intake, now),
    )


def _alerts(recording: Recording, intake: Intake, now: datetime) -> tuple[Alert, ...]:
    """What its owner should read of it. They are written with the row: a 201 must not fail on them."""
    told: list[tuple[int, str]] = []
    if intake.callback_problem is not None:
        told.append((INVALID_CALLBACK_URL, intake.callback_problem))
    if recording.state is State.ABSENT:
        told.append((TOO_SHORT, "The recording has not a single sample, so nothing was stored"))
    return tuple(
        Alert(
            account_sid=intake.account_sid, recording_sid=recording.sid, code=code, level="warning", text=text, at=now
        )
        for code, text in told
    )


def _parties(intake: Intake, keyring: Keyring, index: BlindIndex) -> dict[str, bytes | None]:
    given = {"from": intake.from_number, "to": intake.to_number}
    return seal_parties(given, call_sid=intake.call_sid, account_sid=intake.account_sid, keyring=keyring, index=index)
