"""A closed account's key: destroyed when nothing needs it any more, and not a moment before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from callreel.app import open_parts
from callreel.at_rest.file import KeptFile
from callreel.clock import SetClock
from callreel.errors import AccountNotActive, SealBroken
from callreel.ledger.account_keys import DESTROYED
from callreel.ledger.sealed_values import SealedValues
from callreel.model.account import AccountStatus
from callreel.model.deed import OPERATOR
from callreel.model.intake import Intake
from callreel.model.recording import Recording, State
from callreel.sealing.key_file import KeyFile
from callreel.settings import Settings
from callreel.steps.close_account import delete_with_account, destroy_keys_of_closed
from callreel.steps.hold import lift_hold, set_hold
from callreel.steps.ingest import ingest
from callreel.steps.open_account import change_account
from callreel.steps.request_deletion import request_deletion
from callreel.steps.rotate_keys import rotate_keys
from tests.crash.invariants import violations_in
from tests.stage import Stage, a_wav, in_pieces

CALL = "CA" + "1" * 32


async def close(stage: Stage) -> None:
    accounts = stage.parts.ledger.accounts
    account = await accounts.fetch(stage.account_sid)
    await change_account(
        account, friendly_name=None, status=AccountStatus.CLOSED, accounts=accounts, clock=stage.clock, by=OPERATOR
    )


async def clockwork(stage: Stage) -> bool:
    """What the watch does every ten minutes; whether the key went."""
    p = stage.parts
    return bool(await destroy_keys_of_closed(ledger=p.ledger, keys=p.keys, clock=p.clock))


async def has_key(stage: Stage) -> bool:
    return await stage.parts.ledger.account_keys.find(stage.account_sid) not in (None, DESTROYED)


async def hosted(stage: Stage, **intake: object) -> Recording:
    """A recording the service keeps itself."""
    await stage.choose(aws_storage_enabled=False)
    return await stage.carry(await stage.take_in(**intake))  # type: ignore[arg-type]


async def delete(stage: Stage, recording: Recording) -> Recording:
    return await stage.carry(await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger))


async def test_a_copy_of_the_media_and_of_its_wrapped_key_opens_no_more(stage: Stage, tmp_path: Path) -> None:
    recording = await hosted(stage)
    key = await stage.parts.keys.of_media(recording)
    copy = tmp_path / "copy"
    copy.write_bytes(stage.parts.buckets.storage.path_of(str(recording.object_key)).read_bytes())
    assert b"".join(KeptFile(copy, key).pieces()) == a_wav()
    await close(stage)
    assert not await clockwork(stage)  # the recording is still kept
    await delete(stage, recording)
    assert await clockwork(stage)
    assert not await clockwork(stage)
    with pytest.raises(SealBroken):  # the row of a backup, without the key it is wrapped by: not even from memory
        await stage.parts.keys.of_media(recording)
    chain = [row async for row in stage.parts.ledger.audit.read_chain(stage.account_sid)]
    assert [(row.action, row.actor) for row in chain[-1:]] == [("account-key.destroyed", "callreel")]
    assert await violations_in(stage.parts, {}, {}) == []


async def test_an_open_account_keeps_its_key(stage: Stage) -> None:
    await delete(stage, await hosted(stage))
    assert not await clockwork(stage)
    assert await has_key(stage)


@pytest.mark.parametrize("state", ["sealed", "waiting", "held", "hosted", "deleting"])
async def test_while_any_media_is_ours_to_keep_the_key_stays(stage: Stage, state: str) -> None:
    ledger = stage.parts.ledger
    recording = await hosted(stage) if state in ("hosted", "deleting") else await stage.take_in()
    if state in ("sealed", "waiting"):
        recording = await stage.step("seal", recording)
    if state == "waiting":
        recording = await ledger.move(await ledger.move(recording, State.UPLOADING), State.WAITING)
    if state == "held":
        recording = await ledger.move(recording, State.FATAL)
    if state == "deleting":
        recording = await request_deletion(stage.account_sid, recording.sid, ledger=ledger)
    await close(stage)
    assert not await clockwork(stage)
    assert await has_key(stage)
    if state == "sealed":
        assert (await stage.carry(recording)).state is State.RELEASED  # what waited is still delivered
        assert await clockwork(stage)


async def test_a_legal_hold_keeps_the_key_until_it_is_lifted(stage: Stage) -> None:
    recording = await hosted(stage)
    p, sid = stage.parts, recording.sid
    common = {"ledger": p.ledger, "buckets": p.buckets, "clock": p.clock, "by": OPERATOR}
    await set_hold(stage.account_sid, sid, reason="court", **common)  # type: ignore[arg-type]
    await close(stage)
    assert not await clockwork(stage)
    assert await stage.hosted(recording) == a_wav()
    await lift_hold(stage.account_sid, sid, reason="over", **common)  # type: ignore[arg-type]
    await delete(stage, await stage.look(recording))
    assert await clockwork(stage)


async def test_a_recording_without_sound_keeps_no_key(stage: Stage) -> None:
    recording = await stage.take_in(a_wav(seconds=0))
    assert recording.state is State.ABSENT
    await close(stage)
    assert await clockwork(stage)


async def test_metadata_and_the_numbers_of_calls_stay_readable_for_their_forty_days(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    recording = await stage.carry(await stage.take_in(call_sid=CALL, from_number="+15551230000", to_number="+1556"))
    await delete(stage, recording)
    await close(stage)
    assert await clockwork(stage)
    assert (await stage.look(recording)).state is State.DELETED
    call = await stage.parts.ledger.calls.fetch(stage.account_sid, CALL)
    assert call.parties_sealed is not None
    place = {"table": "calls", "row": CALL, "account": stage.account_sid}
    assert b"+15551230000" in stage.parts.keyring.open(call.parties_sealed, **place)


async def test_media_that_comes_in_while_the_key_goes_is_not_acknowledged(stage: Stage) -> None:
    p = stage.parts
    await delete(stage, await hosted(stage))

    async def body() -> AsyncIterator[bytes]:
        async for piece in in_pieces(a_wav()):
            yield piece
        await close(stage)  # its media is all but here, sealed under a key of then
        assert await clockwork(stage)

    with pytest.raises(AccountNotActive):
        await ingest(
            body(),
            Intake(account_sid=stage.account_sid),
            announced_bytes=None,
            limit_bytes=p.chosen.max_upload_bytes,
            births=p.births,
            keyring=p.keyring,
            index=p.index,
        )
    assert stage.spooled() == []
    with pytest.raises(AccountNotActive):  # and no other key is made
        await stage.take_in()


async def test_a_birth_and_the_destruction_at_once_lose_nothing(stage: Stage) -> None:
    await delete(stage, await hosted(stage))
    await close(stage)
    taken, gone = await asyncio.gather(stage.take_in(), clockwork(stage), return_exceptions=True)
    if isinstance(taken, Recording):
        assert gone is False
        assert await stage.media(taken) == a_wav()
    else:
        assert isinstance(taken, AccountNotActive)
        assert gone is True
        assert stage.spooled() == []


async def test_closing_with_everything_ends_with_the_key_destroyed(stage: Stage) -> None:
    p = stage.parts
    recording = await hosted(stage)
    async with p.ledger.engine.begin() as transaction:
        statement = "INSERT INTO deletion_settings VALUES (:account, false, true, now())"
        await transaction.execute(text(statement), {"account": stage.account_sid})
    await close(stage)
    deletion = await delete_with_account(stage.account_sid, ledger=p.ledger, clock=p.clock, by=OPERATOR)
    assert deletion is not None
    await p.ledger.move(recording, State.DELETING)
    assert not await clockwork(stage)
    await stage.carry(recording)
    assert await clockwork(stage)


async def test_a_destroyed_key_is_not_in_the_way_of_a_rotation(stage: Stage, settings: Settings) -> None:
    await delete(stage, await hosted(stage))
    await close(stage)
    assert await clockwork(stage)

    async def no_pause(_: float) -> None:
        return

    done = await rotate_keys(
        values=SealedValues(stage.parts.ledger.engine),
        keyring=stage.parts.keyring,
        key_file=KeyFile(settings.data_dir),
        pause=no_pause,
    )
    assert done.broken == []
    assert not await has_key(stage)


async def test_a_restored_backup_of_before_ends_the_same_way(
    stage: Stage, settings: Settings, database_url: str, clock: SetClock
) -> None:
    """The row of then comes back with the database; the media does not, and so the key goes again."""
    recording = await hosted(stage)
    sealed = await stage.parts.ledger.account_keys.find(stage.account_sid)
    await close(stage)
    await delete(stage, recording)
    assert await clockwork(stage)
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("UPDATE account_keys SET key_sealed = :sealed"), {"sealed": sealed})
    async with open_parts(settings, database_url=database_url, public_url="http://x", clock=clock) as parts:
        assert await destroy_keys_of_closed(ledger=parts.ledger, keys=parts.keys, clock=clock) == 1
