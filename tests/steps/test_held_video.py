"""Video's own rule: what its settings keep from the bucket is held, told by alerts, and taken up again by itself."""

from __future__ import annotations

import asyncio
import json

import pytest

from callreel.model.credential import CredentialKind
from callreel.model.recording import State
from callreel.model.sid import CredentialSid
from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind, StorageSettings
from callreel.model.twilio_status import video_status
from callreel.rehearsal import s3_faults as faults
from callreel.steps.keep_credential import keep_public_key
from callreel.steps.recover import Recovery, recover
from callreel.steps.restart import take_up_again
from callreel.worker.worker import Worker
from tests.sealing.keys import public_pem, rsa_key
from tests.video import BUCKET, KEY, MEDIA, Studio

ALWAYS = 10_000
CALLBACK = "http://receiver.example.com/cb"


async def test_a_track_goes_to_the_bucket_under_twilios_key_with_its_extension(studio: Studio) -> None:
    await studio.store_outside()
    recording = await studio.carry_until_settled(await studio.spooled())
    key = f"video/{studio.account_sid}/{recording.sid}.mkv"
    assert (recording.state, recording.object_key) == (State.RELEASED, key)
    assert recording.object_url == f"{studio.s3.url}/{BUCKET}/{key}"
    assert studio.s3.versions(BUCKET, key) == [recording.media_sha256]


async def test_a_hosted_track_lies_in_service_storage_with_its_extension(studio: Studio) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    assert recording.object_key == f"{studio.account_sid}/{recording.sid}.mkv"
    assert studio.parts.buckets.storage.path_of(recording.object_key).read_bytes() == MEDIA


@pytest.mark.parametrize(
    ("refused", "status", "code"),
    [
        ("AccessDenied", 403, 53615),
        ("InvalidAccessKeyId", 403, 53611),
        ("SignatureDoesNotMatch", 403, 53611),
        ("NoSuchBucket", 404, 53610),
        ("KMS.DisabledException", 400, 53615),
    ],
)
async def test_a_refusal_holds_the_media_and_says_why(studio: Studio, refused: str, status: int, code: int) -> None:
    await studio.store_outside()
    studio.s3.faults.next(faults.refuse(refused, status), ALWAYS)
    recording = await studio.carry_until_settled(await studio.spooled())
    assert (recording.state, recording.is_held, recording.error_code) == (State.FATAL, True, code)
    assert video_status(recording.state) == "processing"
    assert await studio.alerts(recording) == [(code, "warning")]
    assert studio.parts.spool.path_of(recording.sid).read_bytes() == MEDIA


async def test_the_media_is_held_whatever_the_fatal_error_policy(studio: Studio) -> None:
    await studio.store_outside(fatal_error_policy=FatalErrorPolicy.DELETE)
    studio.s3.faults.next(faults.refuse("AccessDenied"), ALWAYS)
    recording = await studio.carry_until_settled(await studio.spooled())
    assert recording.is_held
    assert studio.parts.spool.path_of(recording.sid).read_bytes() == MEDIA


async def test_a_missing_credential_holds_the_media(studio: Studio) -> None:
    settings = await studio.store_outside()
    recording = await studio.spooled()
    assert settings.aws_credentials_sid is not None
    await studio.parts.ledger.credentials.remove(
        studio.account_sid, CredentialKind.AWS, CredentialSid(settings.aws_credentials_sid)
    )
    recording = await studio.carry_until_settled(recording)
    assert (recording.state, await studio.alerts(recording)) == (State.FATAL, [(53613, "warning")])


async def test_a_missing_public_key_holds_the_media(studio: Studio) -> None:
    await studio.save(StorageSettings(encryption_enabled=True, encryption_key_sid="CR" + "0" * 32))
    recording = await studio.carry_until_settled(await studio.spooled())
    assert (recording.state, recording.is_held, recording.is_sealed) == (State.FATAL, True, False)
    assert await studio.alerts(recording) == [(53614, "warning")]


