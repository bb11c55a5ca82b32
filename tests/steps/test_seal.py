"""Sealed once, before delivery, with the key that was chosen and no other; or kept, and said why not."""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from callreel import decrypt_recording
from callreel.clock import SetClock
from callreel.errors import InvalidParameter, SettingsIncomplete
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.ledger.tables import credentials
from callreel.model.account import Account
from callreel.model.callback import parameters_of
from callreel.model.credential import CredentialKind
from callreel.model.encryption_details import details_for_rest
from callreel.model.patience import CONFIRM_S
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.settings import Settings
from callreel.steps.restart import restart
from tests.conftest import psql
from tests.sealing.keys import another_rsa_key, private_pem, public_pem, rsa_key
from tests.steps.sealed_account import SealedAccount, some_wav, wav

KEY = rsa_key(2048)
S3_KEY = ("AKCUSTOMER0000000000", "c" * 40)


@pytest.fixture
async def s3(tmp_path: Path, clock: SetClock) -> AsyncIterator[EmbeddedS3]:
    async with EmbeddedS3(tmp_path / "s3", clock=clock) as server:
        server.create_bucket("recordings")
        server.add_user(*S3_KEY)
        yield server


@pytest.fixture
def owner(parts: Parts, account: tuple[Account, str]) -> SealedAccount:
    return SealedAccount(parts, account[0])


@pytest.fixture
async def key_sid(owner: SealedAccount) -> str:
    return await owner.keep_public_key(public_pem(KEY))


async def into_the_bucket(owner: SealedAccount, s3: EmbeddedS3) -> dict[str, object]:
    credential = await owner.keep_access_key(*S3_KEY)
    return {
        "aws_storage_enabled": True,
        "aws_s3_url": f"{s3.url}/recordings/calls",
        "aws_credentials_sid": credential,
    }


async def stored(owner: SealedAccount, recording: Recording) -> bytes:
    bucket = await owner.parts.buckets.of(recording)
    assert recording.object_key is not None
    return b"".join([piece async for piece in bucket.read(recording.object_key)])


async def opened(owner: SealedAccount, recording: Recording, tmp_path: Path, key=KEY) -> bytes:  # type: ignore[no-untyped-def]
    (tmp_path / "blob").write_bytes(await stored(owner, recording))
    assert recording.encryption_details is not None
    decrypt_recording(
        tmp_path / "blob", tmp_path / "out", private_key=private_pem(key), details=recording.encryption_details
    )
    return (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
async def test_a_voice_recording_is_opened_by_its_owner(
    owner: SealedAccount, s3: EmbeddedS3, tmp_path: Path, bits: int
) -> None:
    key_sid = await owner.keep_public_key(public_pem(rsa_key(bits)))
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid, **await into_the_bucket(owner, s3))
    media = some_wav()
    done = await owner.carry(await owner.take_in(media))
    assert done.state is State.RELEASED
    assert await opened(owner, done, tmp_path, rsa_key(bits)) == media
    assert s3.keys("recordings") == [f"calls/{owner.sid}/{done.sid}"]


async def test_a_video_recording_carries_its_envelope_in_the_objects_metadata(
    owner: SealedAccount, s3: EmbeddedS3, key_sid: str, tmp_path: Path
) -> None:
    chosen = await into_the_bucket(owner, s3)
    await owner.choose(RecordingKind.VIDEO, encryption_enabled=True, encryption_key_sid=key_sid, **chosen)
    taken = await owner.take_in(some_wav(), RecordingKind.VIDEO)  # what is inside does not matter to the envelope
    done = await owner.carry(taken)
    bucket = await owner.parts.buckets.of(done)
    facts = await bucket.head(done.object_key or "")
    assert facts is not None
    assert facts.content_type == "application/octet-stream"
    assert facts.metadata["x-amz-matdesc"] == "{}"
    assert facts.metadata["x-amz-unencrypted-content-length"] == str(taken.media_size_bytes)
    assert set(facts.metadata) == {"x-amz-key", "x-amz-iv", "x-amz-matdesc", "x-amz-unencrypted-content-length"}
    assert details_for_rest(done.encryption_details) is None


async def test_rest_has_every_spelling_and_the_callback_its_own(owner: SealedAccount, key_sid: str) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    done = await owner.carry(await owner.take_in(some_wav()))
    rest = details_for_rest(done.encryption_details)
    assert rest is not None
    assert rest["type"] == "rsa-aes"
    assert rest["encryption_public_key_sid"] == rest["public_key_sid"] == key_sid
    assert rest["encryption_cek"] == rest["encrypted_cek"]
    assert rest["encryption_iv"] == rest["iv"]
    told = dict(parameters_of(done, "completed", recording_url="http://x"))
    assert list(json.loads(told["EncryptionDetails"])) == ["type", "public_key_sid", "encrypted_cek", "iv"]


