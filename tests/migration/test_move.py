"""The path of one recording out of a source, and everything that may be wrong with it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from callreel.bucket.bucket import PutOptions
from callreel.errors import (
    MediaNotReady,
    NotAudio,
    NotFound,
    ReceiptForged,
    SourceRateLimited,
    SourceRedirects,
    SourceStumbled,
    SourceUnauthorized,
    SourceUnreachable,
)
from callreel.migration.fetch import MOST_ATTEMPTS
from callreel.migration.move import SourceAway
from callreel.migration.receipt import verify_receipt
from callreel.model.moved_item import ItemState, Reason
from callreel.model.recording import State
from callreel.model.source import DeleteAnswer, DeleteOutcome, SourceStatus
from callreel.rehearsal import s3_faults as faults
from callreel.sealing.twilio_format import decrypt, encrypt
from callreel.steps.request_deletion import request_deletion
from tests.bucket.blobs import some_blob
from tests.migration.conftest import Move
from tests.migration.stand_in import ACCOUNT, MADE, Sent
from tests.sealing.keys import private_pem, public_pem, rsa_key
from tests.stage import BUCKET, WRITER, a_wav

REFUSED = DeleteAnswer(DeleteOutcome.REFUSED, 403, "may not")


async def test_a_recording_moves_and_its_original_goes_after_the_proof(moving: Move) -> None:
    (item,) = await moving.offered(1, seconds=2)
    body = moving.twilio.shelf[item.source_recording_sid][1]
    item = await moving.once(item)
    recording = await moving.recording(item)
    assert (item.state, item.source_link, item.reason) == (ItemState.LINK_CLEARED, None, None)
    assert moving.twilio.shelf == {}
    assert recording.state is State.RELEASED
    assert moving.stage.bodies(recording) == body
    assert recording.verified_at is not None
    assert item.intent_at is not None
    assert item.delete_sent_at is not None
    assert recording.verified_at < item.intent_at <= item.delete_sent_at
    assert moving.stage.spooled() == []


async def test_a_moved_recording_keeps_its_names_dates_length_and_price(moving: Move) -> None:
    (item,) = await moving.offered(7, seconds=3, source="RecordVerb", track="both")
    recording = await moving.recording(await moving.once(item))
    assert (recording.sid, recording.source_recording_sid) == (f"RE{7:032x}", f"RE{7:032x}")
    assert (recording.call_sid, recording.source, recording.track) == (f"CA{7:032x}", "RecordVerb", "both")
    assert (recording.date_created, recording.duration_s) == (MADE + timedelta(minutes=7), 3)
    assert (recording.price, recording.price_unit) == ("-0.0025", "USD")
    assert recording.object_key == f"documents/{moving.stage.account_sid}/{recording.sid}"
    call = await moving.parts.ledger.calls.fetch(moving.stage.account_sid, f"CA{7:032x}")
    assert call.start_time == recording.start_time


async def test_two_channels_move_as_two(moving: Move) -> None:
    (item,) = await moving.offered(1, channels=2)
    assert (await moving.recording(await moving.once(item))).channels == 2


async def test_its_receipt_is_signed_and_can_be_checked_with_the_public_key_alone(moving: Move) -> None:
    (item,) = await moving.offered(1)
    body = moving.twilio.shelf[item.source_recording_sid][1]
    item = await moving.once(item)
    told = await moving.receipt(item)
    assert told["sha256"] == told["blob_sha256"] == hashlib.sha256(body).hexdigest()
    assert (told["size_bytes"], told["verify_method"], told["bucket"]) == (len(body), "checksum", BUCKET)
    assert told["deleted_at"] is not None
    assert told["source_recording_sid"] == item.source_recording_sid
    kept = await moving.parts.ledger.items.fetch_receipt(moving.stage.account_sid, item.recording_sid)
    altered = {"document": kept.document.replace(BUCKET, "other"), "signature": kept.signature}
    with pytest.raises(ReceiptForged):
        verify_receipt(altered, moving.parts.receipt_key.public_pem)
    with pytest.raises(NotFound):  # another account's
        await moving.parts.ledger.items.fetch_receipt(ACCOUNT, item.recording_sid)  # type: ignore[arg-type]


async def test_with_the_switch_off_both_copies_stay(moving: Move) -> None:
    (item,) = await moving.offered(1)
    await moving.keep_both()
    item = await moving.once(item)
    assert (item.state, item.reason) == (ItemState.KEPT, Reason.SWITCHED_OFF)
    assert moving.keeps_its_original(item)
    assert item.source_link is not None
    assert (await moving.receipt(item))["deleted_at"] is None


async def test_a_write_only_credential_deletes_nothing_and_names_the_permission(moving: Move) -> None:
    await moving.stage.choose(aws_credentials_sid=await moving.stage.keep_key(WRITER))
    (item,) = await moving.offered(1)
    item = await moving.until_settled(item)
    assert (item.state, item.reason) == (ItemState.KEPT, Reason.INSUFFICIENT_EVIDENCE)
    assert item.remedy is not None
    assert "s3:GetObject" in item.remedy
    assert moving.keeps_its_original(item)


async def test_accepted_evidence_is_read_back_before_anything_is_deleted(moving: Move) -> None:
    (item,) = await moving.offered(1)
    recording = await _delivered(moving, item)
    recording = await moving.parts.ledger.note(recording, verify_method="accepted")
    item = await moving.once(item)
    assert item.state is ItemState.LINK_CLEARED
    assert (await moving.recording(item)).verify_method == "read"


@pytest.mark.parametrize("harm", ["removed", "replaced"])
async def test_an_object_that_is_gone_or_another_keeps_the_original(moving: Move, harm: str) -> None:
    (item,) = await moving.offered(1)
    recording = await _delivered(moving, item)
    bucket = await moving.parts.buckets.of(recording)
    assert recording.object_key is not None
    if harm == "removed":
        await bucket.delete(recording.object_key)
    else:
        other = some_blob(recording.blob_size_bytes or 0)
        await bucket.put(recording.object_key, other, PutOptions(content_type="audio/x-wav"))
    item = await moving.once(item)
    expected = Reason.OBJECT_MISSING if harm == "removed" else Reason.OBJECT_DIFFERS
    assert (item.state, item.reason) == (ItemState.FAILED, expected)
    assert moving.keeps_its_original(item)


TEAR: dict[str, Callable[[Sent], Sent]] = {
    "torn": lambda sent: replace(sent, body=sent.body[: len(sent.body) // 2]),
    "an XML page": lambda sent: Sent(40, "audio/x-wav", b"<?xml version='1.0'?><RestException/>\n\n\n"[:40]),
    "an HTML page": lambda sent: Sent(24, "audio/x-wav", b"<!doctype html><p>sorry\n"),
    "an MP3": lambda sent: Sent(16, "audio/x-wav", b"\xff\xfb" + bytes(14)),
    "another length": lambda sent: replace(sent, body=a_wav(seconds=4), length=len(a_wav(seconds=4))),
    "without samples": lambda sent: replace(sent, body=a_wav(seconds=0), length=44),
    "much larger": lambda sent: replace(sent, body=bytes(3 << 20), length=3 << 20),
    "much larger than it may be, and unannounced": lambda sent: replace(sent, body=bytes(3 << 20), length=None),
    "longer than its head says": lambda sent: replace(sent, body=sent.body + bytes(999), length=len(sent.body) + 999),
    "shorter than its head says": lambda sent: replace(sent, body=sent.body[:-2000], length=len(sent.body) - 2000),
}


@pytest.mark.parametrize("trouble", TEAR)
async def test_what_is_not_the_recording_is_fetched_again_and_never_kept(moving: Move, trouble: str) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", TEAR[trouble])
    item = await moving.once(item)
    assert (item.state, item.attempts) == (ItemState.LISTED, 1)
    assert item.detail
    assert moving.stage.spooled() == []
    item = await moving.until_settled(item)
    assert item.state is ItemState.LINK_CLEARED


async def test_what_never_is_the_recording_fails_with_its_original_kept(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", *[TEAR["torn"]] * MOST_ATTEMPTS)
    item = await moving.until_settled(item)
    assert (item.state, item.reason, item.attempts) == (ItemState.FAILED, Reason.NOT_WHOLE, MOST_ATTEMPTS)
    assert item.remedy
    assert moving.keeps_its_original(item)


async def test_media_that_is_not_ready_is_waited_for_and_costs_no_try(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", *[MediaNotReady() for _ in range(20)])
    item = await moving.until_settled(item)
    assert item.state is ItemState.LINK_CLEARED


async def test_a_recording_listed_before_it_was_done_moves_with_its_final_length(moving: Move) -> None:
    (item,) = await moving.offered(1, seconds=2, duration_s=None, status=SourceStatus.PROCESSING)
    item = await moving.once(item)
    assert (item.state, item.reason, item.attempts) == (ItemState.LISTED, Reason.NOT_READY, 0)
    moving.twilio.change(item.source_recording_sid, duration_s=2, status=SourceStatus.COMPLETED)
    item = await moving.until_settled(item)
    assert item.state is ItemState.LINK_CLEARED
    assert (await moving.recording(item)).duration_s == 2


async def test_a_recording_without_media_is_skipped(moving: Move) -> None:
    (item,) = await moving.offered(1, status=SourceStatus.ABSENT)
    item = await moving.once(item)
    assert (item.state, item.reason) == (ItemState.SKIPPED, Reason.NO_MEDIA)


async def test_a_429_costs_no_try_on_any_way(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", *[SourceRateLimited(retry_after_s=7) for _ in range(12)])
    moving.twilio.meets("delete", *[SourceRateLimited(retry_after_s=7) for _ in range(12)])
    item = await moving.until_settled(item)
    assert (item.state, item.delete_attempts) == (ItemState.LINK_CLEARED, 0)


async def test_a_source_that_is_away_puts_the_item_off_and_costs_no_try(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", SourceUnreachable())
    moving.twilio.meets("find", SourceUnreachable())
    with pytest.raises(SourceAway):
        await moving.once(item)
    assert (await moving.look(item)).attempts == 0
    moving.clock.advance(300)
    assert (await moving.once(item)).state is ItemState.LINK_CLEARED


async def test_a_recording_the_source_chokes_on_costs_its_tries_alone(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", *[SourceStumbled("500", status=500)] * MOST_ATTEMPTS)
    item = await moving.until_settled(item)
    assert (item.state, item.reason, item.attempts) == (ItemState.FAILED, Reason.SOURCE_STUMBLED, MOST_ATTEMPTS)
    assert moving.keeps_its_original(item)


@pytest.mark.parametrize("why", [SourceUnauthorized(), SourceRedirects()])
async def test_a_source_that_refuses_us_changes_nothing_of_the_item(moving: Move, why: Exception) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("media", why)  # type: ignore[arg-type]
    with pytest.raises(type(why)):
        await moving.once(item)
    assert await moving.look(item) == item
    assert moving.keeps_its_original(item)


async def test_three_deletions_that_fail_keep_the_link_and_can_be_taken_up_again(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("delete", REFUSED, SourceUnreachable(), REFUSED)
    began = moving.clock.now()
    item = await moving.until_settled(item)
    assert (item.state, item.delete_attempts, moving.twilio.deletions()) == (ItemState.DELETE_FAILED, 3, 3)
    assert moving.clock.now() - began == timedelta(seconds=71)  # 1 s, 10 s, and 60 s before the last look
    assert item.source_link is not None
    assert item.delete_confirmed_at is None
    assert (await moving.receipt(item))["deleted_at"] is None
    again = await moving.parts.ledger.items.move(
        item, ItemState.FETCHED, next_attempt_at=moving.clock.now(), delete_attempts=0
    )
    item = await moving.until_settled(again)
    assert (item.state, item.source_link) == (ItemState.LINK_CLEARED, None)
    assert (await moving.receipt(item))["deleted_at"] is not None


async def test_what_the_source_deleted_without_saying_so_is_seen_a_minute_later(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("delete", *[SourceUnreachable()] * 3)
    for _ in range(3):
        item = await moving.once(item)
        assert item.next_attempt_at is not None
        moving.clock.advance((item.next_attempt_at - moving.clock.now()).total_seconds())
    assert (item.state, item.delete_attempts) == (ItemState.DELETE_INTENT, 3)
    moving.twilio.shelf.clear()
    item = await moving.once(item)
    assert (item.state, item.source_link, moving.twilio.deletions()) == (ItemState.LINK_CLEARED, None, 3)
    assert (await moving.receipt(item))["deleted_at"] is not None


async def test_a_last_look_that_is_not_answered_keeps_the_link(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("delete", *[REFUSED] * 3)
    moving.twilio.meets("find", SourceUnreachable())
    item = await moving.until_settled(item)
    assert (item.state, item.delete_confirmed_at) == (ItemState.DELETE_FAILED, None)
    assert item.source_link is not None


async def test_a_404_confirms_what_we_had_asked_for(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.meets("delete", DeleteAnswer(DeleteOutcome.NOT_THERE, 404))
    assert (await moving.once(item)).state is ItemState.LINK_CLEARED


async def test_a_recording_that_is_gone_before_it_was_fetched_is_skipped(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.twilio.shelf.clear()
    item = await moving.once(item)
    assert (item.state, moving.twilio.deletions()) == (ItemState.SKIPPED, 0)


async def test_a_delivery_that_stumbles_goes_on_by_itself_and_wakes_the_item(moving: Move) -> None:
    (item,) = await moving.offered(1)
    moving.stage.s3.faults.next(faults.reset(), 2)
    item = await moving.once(item)
    assert (item.state, item.next_attempt_at) == (ItemState.FETCHED, None)
    await moving.stage.carry_until_settled(await moving.recording(item))
    assert await moving.parts.ledger.items.wake([item.recording_sid]) == [moving.source.sid]
    assert (await moving.once(item)).state is ItemState.LINK_CLEARED


async def test_a_delivery_that_is_refused_fails_and_keeps_the_original(moving: Move) -> None:
    await moving.stage.choose(aws_s3_url=f"{moving.stage.s3.url}/not-there")
    (item,) = await moving.offered(1)
    item = await moving.once(item)
    recording = await moving.stage.carry_until_settled(await moving.recording(item))
    assert recording.state is State.FATAL
    await moving.parts.ledger.items.wake([item.recording_sid])
    item = await moving.once(item)
    assert (item.state, item.reason) == (ItemState.FAILED, Reason.DELIVERY_FAILED)
    assert moving.keeps_its_original(item)
    await moving.stage.choose()
    from callreel.steps.restart import restart

    assert await restart(recording, ledger=moving.parts.ledger, buckets=moving.parts.buckets)
    await moving.stage.carry_until_settled(await moving.recording(item))
    assert await moving.parts.ledger.items.wake([item.recording_sid]) == [moving.source.sid]
    assert (await moving.once(item)).state is ItemState.LINK_CLEARED


async def test_a_recording_deleted_here_keeps_its_original(moving: Move) -> None:
    (item,) = await moving.offered(1)
    recording = await _delivered(moving, item)
    await request_deletion(moving.stage.account_sid, recording.sid, ledger=moving.parts.ledger)
    item = await moving.once(item)
    assert (item.state, item.reason) == (ItemState.KEPT, Reason.DELETED_HERE)
    assert moving.keeps_its_original(item)


async def test_ciphertext_of_the_source_moves_as_it_is_and_opens_with_its_owners_key(moving: Move) -> None:
    key = rsa_key()
    plain, sealed = a_wav(seconds=2), io.BytesIO()
    details = encrypt(io.BytesIO(plain), sealed, public_pem(key), "CR" + "3" * 32)
    ours = await moving.stage.keep_public_key(public_pem(rsa_key()))
    await moving.stage.choose(encryption_enabled=True, encryption_key_sid=ours)
    (item,) = await moving.offered(1, seconds=2, body=sealed.getvalue(), encryption_details=details)
    item = await moving.once(item)
    recording = await moving.recording(item)
    assert item.state is ItemState.LINK_CLEARED
    assert recording.encryption_details == details
    assert moving.stage.bodies(recording) == sealed.getvalue()
    assert moving.stage.spooled() == []
    opened = io.BytesIO()
    decrypt(io.BytesIO(moving.stage.bodies(recording)), opened, private_pem(key), details)
    assert opened.getvalue() == plain
    assert (await moving.receipt(item))["encrypted_at_source"] is True


async def test_ciphertext_is_kept_only_when_two_downloads_agree(moving: Move) -> None:
    details = {"type": "rsa-aes", "public_key_sid": "CRx", "encrypted_cek": "x", "iv": "y"}
    (item,) = await moving.offered(1, body=bytes(16_060), encryption_details=details)
    moving.twilio.meets("media", lambda sent: replace(sent, body=sent.body + b"more", length=len(sent.body) + 4))
    item = await moving.once(item)
    assert (item.state, item.reason) == (ItemState.LISTED, Reason.NOT_WHOLE)
    assert moving.stage.spooled() == []
    item = await moving.until_settled(item)
    assert item.state is ItemState.LINK_CLEARED
    assert moving.stage.bodies(await moving.recording(item)) == bytes(16_060)


async def test_plain_media_is_encrypted_here_where_the_account_asks_for_it(moving: Move) -> None:
    ours = await moving.stage.keep_public_key(public_pem(rsa_key()))
    await moving.stage.choose(encryption_enabled=True, encryption_key_sid=ours)
    (item,) = await moving.offered(1)
    item = await moving.once(item)
    told = await moving.receipt(item)
    assert item.state is ItemState.LINK_CLEARED
    assert told["sha256"] != told["blob_sha256"]


async def test_an_error_page_in_place_of_ciphertext_is_never_kept(moving: Move) -> None:
    details = {"type": "rsa-aes", "public_key_sid": "CRx", "encrypted_cek": "x", "iv": "y"}
    page = b"<?xml version='1.0'?><TwilioResponse><RestException/></TwilioResponse>"
    (item,) = await moving.offered(1, body=page, encryption_details=details)
    item = await moving.once(item)
    assert (item.state, item.reason) == (ItemState.LISTED, Reason.NOT_AUDIO)
    assert NotAudio  # what the judge raised


async def test_bytes_a_crash_left_without_a_row_are_fetched_anew(moving: Move) -> None:
    (item,) = await moving.offered(1)
    (moving.parts.spool.ready / item.recording_sid).write_bytes(b"half a recording")
    assert (await moving.once(item)).state is ItemState.LINK_CLEARED


async def test_a_recording_whose_item_was_not_written_is_not_fetched_twice(moving: Move) -> None:
    (item,) = await moving.offered(1)
    await moving.once(item)
    async with moving.parts.ledger.engine.begin() as transaction:
        from sqlalchemy import text

        await transaction.execute(
            text("UPDATE migration_items SET state = 'listed', next_attempt_at = date_created, fence = 1")
        )
    moving.twilio.asked.clear()
    item = await moving.once(item)
    assert item.state is ItemState.LINK_CLEARED
    assert [verb for verb, _ in moving.twilio.asked] == ["delete"]


async def _delivered(moving: Move, item):  # type: ignore[no-untyped-def]
    """The recording of an item that was fetched and delivered, and not settled."""
    from callreel.migration.fetch import fetch

    fetched = await fetch(item, source=moving.client, shelves=moving.shelves)
    await moving.shelves.carry(item.recording_sid, fetched.recording)
    return await moving.recording(item)