async def test_a_bucket_url_that_is_none_holds_the_media(studio: Studio) -> None:
    await studio.store_outside(aws_s3_url="ftp://nowhere")
    recording = await studio.carry_until_settled(await studio.spooled())
    assert (recording.state, await studio.alerts(recording)) == (State.FATAL, [(53610, "warning")])


async def test_upload_trouble_is_told_once_and_when_it_is_given_up(studio: Studio) -> None:
    await studio.store_outside()
    studio.s3.faults.next(faults.slow_down(), ALWAYS)
    recording = await studio.carry_until_settled(await studio.spooled())
    assert (recording.state, recording.error_code) == (State.PARKED, 53604)
    assert await studio.alerts(recording) == [(53604, "warning")] * 2


async def test_voice_keeps_its_own_codes(studio: Studio) -> None:
    assert StorageSettings(fatal_error_policy=FatalErrorPolicy.DELETE).fit_for(RecordingKind.VOICE) == StorageSettings(
        fatal_error_policy=FatalErrorPolicy.DELETE
    )


async def test_saving_settings_takes_up_what_was_held_by_itself(studio: Studio) -> None:
    settings = await studio.store_outside()
    studio.s3.remove_user(KEY.key_id)
    held = await studio.carry_until_settled(await studio.spooled())
    assert held.is_held
    studio.s3.add_user(KEY.key_id, KEY.secret)
    studio.s3.faults.next(faults.stall())
    await studio.save(settings)
    worker = Worker(studio.parts)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await studio.s3.faults.stalled.wait()  # the upload has begun, and nobody asked for it but the save
        worker.stop()
        studio.s3.faults.release()
        await running
    found = await studio.parts.ledger.recordings.fetch(studio.account_sid, held.sid)
    assert found.state is State.RELEASED
    assert studio.s3.versions(BUCKET, found.object_key or "") == [found.media_sha256]


