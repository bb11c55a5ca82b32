"""Taking in: acknowledged when durable, and nothing kept otherwise."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.errors import (
    BodyCutShort,
    BodyTooLarge,
    DatabaseAway,
    IdempotencyConflict,
    NotAudio,
    SpoolFull,
)
from callreel.ledger import moves
from callreel.media.wav import inspect_wav
from callreel.model.account import Account
from callreel.model.intake import Intake
from callreel.model.recording import Recording, State
from callreel.rehearsal.wav_file import wav_head
from callreel.steps.ingest import ingest
from callreel.steps.open_account import open_account
from tests.stage import Stage, a_wav, in_pieces

CALL = "CA" + "1" * 32
LOUD = b"\x00\x40\x00\xc0" * 80  # 20 ms at half of full scale
CALLBACK = "http://receiver.example.com/cb"


async def ingest_pieces(
    stage: Stage, body: AsyncIterator[bytes], *, announced: int | None, limit: int = 1 << 30
) -> Recording:
    p = stage.parts
    return await ingest(
        body,
        Intake(account_sid=stage.account_sid),
        announced_bytes=announced,
        limit_bytes=limit,
        births=p.births,
        keyring=p.keyring,
        index=p.index,
    )


async def test_what_is_acknowledged_is_in_the_spool_and_in_the_ledger(stage: Stage) -> None:
    body = a_wav(seconds=2, channels=2)
    recording = await stage.take_in(body, call_sid="CA" + "1" * 32, track="both")
    assert recording.state is State.SPOOLED
    assert await stage.look(recording) == recording
    assert await stage.media(recording) == body
    assert (recording.channels, recording.duration_ms, recording.media_size_bytes) == (2, 2000, len(body))
    assert await stage.path_taken(recording) == ["spooled"]


async def test_a_recording_without_a_sample_is_absent_and_not_kept(stage: Stage) -> None:
    recording = await stage.take_in(
        wav_head(0, rate=8000, channels=1), callback=CALLBACK, events="in-progress absent completed failed"
    )
    assert (recording.state, recording.error_code, recording.media_size_bytes) == (State.ABSENT, 16101, 0)
    assert stage.spooled() == []
    assert await stage.events(recording) == [("absent", "16101", "due")]
    assert (await stage.carry(recording)).state is State.ABSENT


async def test_trimmed_silence_is_neither_kept_nor_hashed(stage: Stage) -> None:
    sound = a_wav(seconds=1)[44:]
    sent = wav_head(6 * 16_000, rate=8000, channels=1) + bytes(2 * 16_000) + LOUD + sound + LOUD + bytes(3 * 16_000)
    sent = sent[: 44 + 6 * 16_000]
    recording = await stage.take_in(sent, trim_silence=True, call_sid=CALL)
    kept = await stage.media(recording)
    assert kept[44:] in sent
    assert inspect_wav(io.BytesIO(kept), len(kept)).size_bytes == len(kept)
    assert recording.media_sha256 == hashlib.sha256(kept).hexdigest()
    assert recording.media_md5 == hashlib.md5(kept).hexdigest()
    assert recording.media_size_bytes == len(kept)
    assert recording.duration_ms == 1240
    assert stage.spooled() == [recording.sid]
    call = await stage.parts.ledger.calls.fetch(stage.account_sid, CALL)
    assert call.duration_ms == 6000  # it was silent, and it was a call


async def test_without_silence_the_very_file_is_kept(stage: Stage) -> None:
    sent = wav_head(len(LOUD), rate=8000, channels=1) + LOUD
    recording = await stage.take_in(sent, trim_silence=True)
    assert await stage.media(recording) == sent


async def test_a_key_is_bound_to_what_was_sent_and_not_to_what_was_kept(stage: Stage) -> None:
    silence = [wav_head(size, rate=8000, channels=1) + bytes(size) for size in (32_000, 48_000)]
    first = await stage.take_in(silence[0], trim_silence=True, idempotency_key="k")
    assert (await stage.take_in(silence[0], trim_silence=True, idempotency_key="k")).sid == first.sid
    with pytest.raises(IdempotencyConflict):  # both are kept as the same 0.1 s
        await stage.take_in(silence[1], trim_silence=True, idempotency_key="k")
    assert (first.state, first.duration_ms) == (State.SPOOLED, 100)
    assert stage.spooled() == [first.sid]


async def test_what_is_no_audio_leaves_nothing(stage: Stage) -> None:
    with pytest.raises(NotAudio):
        await stage.take_in(b"<html></html>")
    assert stage.spooled() == []


async def test_a_short_body_is_an_error_and_never_a_short_recording(stage: Stage) -> None:
    body = a_wav()
    for announced in (len(body) + 1, len(body) - 1):
        with pytest.raises(BodyCutShort):
            await ingest_pieces(stage, in_pieces(body), announced=announced)
    assert stage.spooled() == []


async def test_a_body_announced_too_large_is_refused_before_it_is_read(stage: Stage) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    with pytest.raises(BodyTooLarge):
        await ingest_pieces(stage, never(), announced=1001, limit=1000)
    with pytest.raises(SpoolFull):
        await ingest_pieces(stage, never(), announced=1 << 60, limit=1 << 62)


async def test_a_body_that_turns_out_too_large_leaves_nothing(stage: Stage) -> None:
    with pytest.raises(BodyTooLarge):
        await ingest_pieces(stage, in_pieces(a_wav(seconds=1)), announced=None, limit=1000)
    assert stage.spooled() == []


async def test_a_client_that_hangs_up_leaves_nothing(stage: Stage) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield a_wav(seconds=20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await ingest_pieces(stage, broken(), announced=None)
    assert stage.spooled() == []


async def test_a_callback_that_cannot_be_made_does_not_cost_the_recording(stage: Stage) -> None:
    recording = await stage.take_in(callback_problem="The callback URL is malformed")
    assert recording.state is State.SPOOLED
    assert await stage.alerts(recording) == [13256]


# --- Idempotency -----------------------------------------------------------------------------------------------------


async def test_the_same_key_and_request_give_the_same_recording_and_one_file(stage: Stage) -> None:
    first = await stage.take_in(idempotency_key="k", parameters_hash="p")
    again = await stage.take_in(idempotency_key="k", parameters_hash="p")
    assert again == first
    assert stage.spooled() == [first.sid]


async def test_the_same_key_answers_with_the_recording_as_it_is_now(stage: Stage) -> None:
    first = await stage.carry(await stage.take_in(idempotency_key="k"))
    assert await stage.take_in(idempotency_key="k") == first
    assert stage.spooled() == []


@pytest.mark.parametrize("changed", ["parameters", "body"])
async def test_the_same_key_with_another_request_is_a_conflict_and_keeps_nothing(stage: Stage, changed: str) -> None:
    first = await stage.take_in(a_wav(), idempotency_key="k", parameters_hash="p")
    body, parameters = (a_wav(), "q") if changed == "parameters" else (a_wav(seed=1), "p")
    with pytest.raises(IdempotencyConflict):
        await stage.take_in(body, idempotency_key="k", parameters_hash=parameters)
    assert stage.spooled() == [first.sid]


async def test_requests_with_one_key_at_once_make_one_recording(stage: Stage) -> None:
    made = await asyncio.gather(*(stage.take_in(idempotency_key="k") for _ in range(8)))
    assert len({r.sid for r in made}) == 1
    assert stage.spooled() == [made[0].sid]


async def test_without_a_key_two_uploads_are_two_recordings(stage: Stage) -> None:
    assert (await stage.take_in()).sid != (await stage.take_in()).sid


async def test_keys_belong_to_their_account(stage: Stage) -> None:
    first = await stage.take_in(idempotency_key="k")
    other = Stage(stage.parts, stage.clock, *(await _another_account(stage)), stage.s3)
    assert (await other.take_in(idempotency_key="k")).sid != first.sid


async def _another_account(stage: Stage) -> tuple[Account, str]:
    p = stage.parts
    return await open_account(
        "Other", parent=None, accounts=p.ledger.accounts, keyring=p.keyring, digest=p.digest, clock=p.clock
    )


async def test_when_the_commit_is_lost_nothing_is_acknowledged_and_the_file_stays_for_recovery(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jobs = moves.write_jobs

    async def lose(transaction: AsyncConnection, *args: object, **named: object) -> None:
        await write_jobs(transaction, *args, **named)  # type: ignore[arg-type]
        raise ConnectionResetError

    monkeypatch.setattr(moves, "write_jobs", lose)
    with pytest.raises(DatabaseAway):
        await stage.take_in(idempotency_key="k")
    assert len(stage.spooled()) == 1
    monkeypatch.undo()
    (left,) = stage.spooled()
    again = await stage.take_in(idempotency_key="k")
    assert stage.spooled() == sorted([left, again.sid])
