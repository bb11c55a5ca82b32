"""Delivery: every class of failure, and what becomes of the recording."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES
from callreel.errors import Outrun
from callreel.model.credential import CredentialKind
from callreel.model.object_lock import LockMode
from callreel.model.patience import CAP_S, WINDOW_S
from callreel.model.recording import Recording, State
from callreel.model.retention_class import RetentionClass
from callreel.model.sid import RetentionClassSid, mint_sid
from callreel.model.storage_settings import FatalErrorPolicy
from callreel.rehearsal import s3_faults as faults
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey
from callreel.sealing.twilio_format import decrypt
from callreel.steps import deliver as deliver_module
from callreel.steps.restart import restart
from callreel.worker.routes import carry, steps_of
from tests.crash.invariants import violations
from tests.sealing.keys import private_pem, public_pem, rsa_key
from tests.stage import BUCKET, WRITER, Stage, a_wav

TWICE = 2  # aiohttp itself tries once more when a kept connection breaks
ALWAYS = 10_000
CALLBACK = "http://receiver.example.com/cb"
ALL_EVENTS = "in-progress completed absent failed"
LARGE_S = 2.2 * MULTIPART_ABOVE_BYTES / 16_000
FINISHED = ["spooled", "sealed", "uploading", "delivered", "released"]


async def test_a_recording_goes_from_the_spool_to_the_bucket_and_the_disk_is_given_back(stage: Stage) -> None:
    body = a_wav()
    recording = await stage.carry(await stage.take_in(body))
    assert await stage.path_taken(recording) == FINISHED
    assert recording.object_key == f"documents/{stage.account_sid}/{recording.sid}"
    assert recording.object_url == f"{stage.s3.url}/{BUCKET}/{recording.object_key}"
    assert recording.verify_method == "checksum"
    assert recording.verified_at == stage.clock.now()
    assert stage.objects(recording) == [recording.blob_sha256] == [recording.media_sha256]
    assert stage.bodies(recording) == body
    assert stage.spooled() == []


@pytest.mark.parametrize("fault", [faults.forget_answer, faults.truncated_answer])
async def test_a_lost_answer_leaves_one_object(stage: Stage, fault: Callable[[], faults.Fault]) -> None:
    stage.s3.faults.next(fault(), TWICE)
    recording = await stage.carry(await stage.take_in())
    assert recording.state is State.WAITING
    assert recording.last_error_code == "BucketUnreachable"
    recording = await stage.carry_until_settled(recording)
    assert recording.state is State.RELEASED
    assert stage.objects(recording) == [recording.blob_sha256]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.reset(), "BucketUnreachable"),
        (faults.html_403(), "Http403"),
        (faults.ok_with_error(), "InternalError"),
        (faults.wrong_etag(), "EvidenceMismatch"),
        (faults.slow_down(), "SlowDown"),
        (faults.refuse("InternalError", 500), "InternalError"),
        (faults.refuse("RequestTimeout", 400), "RequestTimeout"),
        (faults.refuse("BadDigest", 400), "BadDigest"),
        (faults.refuse("RequestTimeTooSkewed", 403), "RequestTimeTooSkewed"),
        (faults.refuse("ExpiredToken", 400), "ExpiredToken"),
        (faults.refuse("NeverHeardOf", 403), "NeverHeardOf"),
        (faults.refuse("MalformedXML", 400), "MalformedXML"),
        (faults.refuse("AccessDenied", 200), "AccessDenied"),
    ],
)
async def test_what_is_not_a_clear_no_is_tried_again(stage: Stage, fault: faults.Fault, code: str) -> None:
    stage.s3.faults.next(fault, TWICE)
    recording = await stage.carry(await stage.take_in())
    assert (recording.state, recording.last_error_code, recording.attempts) == (State.WAITING, code, 1)
    assert recording.refused_at is None
    assert recording.next_attempt_at is not None
    assert timedelta() <= recording.next_attempt_at - stage.clock.now() <= timedelta(seconds=CAP_S)
    stage.s3.faults.clear()
    recording = await stage.carry_until_settled(recording)
    assert recording.state is State.RELEASED
    assert recording.last_error_code is recording.last_error is recording.error_code is None


async def test_a_wrong_etag_is_never_delivered(stage: Stage) -> None:
    stage.s3.faults.next(faults.wrong_etag(), ALWAYS)
    recording = await stage.carry_until_settled(await stage.take_in())
    assert recording.state is State.PARKED
    assert "delivered" not in await stage.path_taken(recording)
    assert stage.spooled() == [recording.sid]


async def test_retry_after_is_obeyed(stage: Stage) -> None:
    stage.s3.faults.next(faults.slow_down(retry_after_s=120))
    recording = await stage.carry(await stage.take_in())
    assert recording.next_attempt_at is not None
    assert recording.next_attempt_at - stage.clock.now() >= timedelta(seconds=120)


async def test_a_waiting_recording_is_not_touched_before_its_time(stage: Stage) -> None:
    stage.s3.faults.next(faults.slow_down(retry_after_s=120))
    recording = await stage.carry(await stage.take_in())
    stage.clock.advance(119)
    assert await stage.carry(recording) == recording
    assert list(stage.s3.seen) == ["PutObject"]


@pytest.mark.parametrize(("code", "status", "error_code"), [("AccessDenied", 403, 16112), ("NoSuchBucket", 404, 16111)])
async def test_a_refusal_is_believed_the_second_time_five_seconds_later_on_a_new_connection(
    stage: Stage, code: str, status: int, error_code: int
) -> None:
    stage.s3.faults.next(faults.refuse(code, status), 2)
    recording = await stage.carry(await stage.take_in(callback=CALLBACK, events=ALL_EVENTS))
    assert recording.state is State.WAITING
    assert recording.next_attempt_at == stage.clock.now() + timedelta(seconds=5)
    assert await stage.carry(recording) == recording
    stage.clock.advance(5)
    recording = await stage.carry(recording)
    assert recording.state is State.FATAL
    assert recording.is_held
    assert (recording.error_code, recording.last_error_code, recording.last_request_id) == (error_code, code, "FAULT")
    first, second = stage.s3.connections_seen
    assert first != second
    assert stage.spooled() == [recording.sid]
    assert await stage.events(recording) == [("in-progress", "0", "due"), ("failed", str(error_code), "due")]
    assert await stage.alerts(recording) == [error_code]


async def test_a_refusal_that_is_not_repeated_costs_nothing(stage: Stage) -> None:
    stage.s3.faults.next(faults.refuse("AccessDenied"))
    recording = await stage.carry_until_settled(await stage.take_in())
    assert recording.state is State.RELEASED
    assert recording.refused_at is None


async def test_a_stumble_between_two_refusals_means_they_are_counted_anew(stage: Stage) -> None:
    for fault in (faults.refuse("AccessDenied"), faults.slow_down(), faults.refuse("AccessDenied")):
        stage.s3.faults.next(fault)
    recording = await stage.carry_until_settled(await stage.take_in())
    assert recording.state is State.RELEASED


async def test_a_refusal_after_the_window_parks_rather_than_waits(stage: Stage) -> None:
    sealed = await stage.sealed()
    late = await stage.parts.ledger.note(sealed, retry_spent_s=WINDOW_S)
    stage.s3.faults.next(faults.refuse("AccessDenied"))
    recording = await stage.step("deliver", late)
    assert recording.state is State.PARKED
    assert recording.retry_spent_s >= WINDOW_S


async def test_after_two_hours_a_recording_is_parked_with_one_event_and_its_file(stage: Stage) -> None:
    began = stage.clock.now()
    stage.s3.faults.next(faults.slow_down(), ALWAYS)
    recording = await stage.carry_until_settled(await stage.take_in(callback=CALLBACK, events=ALL_EVENTS))
    assert recording.state is State.PARKED
    assert recording.retry_spent_s >= WINDOW_S
    assert timedelta(seconds=WINDOW_S) <= stage.clock.now() - began <= timedelta(seconds=WINDOW_S + CAP_S)
    assert recording.next_attempt_at is None
    assert await stage.events(recording) == [("in-progress", "0", "due"), ("failed", "16111", "due")]
    assert await stage.alerts(recording) == [16111]
    assert stage.spooled() == [recording.sid]


async def test_a_parked_recording_is_touched_by_nobody(stage: Stage) -> None:
    stage.s3.faults.next(faults.slow_down(), ALWAYS)
    recording = await stage.carry_until_settled(await stage.take_in())
    stage.s3.faults.clear()
    stage.clock.advance(10 * 86400)
    asked = len(stage.s3.seen)
    assert await stage.carry(recording) == recording
    assert len(stage.s3.seen) == asked


async def test_a_jump_of_the_wall_clock_neither_parks_nor_spares(stage: Stage) -> None:
    stage.s3.faults.next(faults.slow_down(), 2)
    recording = await stage.carry(await stage.take_in())
    stage.clock.jump(86400)
    recording = await stage.carry(recording)
    assert recording.state is State.WAITING
    assert recording.retry_spent_s <= 2


async def test_an_unreachable_bucket_is_tried_again(stage: Stage) -> None:
    await stage.choose(aws_s3_url="http://127.0.0.1:9/calls")
    recording = await stage.carry(await stage.take_in())
    assert (recording.state, recording.last_error_code) == (State.WAITING, "BucketUnreachable")


async def test_an_address_that_must_not_be_called_is_never_called(stage: Stage) -> None:
    recording = await stage.take_in()
    forbidden = recording.settings.changed(aws_s3_url="https://s3.invalid/calls")
    sealed = await stage.step("seal", replace(recording, settings=forbidden))
    recording = await stage.step("deliver", sealed)
    assert recording.state is State.WAITING


# --- Policies --------------------------------------------------------------------------------------------------------


async def test_under_the_policy_delete_a_refused_recording_is_erased(stage: Stage) -> None:
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    recording = await stage.carry_until_settled(await stage.take_in(callback=CALLBACK, events=ALL_EVENTS))
    assert recording.state is State.ERASED
    assert (await stage.path_taken(recording))[-2:] == ["fatal", "erased"]
    assert recording.error_code == 16112
    assert recording.deleted_at == stage.clock.now()
    assert recording.purge_after == stage.clock.now() + timedelta(days=40)
    assert stage.spooled() == []
    assert [event for event, _, _ in await stage.events(recording)] == ["in-progress", "failed"]


async def test_under_the_policy_delete_a_parked_recording_is_kept(stage: Stage) -> None:
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    stage.s3.faults.next(faults.slow_down(), ALWAYS)
    recording = await stage.carry_until_settled(await stage.take_in())
    assert recording.state is State.PARKED
    assert stage.spooled() == [recording.sid]


async def test_a_deleted_credential_is_fatal_after_confirmation(stage: Stage) -> None:
    recording = await stage.take_in()
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.AWS, stage.credential_sid)
    recording = await stage.carry(recording)
    assert recording.state is State.WAITING
    stage.clock.advance(5)
    recording = await stage.carry(recording)
    assert (recording.state, recording.error_code) == (State.FATAL, 16111)
    assert list(stage.s3.seen) == []
    assert stage.spooled() == [recording.sid]


async def test_a_credential_our_key_ring_does_not_open_is_no_reason_to_erase(stage: Stage) -> None:
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    recording = await stage.take_in()
    stage.parts.buckets._keyring = Keyring(MasterKey(b"x" * 32))
    recording = await stage.carry_until_settled(recording)
    assert (recording.state, recording.last_error_code) == (State.PARKED, "SealBroken")
    assert recording.retry_spent_s >= WINDOW_S
    assert stage.spooled() == [recording.sid]


async def test_a_write_only_credential_delivers(stage: Stage) -> None:
    await stage.choose(aws_credentials_sid=await stage.keep_key(WRITER))
    recording = await stage.carry(await stage.take_in())
    assert recording.state is State.RELEASED
    assert list(stage.s3.seen) == ["PutObject", "HeadObject"]  # it may not look, and that is no failure


async def test_what_was_asked_for_at_the_bucket_must_be_confirmed(stage: Stage) -> None:
    await stage.choose(sse_algorithm="AES256", storage_class="STANDARD_IA")
    recording = await stage.carry(await stage.take_in())
    assert recording.state is State.RELEASED
    headers = stage.s3._shelf.bucket(BUCKET).current[str(recording.object_key)].headers
    assert headers["x-amz-server-side-encryption"] == "AES256"
    assert headers["x-amz-storage-class"] == "STANDARD_IA"


# --- The spool -------------------------------------------------------------------------------------------------------


async def test_an_altered_blob_is_parked_and_never_sent(stage: Stage) -> None:
    recording = await stage.sealed(callback=CALLBACK, events="failed")
    path = stage.parts.spool.path_of(recording.sid)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    recording = await stage.carry(recording)
    assert recording.state is State.PARKED
    history = await stage.parts.ledger.recordings.history(stage.account_sid, recording.sid)
    assert (history[-1].reason or "").startswith("spool-corrupt")
    assert list(stage.s3.seen) == []
    assert await stage.alerts(recording) == [16111]
    assert await stage.events(recording) == [("failed", "16111", "due")]
    assert stage.spooled() == [recording.sid]


async def test_an_altered_large_blob_leaves_no_object_and_no_upload(stage: Stage) -> None:
    recording = await stage.sealed(body=a_wav(seconds=LARGE_S))
    with stage.parts.spool.path_of(recording.sid).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    recording = await stage.carry(recording)
    assert recording.state is State.PARKED
    assert stage.s3.keys(BUCKET) == []
    assert stage.s3.open_uploads(BUCKET) == []


async def test_a_blob_that_is_gone_is_parked(stage: Stage) -> None:
    recording = await stage.sealed()
    stage.parts.spool.path_of(recording.sid).unlink()
    recording = await stage.carry(recording)
    assert (recording.state, recording.last_error_code) == (State.PARKED, "BlobMissing")


async def test_a_disk_that_cannot_read_is_a_stumble(stage: Stage) -> None:
    recording = await stage.sealed()
    path = stage.parts.spool.path_of(recording.sid)
    path.rename(path.with_name("aside"))
    path.mkdir()
    recording = await stage.carry(recording)
    assert (recording.state, recording.last_error_code) == (State.WAITING, "SpoolFailed")
    path.rmdir()
    path.with_name("aside").rename(path)
    assert (await stage.carry_until_settled(recording)).state is State.RELEASED


# --- Encryption ------------------------------------------------------------------------------------------------------


async def encrypting(stage: Stage, **changes: Any) -> str:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid, **changes)
    return key_sid


async def test_an_encrypted_recording_is_ciphertext_everywhere_and_opens_with_the_private_key(stage: Stage) -> None:
    key_sid = await encrypting(stage)
    body = a_wav()
    sealed = await stage.step("seal", await stage.take_in(body, callback=CALLBACK))
    assert sealed.blob_sha256 is not None
    assert stage.spooled() == [f"{sealed.sid}.sealed.{sealed.blob_sha256[:16]}"]
    assert b"RIFF" not in (stage.parts.spool.ready / stage.spooled()[0]).read_bytes()
    recording = await stage.carry(sealed)
    assert recording.state is State.RELEASED
    assert stage.spooled() == []
    stored, opened = stage.bodies(recording), io.BytesIO()
    assert len(stored) == len(body) + 16
    details = recording.encryption_details
    assert details is not None
    assert details["public_key_sid"] == key_sid
    decrypt(io.BytesIO(stored), opened, private_pem(rsa_key()), details)
    assert opened.getvalue() == body
    (event,) = await stage.parts.ledger.outbox.list_of(stage.account_sid, recording.sid)
    assert details["encrypted_cek"] in dict(event.parameters)["EncryptionDetails"]


async def test_many_recordings_are_encrypted_in_shared_commits(stage: Stage) -> None:
    await encrypting(stage)
    taken = await asyncio.gather(*(stage.take_in(a_wav(seed=n), trim_silence=n % 2 == 0) for n in range(12)))
    sealed = await asyncio.gather(*(stage.step("seal", r) for r in taken))
    for made in sealed:
        assert await stage.look(made) == made
    assert len({(r.encryption_details or {})["encrypted_cek"] for r in sealed}) == 12


async def test_every_attempt_sends_the_same_ciphertext(stage: Stage) -> None:
    await encrypting(stage)
    stage.s3.faults.next(faults.forget_answer(), 3 * TWICE)
    recording = await stage.carry_until_settled(await stage.take_in())
    assert recording.state is State.RELEASED
    assert recording.attempts > 1
    assert stage.objects(recording) == [recording.blob_sha256]


@pytest.mark.parametrize("as_it_comes", [True, False])
async def test_two_sealings_at_once_leave_a_recording_that_opens(stage: Stage, as_it_comes: bool) -> None:
    await encrypting(stage)
    body = a_wav()
    taken = await stage.take_in(body, trim_silence=not as_it_comes)
    assert taken.is_sealed == as_it_comes
    outcomes = await asyncio.gather(*(stage.step("seal", taken) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(o, Recording) for o in outcomes) == 1
    assert sum(isinstance(o, Outrun) for o in outcomes) == 3
    recording = await stage.carry(taken)
    assert recording.state is State.RELEASED
    opened = io.BytesIO()
    decrypt(io.BytesIO(stage.bodies(recording)), opened, private_pem(rsa_key()), recording.encryption_details or {})
    assert opened.getvalue() == body


async def test_a_late_second_sealing_does_not_take_the_first_ones_bytes(stage: Stage) -> None:
    await encrypting(stage)
    taken = await stage.take_in(trim_silence=True)
    await stage.step("seal", taken)
    with pytest.raises(Outrun):
        await stage.step("seal", taken)
    assert (await stage.carry(taken)).state is State.RELEASED


async def test_a_deleted_public_key_is_fatal_and_the_media_held(stage: Stage) -> None:
    key_sid = await encrypting(stage)
    recording = await stage.take_in(callback=CALLBACK, events="failed", trim_silence=True)
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.PUBLIC_KEY, key_sid)
    recording = await stage.carry(recording)
    assert (recording.state, recording.error_code, recording.is_held) == (State.FATAL, 16105, True)
    assert await stage.events(recording) == [("failed", "16105", "due")]
    assert await stage.alerts(recording) == [16105]
    assert stage.spooled() == [recording.sid]


async def test_a_public_key_our_key_ring_does_not_open_parks_and_keeps_the_media_under_any_policy(stage: Stage) -> None:
    await encrypting(stage, fatal_error_policy=FatalErrorPolicy.DELETE)
    recording = await stage.take_in(trim_silence=True)
    stage.parts.keyring = Keyring(MasterKey(b"x" * 32))
    recording = await stage.carry(recording)
    assert (recording.state, recording.error_code) == (State.PARKED, 16106)
    assert stage.spooled() == [recording.sid]


async def test_media_that_is_gone_before_it_is_sealed_is_parked_with_its_reason(stage: Stage) -> None:
    await encrypting(stage)
    recording = await stage.take_in(callback=CALLBACK, events="failed", trim_silence=True)
    stage.parts.spool.path_of(recording.sid).unlink()
    recording = await stage.carry(recording)
    assert (recording.state, recording.error_code) == (State.PARKED, 16111)
    assert await stage.events(recording) == [("failed", "16111", "due")]
    assert await stage.alerts(recording) == [16111]
    history = await stage.parts.ledger.recordings.history(stage.account_sid, recording.sid)
    assert (history[-1].reason or "").startswith("spool-corrupt")


# --- Multipart -------------------------------------------------------------------------------------------------------


async def test_a_large_blob_goes_in_parts(stage: Stage) -> None:
    body = a_wav(seconds=LARGE_S)
    recording = await stage.carry(await stage.take_in(body))
    assert (recording.state, recording.upload_id) == (State.RELEASED, None)
    assert list(stage.s3.seen).count("UploadPart") == 3
    assert stage.objects(recording) == [recording.media_sha256]
    assert stage.s3.open_uploads(BUCKET) == []


async def test_the_upload_id_is_in_the_row_before_the_first_part(stage: Stage) -> None:
    stage.s3.faults.next(faults.stall(), on="UploadPart")
    sealed = await stage.sealed(body=a_wav(seconds=LARGE_S))
    sending = asyncio.create_task(stage.step("deliver", sealed))
    await stage.s3.faults.stalled.wait()
    there = await stage.look(sealed)
    assert there.state is State.UPLOADING
    assert there.upload_id is not None
    stage.s3.faults.release()
    assert (await sending).state is State.DELIVERED


async def test_an_upload_is_resumed_with_the_parts_that_are_there(stage: Stage) -> None:
    stage.s3.faults.next(faults.slow_down(), on="CompleteMultipartUpload")
    recording = await stage.carry(await stage.take_in(a_wav(seconds=LARGE_S)))
    assert recording.state is State.WAITING
    assert recording.upload_id is not None
    recording = await stage.carry_until_settled(recording)
    assert recording.state is State.RELEASED
    assert list(stage.s3.seen).count("UploadPart") == 3
    assert stage.objects(recording) == [recording.media_sha256]


async def test_an_unanswered_completion_leaves_one_content(stage: Stage) -> None:
    stage.s3.faults.next(faults.forget_answer(), TWICE, on="CompleteMultipartUpload")
    recording = await stage.carry_until_settled(await stage.take_in(a_wav(seconds=LARGE_S)))
    assert recording.state is State.RELEASED
    assert stage.objects(recording) == [recording.media_sha256]
    assert stage.s3.open_uploads(BUCKET) == []


async def test_a_200_with_an_error_for_the_completion_is_not_delivered(stage: Stage) -> None:
    stage.s3.faults.next(faults.ok_with_error(), on="CompleteMultipartUpload")
    recording = await stage.carry(await stage.take_in(a_wav(seconds=LARGE_S)))
    assert recording.state is State.WAITING
    assert (await stage.carry_until_settled(recording)).state is State.RELEASED


# --- Evidence, leases, service storage -------------------------------------------------------------------------------


async def test_accepted_evidence_keeps_the_blob_for_the_grace_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh = deliver_module.weigh

    def without_digests(answer: Any, **asked: Any) -> Any:  # a provider that offers nothing to compare
        return weigh(replace(answer, checksum_sha256=None, etag_is_md5=False), **asked)

    monkeypatch.setattr(deliver_module, "weigh", without_digests)
    recording = await stage.carry(await stage.take_in())
    assert (recording.state, recording.verify_method) == (State.DELIVERED, "accepted")
    assert recording.next_attempt_at == stage.clock.now() + timedelta(seconds=900)
    assert stage.spooled() == [recording.sid]
    stage.clock.advance(899)
    assert (await stage.carry(recording)).state is State.DELIVERED
    stage.clock.advance(1)
    assert (await stage.carry(recording)).state is State.RELEASED
    assert stage.spooled() == []


async def test_a_lost_upload_is_taken_over(stage: Stage) -> None:
    sealed = await stage.sealed()
    lost = await stage.parts.ledger.move(sealed, State.UPLOADING, attempts=1)
    recording = await stage.carry(lost)
    assert recording.state is State.RELEASED
    assert await stage.path_taken(recording) == [*FINISHED[:3], "waiting", "uploading", "delivered", "released"]


async def test_a_worker_that_was_taken_over_commits_nothing(stage: Stage) -> None:
    stage.s3.faults.next(faults.stall())
    sealed = await stage.sealed()
    slow = asyncio.create_task(stage.step("deliver", sealed))
    await stage.s3.faults.stalled.wait()
    assert (await stage.carry(sealed)).state is State.RELEASED
    stage.s3.faults.release()
    with pytest.raises(Outrun):
        await slow
    recording = await stage.look(sealed)
    assert recording.state is State.RELEASED
    assert stage.objects(recording) == [recording.blob_sha256]


async def test_without_external_storage_the_service_keeps_the_recording(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    body = a_wav()
    recording = await stage.carry(await stage.take_in(body))
    assert (recording.state, recording.is_external, recording.object_url) == (State.RELEASED, False, None)
    assert recording.verify_method == "checksum"
    assert await stage.hosted(recording) == body
    assert stage.spooled() == []
    assert list(stage.s3.seen) == []


async def test_storage_switched_off_and_on_again_holds_for_recordings_made_after_it(stage: Stage) -> None:
    before = await stage.take_in()
    await stage.choose(aws_storage_enabled=False)
    between = await stage.take_in()
    await stage.choose()
    after = await stage.take_in()
    placed = [(await stage.carry(r)).is_external for r in (after, between, before)]
    assert placed == [True, False, True]


async def test_the_lock_of_a_retention_class_is_asked_for_at_delivery(stage: Stage) -> None:
    now = stage.clock.now()
    await stage.parts.ledger.retention_classes.keep(
        RetentionClass(
            sid=RetentionClassSid(mint_sid("RC")),
            account_sid=stage.account_sid,
            friendly_name="voicemails for seven years",
            position=1,
            source="Voicemail",
            lock_mode=LockMode.COMPLIANCE,
            lock_days=2555,
            date_created=now,
            date_updated=now,
        )
    )
    voicemail = await stage.carry_until_settled(await stage.take_in(source="Voicemail"))
    call = await stage.carry_until_settled(await stage.take_in(a_wav(seed=2)))
    assert (voicemail.state, call.state) == (State.FATAL, State.RELEASED)  # this bucket has no Object Lock
    assert "Object Lock" in str(voicemail.last_error)


# --- The table of failures -------------------------------------------------------------------------------------------

FATAL = [
    ("AccessDenied", 16112),
    ("AllAccessDisabled", 16112),
    ("AccountProblem", 16111),
    ("InvalidAccessKeyId", 16111),
    ("SignatureDoesNotMatch", 16111),
    ("InvalidToken", 16111),
    ("NoSuchBucket", 16111),
    ("InvalidBucketName", 16111),
    ("MethodNotAllowed", 16112),
    ("EntityTooLarge", 16112),
    ("KMS.DisabledException", 16111),
    ("KMS.NotFoundException", 16111),
    ("KMS.AccessDeniedException", 16112),
]
RETRIED = [
    ("SlowDown", 503),
    ("TooManyRequests", 429),
    ("RequestTimeout", 408),
    ("InternalError", 500),
    ("OperationAborted", 409),
    ("BadDigest", 400),
    ("XAmzContentSHA256Mismatch", 400),
    ("IncompleteBody", 400),
    ("RequestTimeTooSkewed", 403),
    ("ExpiredToken", 400),
    ("NoSuchUpload", 404),
    ("NobodyKnowsThisCode", 403),
    ("MalformedXML", 400),
    ("InvalidArgument", 400),
    ("MissingContentLength", 411),
]


@pytest.mark.parametrize(("code", "told"), FATAL)
async def test_a_code_on_the_fatal_list_given_twice_is_held_with_its_error_code(
    stage: Stage, code: str, told: int
) -> None:
    stage.s3.faults.next(faults.refuse(code), 2)
    recording = await stage.carry_until_settled(
        await stage.take_in(callback="http://r.example.com/cb", events="completed failed")
    )
    assert (recording.is_held, recording.error_code, recording.last_error_code) == (True, told, code)
    assert [(event, error) for event, error, _ in await stage.events(recording)] == [("failed", str(told))]
    assert stage.parts.spool.path_of(recording.sid).exists()


@pytest.mark.parametrize(("code", "status"), RETRIED)
async def test_every_other_code_is_retried_however_often_it_comes(stage: Stage, code: str, status: int) -> None:
    stage.s3.faults.next(faults.refuse(code, status), 4)
    recording = await stage.sealed()
    for _ in range(4):
        recording = await stage.carry(recording)
        assert (recording.state, recording.last_error_code, recording.error_code) == (State.WAITING, code, None)
        stage.clock.advance(301)
    assert (await stage.carry(recording)).state is State.RELEASED


@pytest.mark.parametrize("code", ["MalformedXML", "InvalidArgument", "MissingContentLength", "RequestTimeTooSkewed"])
async def test_what_may_be_our_own_fault_raises_an_alarm_once(stage: Stage, code: str) -> None:
    stage.s3.faults.next(faults.refuse(code, 400), 3)
    recording = await stage.sealed()
    for _ in range(3):
        recording = await stage.carry(recording)
        stage.clock.advance(301)
    assert await stage.alerts(recording) == [16111]


async def test_a_bucket_that_contradicts_itself_three_times_is_parked_with_an_alarm_and_restarts(stage: Stage) -> None:
    stage.s3.faults.next(faults.wrong_etag(), 3)
    recording = await stage.carry_until_settled(await stage.sealed())
    assert (recording.state, recording.attempts, recording.last_error_code) == (State.PARKED, 3, "EvidenceMismatch")
    lines = await stage.parts.ledger.recordings.history(stage.account_sid, recording.sid)
    assert str(lines[-1].reason).startswith("evidence-mismatch: ")
    assert await stage.alerts(recording) == [16111, 16111]  # at the first, and when it was given up
    assert await restart(recording, ledger=stage.parts.ledger, buckets=stage.parts.buckets)
    assert (await stage.carry(recording)).state is State.RELEASED


async def test_a_mismatch_now_and_then_is_tried_on(stage: Stage) -> None:
    recording = await stage.sealed()
    for fault in (faults.wrong_etag(), faults.slow_down(), faults.wrong_etag(), faults.wrong_etag(), faults.bare_503()):
        stage.s3.faults.next(fault)
        recording = await stage.carry(recording)
        assert recording.state is State.WAITING
        stage.clock.advance(301)
    assert (await stage.carry(recording)).state is State.RELEASED


async def test_a_bucket_that_confirms_and_stores_nothing_is_found_out_by_looking_again(stage: Stage) -> None:
    stage.s3.faults.next(faults.store_nothing(), on="PutObject")
    recording = await stage.carry(await stage.take_in())
    assert (recording.state, recording.last_error_code) == (State.WAITING, "EvidenceMismatch")
    assert "no object" in str(recording.last_error)
    assert stage.spooled() == [recording.sid]
    recording = await stage.carry_until_settled(recording)
    assert recording.state is State.RELEASED
    assert stage.objects(recording) == [recording.blob_sha256]


async def test_a_bucket_that_never_stores_is_given_up_with_an_alarm_and_the_file_stays(stage: Stage) -> None:
    stage.s3.faults.next(faults.store_nothing(), ALWAYS, on="PutObject")
    recording = await stage.carry_until_settled(await stage.take_in())
    assert (recording.state, recording.attempts) == (State.PARKED, 3)
    assert "delivered" not in await stage.path_taken(recording)
    assert stage.spooled() == [recording.sid]


async def test_a_bucket_is_looked_into_at_its_first_delivery_and_an_hour_later_again(stage: Stage) -> None:
    steps = steps_of(stage.parts)
    for advance_s in (0, 3599, 1):
        stage.clock.advance(advance_s)
        taken = await carry((await stage.take_in()).sid, parts=stage.parts, steps=steps)
        assert taken is not None
        assert taken.state is State.RELEASED
    assert list(stage.s3.seen) == ["PutObject", "HeadObject", "PutObject", "PutObject", "HeadObject"]


async def test_what_is_believed_between_two_looks_is_found_by_check(stage: Stage) -> None:
    steps = steps_of(stage.parts)
    await carry((await stage.take_in()).sid, parts=stage.parts, steps=steps)
    stage.s3.faults.next(faults.store_nothing(), on="PutObject")
    lost = await carry((await stage.take_in()).sid, parts=stage.parts, steps=steps)
    assert lost is not None
    assert lost.state is State.RELEASED
    found = await violations(stage, {})
    assert found
    assert all(lost.sid in line for line in found)


@pytest.mark.parametrize("fault", [faults.reset(), faults.refuse("AccessDenied"), faults.bare_503()])
async def test_a_look_that_fails_says_nothing(stage: Stage, fault: faults.Fault) -> None:
    stage.s3.faults.next(fault, TWICE, on="HeadObject")
    recording = await stage.carry(await stage.take_in())
    assert (recording.state, recording.verify_method) == (State.RELEASED, "checksum")