async def test_after_a_rotation_new_recordings_name_the_new_key_and_old_ones_theirs(
    owner: SealedAccount, key_sid: str, tmp_path: Path
) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    waiting = await owner.take_in(some_wav(seed=1))
    new_sid = await owner.keep_public_key(public_pem(another_rsa_key()))
    await owner.choose(encryption_enabled=True, encryption_key_sid=new_sid)
    old, new = await owner.carry(waiting), await owner.carry(await owner.take_in(some_wav(seed=2)))
    assert (old.encryption_details or {})["public_key_sid"] == key_sid
    assert (new.encryption_details or {})["public_key_sid"] == new_sid
    assert await opened(owner, old, tmp_path, KEY) == some_wav(seed=1)
    assert await opened(owner, new, tmp_path, another_rsa_key()) == some_wav(seed=2)


async def test_what_waits_when_its_key_is_deleted_keeps_its_sealed_blob(
    owner: SealedAccount, key_sid: str, tmp_path: Path
) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    waiting = await owner.take_in(some_wav())
    await owner.parts.ledger.credentials.remove(owner.sid, CredentialKind.PUBLIC_KEY, key_sid)
    done = await owner.carry(waiting)
    assert done.state is State.RELEASED
    assert (done.encryption_details or {})["public_key_sid"] == key_sid
    assert await opened(owner, done, tmp_path) == some_wav()


@pytest.mark.parametrize("waits", [True, False])
async def test_a_key_deleted_before_it_was_used_is_16105_and_no_other_key_is_taken(
    owner: SealedAccount, key_sid: str, waits: bool
) -> None:
    await owner.keep_public_key(public_pem(another_rsa_key()))
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    waiting = await owner.take_in(some_wav(), trim_silence=True) if waits else None
    await owner.parts.ledger.credentials.remove(owner.sid, CredentialKind.PUBLIC_KEY, key_sid)
    held = await owner.carry(waiting or await owner.take_in(some_wav()))
    assert (held.state, held.error_code) == (State.FATAL, 16105)
    assert held.is_held
    assert held.encryption_details is None
    assert await owner.alerts(held) == [16105]
    new_sid = await owner.keep_public_key(public_pem(KEY))
    await owner.choose(encryption_enabled=True, encryption_key_sid=new_sid)
    assert await restart(held, ledger=owner.parts.ledger, buckets=owner.parts.buckets)
    done = await owner.carry(held)
    assert done.state is State.RELEASED
    assert done.error_code is None
    assert (done.encryption_details or {})["public_key_sid"] == new_sid


async def test_the_policy_delete_leaves_nothing_of_a_recording_without_a_key(
    owner: SealedAccount, key_sid: str
) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid, fatal_error_policy=FatalErrorPolicy.DELETE)
    await owner.parts.ledger.credentials.remove(owner.sid, CredentialKind.PUBLIC_KEY, key_sid)
    waiting = await owner.take_in(some_wav())
    erased = await owner.carry(waiting)
    assert (erased.state, erased.error_code) == (State.ERASED, 16105)
    assert not owner.parts.spool.path_of(waiting.sid).exists()


async def test_a_stored_key_that_is_no_key_is_16104(owner: SealedAccount, key_sid: str) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    broken = owner.parts.keyring.seal(b"-----BEGIN", table="credentials", row=key_sid, account=owner.sid)
    await _store(owner, key_sid, broken)
    failed = await owner.carry(await owner.take_in(some_wav()))
    assert (failed.state, failed.error_code) == (State.FATAL, 16104)


async def test_a_stored_key_that_does_not_open_is_16106_and_keeps_the_media_whatever_the_policy(
    owner: SealedAccount, key_sid: str
) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid, fatal_error_policy=FatalErrorPolicy.DELETE)
    await _store(owner, key_sid, owner.parts.keyring.seal(b"key", table="credentials", row="elsewhere", account="AC"))
    parked = await owner.carry(await owner.take_in(some_wav()))
    assert (parked.state, parked.error_code) == (State.PARKED, 16106)
    assert owner.parts.spool.path_of(parked.sid).exists()
    assert await owner.alerts(parked) == [16106]


async def _store(owner: SealedAccount, key_sid: str, sealed: bytes) -> None:
    async with owner.parts.ledger.engine.begin() as transaction:
        await transaction.execute(update(credentials).where(credentials.c.sid == key_sid).values(secret_sealed=sealed))


async def test_media_that_changed_in_the_spool_are_not_sealed_as_if_they_were_right(
    owner: SealedAccount, key_sid: str
) -> None:
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    taken = await owner.take_in(some_wav(), trim_silence=True)
    path = owner.parts.spool.path_of(taken.sid)
    altered = bytearray(path.read_bytes())
    altered[500] ^= 1
    path.write_bytes(altered)
    parked = await owner.carry(taken)
    assert parked.state is State.PARKED
    assert (parked.last_error or "").startswith("spool-corrupt")
    assert os.listdir(owner.parts.spool.tmp) == []
    assert os.listdir(owner.parts.spool.ready) == [taken.sid]