async def test_taking_up_goes_through_every_page_and_leaves_other_kinds_and_states_alone(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callreel.steps.restart.PAGE", 2)
    settings = await studio.store_outside()
    studio.s3.remove_user(KEY.key_id)
    held = [await studio.carry_until_settled(await studio.spooled()) for _ in range(5)]
    waiting = await studio.spooled()
    await studio.save(settings.changed(friendly_name="fixed"))
    ledger, buckets = studio.parts.ledger, studio.parts.buckets
    assert await take_up_again(studio.account_sid, ledger=ledger, buckets=buckets, clock=studio.clock) == 5
    assert await take_up_again(studio.account_sid, ledger=ledger, buckets=buckets, clock=studio.clock) == 0
    for recording in held:
        found = await ledger.recordings.fetch(studio.account_sid, recording.sid)
        assert (found.state, found.settings.friendly_name, found.attempts) == (State.SEALED, "fixed", 0)
        lines = await ledger.recordings.history(studio.account_sid, recording.sid)
        assert lines[-1].reason == "the account saved its video settings"
    assert (await ledger.recordings.fetch(studio.account_sid, waiting.sid)).state is State.SPOOLED


async def test_what_was_refused_under_older_settings_is_found_by_the_reconciler(studio: Studio) -> None:
    """The job of the save may run before the last refusal under the old settings is written."""
    settings = await studio.store_outside()
    studio.s3.remove_user(KEY.key_id)
    recording = await studio.carry_until_settled(await studio.spooled())
    ledger = studio.parts.ledger
    assert await ledger.recordings.accounts_with_stale_video() == []
    await studio.save(settings)
    assert await ledger.recordings.accounts_with_stale_video() == [studio.account_sid]
    await recover(
        Recovery(ledger=ledger, spool=studio.parts.spool, clock=studio.clock, routes=["deliver"], is_start=False)
    )
    await take_up_again(studio.account_sid, ledger=ledger, buckets=studio.parts.buckets, clock=studio.clock)
    assert await ledger.recordings.accounts_with_stale_video() == []
    assert (await ledger.recordings.fetch(studio.account_sid, recording.sid)).state is State.SEALED


async def test_a_held_encryption_is_sealed_with_the_new_key_and_twilios_video_envelope(studio: Studio) -> None:
    await studio.save(StorageSettings(encryption_enabled=True, encryption_key_sid="CR" + "0" * 32))
    recording = await studio.carry_until_settled(await studio.spooled())
    key = await keep_public_key(
        studio.account_sid,
        public_pem(rsa_key()),
        "key",
        credentials=studio.parts.ledger.credentials,
        keyring=studio.parts.keyring,
        clock=studio.clock,
    )
    await studio.store_outside(encryption_enabled=True, encryption_key_sid=key.sid)
    await take_up_again(
        studio.account_sid, ledger=studio.parts.ledger, buckets=studio.parts.buckets, clock=studio.clock
    )
    recording = await studio.carry_until_settled(recording)
    assert recording.state is State.RELEASED
    assert recording.encryption_details is not None
    assert json.loads(recording.encryption_details["x-amz-matdesc"]) == {}
    assert recording.media_size_bytes == int(recording.encryption_details["x-amz-unencrypted-content-length"])


async def test_the_room_hears_of_start_and_completion_with_every_parameter(studio: Studio) -> None:
    await studio.store_outside()
    recording = await studio.spooled(callback=CALLBACK, track_name="camera", participant_identity="alice")
    recording = await studio.carry_until_settled(recording)
    (first, started), (second, completed) = await studio.events(recording)
    assert (first, second) == ("recording-started", "recording-completed")
    assert recording.video is not None
    told = {
        "AccountSid": studio.account_sid,
        "RoomSid": recording.video.room_sid,
        "RoomName": recording.video.room_sid,
        "RoomType": "group",
        "StatusCallbackEvent": "recording-started",
        "Timestamp": "2026-11-21T12:00:00.000Z",
        "RecordingSid": recording.sid,
        "ParticipantSid": recording.video.participant_sid,
        "ParticipantIdentity": "alice",
        "SourceSid": recording.video.source_sid,
        "RecordingUri": f"/v1/Recordings/{recording.sid}",
        "Type": "video",
        "Container": "mkv",
        "Codec": "VP8",
        "TrackName": "camera",
        "OffsetFromTwilioVideoEpoch": "1500",
    }
    assert started == told
    assert completed == told | {
        "StatusCallbackEvent": "recording-completed",
        "MediaUri": f"/v1/Recordings/{recording.sid}/Media",
        "Duration": "3",
        "Size": str(len(MEDIA)),
        "MediaExternalLocation": recording.object_url,
    }


async def test_a_hosted_recording_names_no_external_location(studio: Studio) -> None:
    recording = await studio.carry_until_settled(await studio.spooled(callback=CALLBACK))
    _, completed = (await studio.events(recording))[1]
    assert "MediaExternalLocation" not in completed


async def test_a_failed_upload_is_told_once_and_its_completion_later(studio: Studio) -> None:
    settings = await studio.store_outside()
    studio.s3.remove_user(KEY.key_id)
    recording = await studio.carry_until_settled(await studio.spooled(callback=CALLBACK))
    assert [name for name, _ in await studio.events(recording)] == ["recording-started", "recording-failed"]
    assert (await studio.events(recording))[1][1]["FailedOperation"] == "RecordingUpload"
    await studio.save(settings)
    await take_up_again(
        studio.account_sid, ledger=studio.parts.ledger, buckets=studio.parts.buckets, clock=studio.clock
    )
    recording = await studio.carry_until_settled(recording)
    assert recording.state is State.FATAL
    studio.s3.add_user(KEY.key_id, KEY.secret)
    await studio.save(settings)
    await take_up_again(
        studio.account_sid, ledger=studio.parts.ledger, buckets=studio.parts.buckets, clock=studio.clock
    )
    recording = await studio.carry_until_settled(recording)
    names = [name for name, _ in await studio.events(recording)]
    assert names == ["recording-started", "recording-failed", "recording-completed"]
