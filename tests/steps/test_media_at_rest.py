"""Media at rest: sealed from its first byte, opened only for who may have it, and unreadable once it is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from callreel.errors import BlobAltered, SealBroken, SpoolFailed
from callreel.model.credential import CredentialKind
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid, mint_sid
from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind
from callreel.steps.request_deletion import request_deletion
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import Stage, a_wav, in_pieces

BODY = a_wav(seconds=30)  # several segments


def files(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in root.rglob("*") if path.is_file()]


async def wrapped_key(stage: Stage, recording: Recording) -> bytes | None:
    return (await stage.look(recording)).media_key_wrapped


async def test_no_byte_of_media_lies_plain_in_the_spool_nor_in_a_draft(stage: Stage) -> None:
    recording = await stage.take_in(BODY)
    draft = stage.parts.spool.draft(recording.sid, limit_bytes=1 << 30, key=await stage.parts.keys.of_media(recording))
    async for piece in in_pieces(BODY):
        await draft.write(piece)
    lying = files(stage.parts.spool.root)
    assert sum(len(file) > 200_000 for file in lying) == 2
    assert not any(BODY[at : at + 32] in file for file in lying for at in range(0, len(BODY), 16_000))
    await draft.discard()
    assert await stage.media(recording) == BODY


async def test_trimmed_media_lies_sealed_too(stage: Stage) -> None:
    loud = a_wav(seconds=2)
    recording = await stage.take_in(loud[:44] + loud[44:], trim_silence=True)
    assert not any(loud[100:132] in file for file in files(stage.parts.spool.root))
    assert loud[1000:1032] in await stage.media(recording)


async def test_what_is_promised_and_delivered_is_the_content(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in(BODY))
    assert (recording.state, stage.bodies(recording)) == (State.RELEASED, BODY)
    assert recording.blob_sha256 == recording.media_sha256


async def test_every_recording_has_a_key_of_its_own(stage: Stage) -> None:
    one, other = await stage.take_in(BODY), await stage.take_in(BODY)
    first, second = stage.parts.spool.path_of(one.sid), stage.parts.spool.path_of(other.sid)
    assert first.read_bytes()[41:] != second.read_bytes()[41:]
    second.write_bytes(first.read_bytes())
    with pytest.raises(BlobAltered):
        await stage.media(other)


async def test_a_key_moved_to_another_row_opens_nothing(stage: Stage) -> None:
    one, other = await stage.take_in(BODY), await stage.take_in(BODY)
    with pytest.raises(SealBroken):
        await stage.parts.keys.of_media(other.changed(media_key_wrapped=one.media_key_wrapped))


async def test_service_storage_holds_it_sealed_and_opens_it(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    recording = await stage.carry(await stage.take_in(BODY))
    path = stage.parts.buckets.storage.path_of(str(recording.object_key))
    assert BODY[5000:5032] not in path.read_bytes()
    assert await stage.hosted(recording) == BODY


async def test_a_customers_ciphertext_is_not_sealed_twice_and_the_medias_key_goes(stage: Stage) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    sealed = await stage.step("seal", await stage.take_in(BODY))
    file = stage.parts.spool.sealed_path_of(sealed.sid, str(sealed.blob_sha256))
    assert file.stat().st_size == len(BODY) + 16  # Twilio's format, as it is
    assert await wrapped_key(stage, sealed) is None
    assert (await stage.carry(sealed)).state is State.RELEASED


@pytest.mark.parametrize("hosted", [True, False])
async def test_deleting_destroys_the_key(stage: Stage, hosted: bool) -> None:
    await stage.choose(aws_storage_enabled=not hosted)
    recording = await stage.step("deliver", await stage.sealed(body=BODY))
    copy = stage.parts.spool.path_of(recording.sid).read_bytes()  # somebody forgot it somewhere
    assert await wrapped_key(stage, recording) is not None
    await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
    deleted = await stage.carry(recording)
    assert (deleted.state, deleted.media_key_wrapped, deleted.sealed_at_rest) == (State.DELETED, None, True)
    stage.parts.spool.path_of(recording.sid).write_bytes(copy)
    with pytest.raises(SealBroken, match="destroyed"):
        await stage.media(deleted)


async def test_erasing_destroys_the_key(stage: Stage) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    policy = FatalErrorPolicy.DELETE
    await stage.choose(fatal_error_policy=policy, encryption_enabled=True, encryption_key_sid=key_sid)
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.PUBLIC_KEY, key_sid)
    erased = await stage.carry(await stage.take_in(BODY))
    assert (erased.state, erased.media_key_wrapped) == (State.ERASED, None)


async def test_once_it_is_the_customers_alone_our_key_is_gone(stage: Stage) -> None:
    released = await stage.carry(await stage.take_in(BODY))
    assert (released.state, released.media_key_wrapped) == (State.RELEASED, None)
    await stage.choose(aws_storage_enabled=False)
    hosted = await stage.carry(await stage.take_in(BODY))
    assert hosted.state is State.RELEASED
    assert hosted.media_key_wrapped is not None


async def test_an_accounts_key_destroyed_closes_all_of_its_media(stage: Stage) -> None:
    recording = await stage.take_in(BODY)
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("UPDATE account_keys SET key_sealed = ''"))
    stage.clock.advance(61)  # what another process remembers of it
    with pytest.raises(SealBroken):
        await stage.media(recording)


@pytest.mark.parametrize("where", ["head", "middle", "end", "short", "long"])
async def test_sealed_media_that_was_altered_is_parked_and_never_sent(stage: Stage, where: str) -> None:
    recording = await stage.sealed(body=BODY)
    path = stage.parts.spool.path_of(recording.sid)
    content = bytearray(path.read_bytes())
    if where in ("short", "long"):
        content = content[:-1] if where == "short" else content + b"\0"
    else:
        content[{"head": 3, "middle": 100_000, "end": -1}[where]] ^= 1
    path.write_bytes(content)
    parked = await stage.carry(recording)
    assert (parked.state, parked.last_error_code) == (State.PARKED, "BlobAltered")
    assert list(stage.s3.seen) == []
    assert stage.spooled() == [recording.sid]


async def test_what_the_disk_gives_back_otherwise_is_not_acknowledged(stage: Stage) -> None:
    def judge(*_: object) -> None:
        raise BlobAltered

    with pytest.raises(SpoolFailed):
        await stage.parts.births.receive(
            RecordingSid(mint_sid("RE")),
            in_pieces(BODY),
            judge,
            account_sid=stage.account_sid,
            kind=RecordingKind.VOICE,
            announced_bytes=None,
            limit_bytes=1 << 30,
        )


async def test_a_file_of_before_this_revision_is_delivered_as_it_lies(stage: Stage) -> None:
    recording = await stage.take_in(BODY)
    path = stage.parts.spool.path_of(recording.sid)
    path.write_bytes(BODY)
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("UPDATE recordings SET sealed_at_rest = false, media_key_wrapped = NULL"))
    recording = await stage.carry(await stage.look(recording))
    assert (recording.state, stage.bodies(recording)) == (State.RELEASED, BODY)


async def test_the_key_is_in_the_row_with_the_acknowledgement(stage: Stage) -> None:
    recording = await stage.take_in(BODY)
    assert recording.media_key_wrapped is not None
    assert await wrapped_key(stage, recording) == recording.media_key_wrapped