async def test_a_search_for_what_was_said_finds_nothing_anywhere(
    owner: SealedAccount,
    s3: EmbeddedS3,
    key_sid: str,
    settings: Settings,
    postgres: EmbeddedPostgres,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    rng, count = random.Random(42), pytestconfig.getoption("sayings")
    markers = [rng.randbytes(64) for _ in range(count)]
    await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid, **await into_the_bucket(owner, s3))
    plain = wav(markers[0] + bytes(640))
    taken = await owner.take_in(plain)
    beside = settings.data_dir / "beside"
    beside.write_bytes(plain)
    assert _found(markers, settings.data_dir) == [beside], "the search finds what is there, and there alone"
    beside.unlink()
    await owner.carry(taken)
    for number, marker in enumerate(markers[1:]):
        if number == count // 2:  # half of them stay in service storage
            await owner.choose(encryption_enabled=True, encryption_key_sid=key_sid)
        await owner.carry(await owner.take_in(wav(bytes(320) + marker + bytes(320))))
    psql(postgres, "CHECKPOINT")
    assert _found(markers, settings.data_dir) == []
    assert _found(markers, tmp_path / "s3") == []
    assert _found(markers, Path(psql(postgres, "SHOW data_directory"))) == []


def _found(markers: list[bytes], root: Path) -> list[Path]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_socket()]
    assert files, "there is something to search"
    return [path for path in files if any(marker in path.read_bytes() for marker in markers)]


# --- Delivery of what is sealed --------------------------------------------------------------------------------------


async def test_a_lock_the_bucket_does_not_have_is_believed_when_said_twice(
    owner: SealedAccount, s3: EmbeddedS3, clock: SetClock
) -> None:
    chosen = await into_the_bucket(owner, s3)
    await owner.choose(object_lock_mode="COMPLIANCE", object_lock_days=30, **chosen)
    waiting = await owner.carry(await owner.take_in(some_wav()))
    assert waiting.state is State.WAITING
    clock.advance(CONFIRM_S + 1)
    held = await owner.carry(waiting)
    assert (held.state, held.error_code) == (State.FATAL, 16111)
    assert "Object Lock" in (held.last_error or "")
    assert held.is_held


@pytest.mark.parametrize(
    "asked", [{"sse_algorithm": "AES256"}, {"sse_algorithm": "aws:kms", "sse_kms_key_id": "alias/mine"}]
)
async def test_encryption_in_the_bucket_is_asked_for_per_account(
    owner: SealedAccount, s3: EmbeddedS3, asked: dict[str, str]
) -> None:
    await owner.choose(**await into_the_bucket(owner, s3), **asked)
    done = await owner.carry(await owner.take_in(some_wav()))
    facts = await (await owner.parts.buckets.of(done)).head(done.object_key or "")
    assert facts is not None
    assert facts.sse_algorithm == asked["sse_algorithm"]
    assert facts.sse_kms_key_id == asked.get("sse_kms_key_id")


@pytest.mark.parametrize(
    "wrong",
    [
        {"object_lock_mode": "COMPLIANCE"},
        {"object_lock_days": 7},
        {"object_lock_mode": "forever", "object_lock_days": 7},
        {"object_lock_mode": "GOVERNANCE", "object_lock_days": 0},
        {"object_lock_mode": "GOVERNANCE", "object_lock_days": 40_000},
        {"aws_role_arn": "arn:aws:iam::123456789012:role/r"},
        {"aws_role_arn": "arn:aws:iam::123456789012:role/r", "aws_external_id": "x"},
        {"aws_external_id": "an-id"},
        {"sse_kms_key_id": "key"},
        {"encryption_enabled": True},
    ],
)
async def test_settings_that_make_no_sense_are_not_saved(owner: SealedAccount, wrong: dict[str, object]) -> None:
    with pytest.raises((InvalidParameter, SettingsIncomplete)):
        await owner.choose(**wrong)
    number, _ = await owner.parts.ledger.settings.current(owner.sid, RecordingKind.VOICE)
    assert number is None


async def test_every_attempt_asks_for_the_same_moment(owner: SealedAccount, clock: SetClock) -> None:
    from callreel.model.object_lock import lock_of

    settings = await owner.choose(object_lock_mode="GOVERNANCE", object_lock_days=7)
    created = clock.now()
    first = lock_of(settings, date_created=created, now=created)
    later = lock_of(settings, date_created=created, now=created + timedelta(hours=2))
    assert first == later
    assert first is not None
    assert first.headers["x-amz-object-lock-retain-until-date"] == "2026-11-28T12:00:00Z"
    assert lock_of(settings, date_created=created, now=created + timedelta(days=8)) is None
