"""With a key that works a recording is encrypted while it comes: the spool never holds anything else of it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from callreel.errors import BodyCutShort, DatabaseAway, IdempotencyConflict, NotAudio, SpoolFailed
from callreel.examine.examine import examine
from callreel.ledger.ledger import Ledger
from callreel.model.credential import CredentialKind
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import FatalErrorPolicy
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey
from callreel.sealing.twilio_format import decrypt
from callreel.spool.spool import Spool
from callreel.steps.ingest import Intake, ingest
from callreel.steps.reconcile_restored import reconcile_restored
from callreel.steps.request_deletion import request_deletion
from callreel.steps.restart import restart
from tests.crash.invariants import scene_of
from tests.sealing.keys import private_pem, public_pem, rsa_key
from tests.stage import BUCKET, Stage, a_wav, in_pieces

BODY = a_wav(seconds=30)  # several pieces
CALLBACK = "http://r.example.com/cb"


@pytest.fixture
async def key_sid(stage: Stage) -> str:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    return key_sid


def opened(blob: bytes, recording: Recording) -> bytes:
    media = io.BytesIO()
    decrypt(io.BytesIO(blob), media, private_pem(rsa_key()), recording.encryption_details or {})
    return media.getvalue()


async def only_file(stage: Stage) -> bytes:
    (name,) = stage.spooled()
    return (stage.parts.spool.ready / name).read_bytes()


async def test_what_is_acknowledged_is_the_blob_and_opens_for_its_owner_alone(stage: Stage, key_sid: str) -> None:
    recording = await stage.look(await stage.take_in(BODY))
    lying = await only_file(stage)
    assert stage.spooled() == [f"{recording.sid}.sealed.{hashlib.sha256(lying).hexdigest()[:16]}"]
    assert opened(lying, recording) == BODY
    assert (recording.state, recording.is_sealed, recording.media_key_wrapped) == (State.SPOOLED, True, None)
    assert recording.media_sha256 == hashlib.sha256(BODY).hexdigest()
    assert (recording.media_size_bytes, recording.blob_size_bytes) == (len(BODY), len(BODY) + 16)
    assert recording.blob_sha256 == hashlib.sha256(lying).hexdigest()
    assert recording.blob_md5 == hashlib.md5(lying, usedforsecurity=False).hexdigest()
    assert (recording.channels, recording.duration_ms) == (1, 30_000)
    done = await stage.carry(recording)
    assert done.state is State.RELEASED
    assert stage.bodies(done) == lying
    assert stage.spooled() == []


async def test_no_plain_byte_is_on_the_disk_while_it_comes(stage: Stage, key_sid: str) -> None:
    seen: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        async for piece in in_pieces(BODY):
            yield piece
            seen.extend(path.read_bytes() for path in stage.parts.spool.root.rglob("RE*"))

    p = stage.parts
    await ingest(
        body(),
        Intake(account_sid=stage.account_sid),
        announced_bytes=len(BODY),
        limit_bytes=1 << 30,
        births=p.births,
        keyring=p.keyring,
        index=p.index,
    )
    assert max(len(draft) for draft in seen) >= 256 * 1024
    assert not any(BODY[at : at + 32] in draft for draft in seen for at in range(0, len(BODY), 16_000))


async def test_every_recording_has_a_key_of_its_own(stage: Stage, key_sid: str) -> None:
    one, other = await stage.take_in(BODY), await stage.take_in(BODY)
    assert one.media_sha256 == other.media_sha256
    assert one.blob_sha256 != other.blob_sha256
    assert (one.encryption_details or {})["iv"] != (other.encryption_details or {})["iv"]


async def test_in_progress_tells_no_details_and_completed_does(stage: Stage, key_sid: str) -> None:
    done = await stage.carry(await stage.take_in(BODY, callback=CALLBACK, events="in-progress completed"))
    told = {e.event: dict(e.parameters) for e in await stage.parts.ledger.outbox.list_of(stage.account_sid, done.sid)}
    assert "EncryptionDetails" not in told["in-progress"]
    assert (done.encryption_details or {})["iv"] in told["completed"]["EncryptionDetails"]


# --- Nothing acknowledged, nothing kept ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "announced", "error"),
    [(b"<html>no recording</html>", None, NotAudio), (BODY[:-1000], len(BODY), BodyCutShort)],
)
async def test_what_is_refused_leaves_nothing(
    stage: Stage, key_sid: str, body: bytes, announced: int | None, error: type[Exception]
) -> None:
    p = stage.parts
    with pytest.raises(error):
        await ingest(
            in_pieces(body),
            Intake(account_sid=stage.account_sid),
            announced_bytes=announced,
            limit_bytes=1 << 30,
            births=p.births,
            keyring=p.keyring,
            index=p.index,
        )
    assert stage.spooled() == []


@pytest.mark.parametrize("error", [SpoolFailed, asyncio.CancelledError])
async def test_a_name_that_is_not_durable_is_taken_back(
    stage: Stage, key_sid: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    named: list[str] = []

    async def refuses(spool: Spool) -> None:
        named.extend(stage.spooled())
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "_synced", refuses)
        with pytest.raises(error):
            await stage.take_in(BODY)
    assert ".sealed." in named[0]
    assert stage.spooled() == []


async def test_a_file_without_a_sample_is_absent_and_has_no_details(stage: Stage, key_sid: str) -> None:
    absent = await stage.take_in(a_wav(seconds=0))
    assert (absent.state, absent.encryption_details, absent.is_sealed) == (State.ABSENT, None, False)
    assert stage.spooled() == []


async def test_the_same_request_again_finds_the_first_and_leaves_no_second_file(stage: Stage, key_sid: str) -> None:
    first = await stage.take_in(BODY, idempotency_key="key")
    lying = stage.spooled()
    again = await stage.take_in(BODY, idempotency_key="key")
    assert again.sid == first.sid
    assert stage.spooled() == lying
    with pytest.raises(IdempotencyConflict):
        await stage.take_in(a_wav(), idempotency_key="key")
    assert stage.spooled() == lying
    assert (await stage.carry(first)).state is State.RELEASED


async def test_what_the_database_may_have_stays(stage: Stage, key_sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(self: Ledger, birth: object) -> Any:
        raise DatabaseAway

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "bear", lost)
        with pytest.raises(DatabaseAway):
            await stage.take_in(BODY)
    (left,) = stage.spooled()
    assert ".sealed." in left
    found = await examine(scene_of(stage.parts))
    assert found.ok


# --- Between intake and delivery -------------------------------------------------------------------------------------


async def test_settings_switched_off_meanwhile_change_nothing_of_what_waits(stage: Stage, key_sid: str) -> None:
    waiting = await stage.take_in(BODY)
    await stage.choose(encryption_enabled=False, aws_storage_enabled=False)
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.PUBLIC_KEY, key_sid)
    done = await stage.carry(waiting)
    assert (done.state, done.is_external) == (State.RELEASED, True)
    assert opened(stage.bodies(done), done) == BODY


async def test_service_storage_holds_the_ciphertext_as_it_is(stage: Stage, key_sid: str) -> None:
    await stage.choose(aws_storage_enabled=False, encryption_enabled=True, encryption_key_sid=key_sid)
    done = await stage.carry(await stage.take_in(BODY))
    assert done.state is State.RELEASED
    assert opened(stage.parts.buckets.storage.path_of(str(done.object_key)).read_bytes(), done) == BODY
    assert (await examine(scene_of(stage.parts))).ok


@pytest.mark.parametrize("where", ["first", "middle", "tag", "short", "gone"])
async def test_ciphertext_that_was_altered_is_parked_and_never_sent(stage: Stage, key_sid: str, where: str) -> None:
    recording = await stage.take_in(BODY)
    path = stage.parts.spool.ready / stage.spooled()[0]
    content = bytearray(path.read_bytes())
    if where == "gone":
        path.unlink()
    else:
        content[{"first": 0, "middle": 100_000}.get(where, -1)] ^= 1
        path.write_bytes(content[:-1] if where == "short" else content)
    found = await examine(scene_of(stage.parts))
    assert {violation.invariant for violation in found.violations} == {"I3" if where == "gone" else "I1"}
    parked = await stage.carry(recording)
    assert (parked.state, parked.error_code) == (State.PARKED, 16111)
    assert stage.s3.keys(BUCKET) == []


async def test_a_bucket_url_that_cannot_be_read_is_fatal_and_a_restart_says_so_again_or_delivers(
    stage: Stage, key_sid: str
) -> None:
    recording = await stage.take_in(BODY)
    held = await _with_settings(stage, recording, "aws_s3_url", "ftp://nowhere")
    assert (held.state, held.error_code, held.object_key) == (State.FATAL, 16111, None)
    await _spoil_settings(stage, "aws_s3_url", "ftp://nowhere")
    assert await restart(held, ledger=stage.parts.ledger, buckets=stage.parts.buckets)
    again = await stage.carry(held)
    assert (again.state, again.error_code) == (State.FATAL, 16111)
    await stage.choose()
    assert await restart(again, ledger=stage.parts.ledger, buckets=stage.parts.buckets)
    done = await stage.carry(again)
    assert done.state is State.RELEASED
    assert opened(stage.bodies(done), done) == BODY


async def _with_settings(stage: Stage, recording: Recording, name: str, value: str) -> Recording:
    """What becomes of it under settings that were fine once."""
    await _spoil_settings(stage, name, value)
    return await stage.carry(recording)


async def _spoil_settings(stage: Stage, name: str, value: str) -> None:
    async with stage.parts.ledger.engine.begin() as transaction:
        query = "UPDATE settings_versions SET settings = jsonb_set(settings, ARRAY[:name], to_jsonb(CAST(:v AS text)))"
        await transaction.execute(text(query), {"name": name, "v": value})
    stage.parts.ledger.settings._versions.clear()


async def test_the_policy_delete_leaves_nothing_of_it(stage: Stage, key_sid: str) -> None:
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid, fatal_error_policy=FatalErrorPolicy.DELETE)
    erased = await _with_settings(stage, await stage.take_in(BODY), "aws_s3_url", "ftp://nowhere")
    assert erased.state is State.ERASED
    assert stage.spooled() == []


async def test_deleting_leaves_nothing_of_it(stage: Stage, key_sid: str) -> None:
    await stage.choose(aws_storage_enabled=False, encryption_enabled=True, encryption_key_sid=key_sid)
    delivered = await stage.step("deliver", await stage.step("seal", await stage.take_in(BODY)))
    assert len(stage.spooled()) == 1
    await request_deletion(stage.account_sid, delivered.sid, ledger=stage.parts.ledger)
    assert (await stage.carry(delivered)).state is State.DELETED
    assert stage.spooled() == []


async def test_after_a_restore_it_is_known_to_be_there(stage: Stage, key_sid: str) -> None:
    recording = await stage.take_in(BODY)
    p = stage.parts
    found = await reconcile_restored(ledger=p.ledger, spool=p.spool, buckets=p.buckets, clock=p.clock)
    assert found.without_media == []
    assert (await stage.look(recording)).state is State.SPOOLED


# --- Keys that do not work -------------------------------------------------------------------------------------------


async def test_a_key_that_does_not_open_leaves_the_media_sealed_by_us_and_says_so(stage: Stage, key_sid: str) -> None:
    stage.parts.births._keyring = Keyring(MasterKey(b"x" * 32))
    taken = await stage.take_in(BODY)
    assert (taken.state, taken.encryption_details, taken.is_sealed) == (State.SPOOLED, None, False)
    assert await stage.media(taken) == BODY
    done = await stage.carry(taken)  # by then it opens again
    assert done.state is State.RELEASED
    assert opened(stage.bodies(done), done) == BODY


async def test_a_deleted_key_is_not_used_a_moment_later(stage: Stage, key_sid: str) -> None:
    await stage.take_in(BODY)
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.PUBLIC_KEY, key_sid)
    held = await stage.carry(await stage.take_in(BODY))
    assert (held.state, held.error_code, held.encryption_details) == (State.FATAL, 16105, None)
