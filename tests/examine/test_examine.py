"""Each invariant: broken by hand, and found; and an installation at work in which nothing is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from callreel.bucket.bucket import PutOptions
from callreel.examine.examine import Examined, examine
from callreel.model.deed import Deed
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid, mint_sid
from callreel.rehearsal.s3_shelf import Content
from callreel.steps.purge import purge
from callreel.steps.request_deletion import request_deletion
from tests.crash.invariants import scene_of
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import BUCKET, WRITER, Stage, a_wav


async def run(stage: Stage, *, deep: bool = False) -> Examined:
    return await examine(scene_of(stage.parts, deep=deep))


async def found(stage: Stage, *, deep: bool = False) -> list[tuple[str, str]]:
    """What is violated, and of what."""
    return [(v.invariant, v.subject) for v in (await run(stage, deep=deep)).violations]


async def change(stage: Stage, statement: str, **values: Any) -> None:
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text(statement), values)


async def released(stage: Stage, **intake: Any) -> Recording:
    return await stage.carry_until_settled(await stage.take_in(**intake))


def in_spool(stage: Stage, recording: Recording) -> Any:
    return stage.parts.spool.path_of(recording.sid)


def strange_object(stage: Stage, key: str, body: bytes, tmp_path: Any) -> None:
    path = tmp_path / "strange"
    path.write_bytes(body)
    content = Content(path=path, size_bytes=len(body), sha256="0" * 64, md5="0" * 32)
    stage.s3._shelf.bucket(BUCKET).put(key, content, etag='"x"', stored_at=stage.clock.now().isoformat(), headers={})


# --- Nothing to find -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
async def test_an_installation_at_work_keeps_every_promise(stage: Stage, deep: bool) -> None:
    await released(stage, callback="http://r.example.com/cb", events="in-progress completed")
    await stage.sealed()
    await stage.take_in()
    await stage.choose(aws_storage_enabled=False)
    deleted = await request_deletion(stage.account_sid, (await released(stage)).sid, ledger=stage.parts.ledger)
    await released(stage)
    await stage.carry(deleted)
    examined = await run(stage, deep=deep)
    assert examined.violations == []
    assert examined.ok
    assert list(examined.notes) == []


async def test_what_a_write_only_key_may_not_read_is_a_note(stage: Stage) -> None:
    stage.credential_sid = await stage.keep_key(WRITER)
    await stage.choose()
    for seed in range(3):
        await released(stage, body=a_wav(seed=seed))
    examined = await run(stage)
    assert examined.ok
    assert {note.invariant for note in examined.notes} == {"I2", "I5"}
    assert max(examined.notes.values()) == 3  # equal notes are counted


async def test_a_bucket_out_of_reach_is_a_note(stage: Stage) -> None:
    recording = await released(stage)
    await change(stage, "DELETE FROM credentials")
    stage.parts.buckets._opened.clear()
    examined = await run(stage)
    assert examined.ok
    assert all(recording.account_sid in note.subject for note in examined.notes)


# --- Media -----------------------------------------------------------------------------------------------------------


async def test_i1_a_flipped_bit_in_the_spool_is_found_when_looking_deep(stage: Stage) -> None:
    recording = await stage.sealed()
    path = in_spool(stage, recording)
    spooled = bytearray(path.read_bytes())
    spooled[len(spooled) // 2] ^= 1
    path.write_bytes(spooled)
    assert await found(stage) == []
    assert await found(stage, deep=True) == [("I1", recording.sid)]


async def test_i1_a_file_of_another_length_is_found(stage: Stage) -> None:
    recording = await stage.take_in()
    path = in_spool(stage, recording)
    path.write_bytes(path.read_bytes()[:-1])
    assert await found(stage) == [("I1", recording.sid)]


async def test_i1_who_was_born_and_left_no_trace_is_found(stage: Stage) -> None:
    recording = await released(stage, idempotency_key="key")
    await change(stage, "DELETE FROM recordings")
    assert await found(stage) == [("I1", recording.sid)] * 2 + [("I5", recording.object_key)]


async def test_i2_an_object_that_is_gone_is_found(stage: Stage) -> None:
    recording = await released(stage)
    stage.s3._shelf.bucket(BUCKET).delete(str(recording.object_key))
    assert await found(stage) == [("I2", recording.sid)]


async def test_i2_an_object_that_was_overwritten_is_found(stage: Stage, tmp_path: Any) -> None:
    recording = await released(stage)
    strange_object(stage, str(recording.object_key), a_wav(seed=9), tmp_path)
    assert await found(stage) == [("I2", recording.sid)]


@pytest.mark.parametrize("deep", [False, True])
async def test_i2_in_service_storage(stage: Stage, deep: bool) -> None:
    await stage.choose(aws_storage_enabled=False)
    gone, altered = await released(stage), await released(stage)
    stage.parts.buckets.storage.path_of(str(gone.object_key)).unlink()
    path = stage.parts.buckets.storage.path_of(str(altered.object_key))
    path.write_bytes(bytes(len(path.read_bytes())))
    expected = {("I2", gone.sid)} | ({("I2", altered.sid)} if deep else set())
    assert set(await found(stage, deep=deep)) == expected


@pytest.mark.parametrize("state", ["spooled", "sealed"])
async def test_i3_a_file_that_is_gone_is_found(stage: Stage, state: str) -> None:
    recording = await (stage.take_in() if state == "spooled" else stage.sealed())
    in_spool(stage, recording).unlink()
    assert await found(stage) == [("I3", recording.sid)]


async def test_i3_what_lies_in_another_hosts_spool_is_a_note(stage: Stage) -> None:
    await stage.take_in()
    await change(stage, "UPDATE recordings SET host_id = 'another'")
    examined = await run(stage)
    assert examined.ok
    assert [(note.invariant, note.subject) for note in examined.notes] == [("I3", "another")]


async def test_i14_a_plain_file_that_stays_is_found(stage: Stage) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    recording = await stage.sealed()
    in_spool(stage, recording).write_bytes(b"plain")
    examined = await run(stage)
    assert examined.ok
    assert [note.invariant for note in examined.notes] == ["I14"]
    stage.clock.advance(1201)
    assert await found(stage) == [("I14", recording.sid)]


async def test_i1_media_whose_accounts_key_is_gone_is_found(stage: Stage) -> None:
    recording = await stage.take_in()
    await change(stage, "UPDATE account_keys SET key_sealed = ''")
    stage.parts.keys.forget(stage.account_sid)
    assert set(await found(stage)) == {("I1", recording.sid)}


async def test_i14_keys_that_outlive_what_they_open_are_found(stage: Stage) -> None:
    await released(stage)
    await change(stage, "UPDATE accounts SET status = 'closed'")
    assert await found(stage) == []  # the clockwork has not come by yet
    stage.clock.advance(1201)
    assert await found(stage) == [("I14", stage.account_sid)]
    await change(stage, "UPDATE recordings SET media_key_wrapped = 'x'")
    assert [invariant for invariant, _ in await found(stage)] == ["I14"]


# --- Buckets ---------------------------------------------------------------------------------------------------------


async def test_i4_two_recordings_under_one_key_are_found(stage: Stage) -> None:
    first, second = await released(stage), await released(stage)
    await change(
        stage, "UPDATE recordings SET object_url = :url, object_key = :key", url=first.object_url, key=first.object_key
    )
    assert ("I4", min(first.sid, second.sid)) in await found(stage)


async def test_i5_an_object_of_ours_that_no_row_knows_is_found_and_one_of_somebody_else_is_not(
    stage: Stage, tmp_path: Any
) -> None:
    recording = await released(stage)
    stranger = f"documents/{recording.account_sid}/{mint_sid('RE')}"
    strange_object(stage, stranger, b"strange", tmp_path)
    strange_object(stage, f"documents/{mint_sid('AC')}/{mint_sid('RE')}", b"another account's", tmp_path)
    strange_object(stage, f"documents/{recording.account_sid}/minutes.pdf", b"no recording", tmp_path)
    assert await found(stage) == [("I5", stranger)]


async def test_i5_an_old_upload_nobody_needs_is_found(stage: Stage) -> None:
    recording = await released(stage)
    bucket = await stage.parts.buckets.of(recording)
    await bucket.begin_upload(str(recording.object_key), PutOptions(content_type="audio/x-wav"))  # type: ignore[union-attr]
    assert await found(stage) == []
    stage.clock.advance(timedelta(hours=26).total_seconds())
    assert await found(stage) == [("I5", recording.object_key)]


async def test_i5_in_service_storage(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    key = f"{stage.account_sid}/{mint_sid('RE')}"
    path = stage.parts.buckets.storage.path_of(key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"strange")
    assert await found(stage) == [("I5", key)]


# --- Rows ------------------------------------------------------------------------------------------------------------


async def test_i8_a_missing_event_is_found(stage: Stage) -> None:
    recording = await released(stage, callback="http://r.example.com/cb", events="completed")
    await change(stage, "DELETE FROM outbox")
    assert await found(stage) == [("I8", recording.sid)]


async def test_i9_a_purge_before_its_time_is_found(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    recording = await released(stage)
    deleted = await stage.carry(await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger))
    assert deleted.state is State.DELETED
    stage.clock.advance(timedelta(days=41).total_seconds())
    assert await purge(ledger=stage.parts.ledger, clock=stage.clock) == 1
    assert await found(stage) == []
    await change(stage, "UPDATE tombstones SET purged_at = purged_at - interval '2 days'")
    assert await found(stage) == [("I9", recording.sid)]


async def test_i10_a_fence_that_is_not_the_last_moves_is_found(stage: Stage) -> None:
    recording = await stage.sealed()
    await change(stage, "UPDATE recordings SET fence = fence + 1")
    assert await found(stage) == [("I10", recording.sid)]


async def test_i11_parked_before_its_window_was_used_up_is_found(stage: Stage) -> None:
    recording = await stage.sealed()
    await stage.parts.ledger.move(recording, State.PARKED, reason="somebody felt like it")
    assert await found(stage) == [("I11", recording.sid)]


@pytest.mark.parametrize("reason", ["spool-corrupt: x", "key-unreadable: x", "the retry window of 0 s is used up: x"])
async def test_i11_parked_for_a_good_reason_is_fine(stage: Stage, reason: str) -> None:
    await stage.parts.ledger.move(await stage.sealed(), State.PARKED, reason=reason)
    assert await found(stage) == []


async def test_i11_parked_and_left_without_a_word_is_found(stage: Stage) -> None:
    parked = await stage.parts.ledger.move(await stage.sealed(), State.PARKED, reason="spool-corrupt: x")
    await stage.parts.ledger.move(parked, State.SEALED)
    assert await found(stage) == [("I11", parked.sid)]


@pytest.mark.parametrize("what", ["retry_spent_s = 7300", "next_attempt_at = next_attempt_at + interval '1 hour'"])
async def test_i12_waiting_beyond_window_or_back_off_is_found(stage: Stage, what: str) -> None:
    stage.s3.remove_user("AKMANAGER00000000000")
    recording = await stage.carry(await stage.sealed())
    assert recording.state is State.WAITING
    assert await found(stage) == []
    await change(stage, f"UPDATE recordings SET {what}")
    assert await found(stage) == [("I12", recording.sid)]


@pytest.mark.parametrize(
    "secret", ["X-Amz-Signature=00112233", "-----BEGIN RSA PRIVATE KEY", "token", "secret_access_key=mmmm"]
)
async def test_i13_a_secret_in_a_text_is_found(stage: Stage, secret: str) -> None:
    if secret == "token":
        secret = stage.token
    if secret.startswith("secret"):
        secret = "secret_access_key=" + "m" * 40
    recording = await stage.sealed()
    await change(stage, "UPDATE recordings SET last_error = :s", s=f"it said: {secret}.")
    assert await found(stage) == [("I13", recording.sid)]


async def test_i15_a_row_that_names_another_account_is_found(stage: Stage) -> None:
    recording = await released(stage)
    await change(stage, "UPDATE moves SET account_sid = 'AC' WHERE fence = 2")
    assert await found(stage) == [("I15", recording.sid)]


async def test_i16_a_move_along_no_arrow_is_found(stage: Stage) -> None:
    recording = await released(stage)
    await change(stage, "DELETE FROM moves WHERE fence = 3")
    assert {("I10", recording.sid), ("I16", recording.sid)} == set(await found(stage))


async def test_i16_a_state_that_was_written_past_the_ledger_is_found(stage: Stage) -> None:
    recording = await stage.take_in()
    await change(stage, "UPDATE recordings SET state = 'absent'")
    assert await found(stage) == [("I16", recording.sid)]


async def test_i17_an_audit_row_that_was_changed_is_found(stage: Stage) -> None:
    await stage.parts.ledger.audit.write(Deed(action="test", actor="somebody", account_sid=stage.account_sid))
    assert await found(stage) == []
    await change(stage, "ALTER TABLE audit DISABLE TRIGGER ALL")
    await change(stage, "UPDATE audit SET actor = 'nobody'")
    assert [invariant for invariant, _ in await found(stage)] == ["I17"]


async def test_i18_a_file_that_left_quarantine_is_found_unless_somebody_said_why(stage: Stage) -> None:
    row = "INSERT INTO quarantine (host_id, name, size_bytes, date_created) VALUES (:h, 'strange', 1, now())"
    await change(stage, row, h=stage.parts.spool.host_id)
    assert await found(stage) == [("I18", "strange")]
    await change(stage, "UPDATE quarantine SET date_removed = now(), reason = 'looked at it: a test'")
    assert await found(stage) == []


# --- Beside a live service -------------------------------------------------------------------------------------------


async def test_a_suspect_that_moved_meanwhile_is_looked_at_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await stage.take_in()
    looked = stage.parts.ledger.examination.pages

    async def pages(account_sid: Any, **options: Any) -> Any:
        async for page in looked(account_sid, **options):
            await stage.carry_until_settled(recording)  # its file goes between the row and the look at the disk
            yield page

    monkeypatch.setattr(stage.parts.ledger.examination, "pages", pages)
    assert await found(stage) == []


async def test_the_pages_show_every_recording_once(stage: Stage) -> None:
    made = {(await stage.take_in()).sid for _ in range(5)}
    seen = [
        case.recording.sid
        async for page in stage.parts.ledger.examination.pages(stage.account_sid, size=2)
        for case in page
    ]
    assert sorted(seen) == sorted(made)


async def test_one_account_is_examined_alone(stage: Stage) -> None:
    recording = await stage.take_in()
    in_spool(stage, recording).unlink()
    elsewhere = replace(scene_of(stage.parts), account_sid=AccountSid(mint_sid("AC")))
    assert (await examine(elsewhere)).ok
    here = replace(scene_of(stage.parts), account_sid=stage.account_sid)
    assert [v.subject for v in (await examine(here)).violations] == [recording.sid]
