"""The official `twilio` package, unmodified, as a user of callreel. It blocks, so it works in a thread."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callreel.clock import SetClock
from tests.sdk.conftest import sdk_of
from tests.sealing.keys import public_pem, rsa_key
from tests.web.conftest import CALL, UNKNOWN, Caller, Record

CONFERENCE = "CF" + "2" * 32
ACCESS = "AKIAIOSFODNN7EXAMPLE:" + "k" * 40
inside = asyncio.to_thread


async def test_accounts_and_subaccounts(sdk: Client, acme: Caller) -> None:
    def talk() -> None:
        assert sdk.api.accounts(acme.sid).fetch().friendly_name == "Acme"
        sub = sdk.api.accounts.create(friendly_name="West")
        assert len(sub.auth_token) == 32
        assert {account.sid for account in sdk.api.accounts.list()} == {acme.sid, sub.sid}
        assert sub.update(status="suspended").status == "suspended"
        assert sdk.api.accounts(sub.sid).fetch().date_created == datetime(2026, 11, 21, 12, tzinfo=UTC)

    await inside(talk)


async def test_api_keys_sign_in(sdk: Client, acme: Caller) -> None:
    def talk() -> None:
        key = sdk.new_keys.create(friendly_name="ci")
        by_key = Client(key.sid, key.secret, acme.sid)
        by_key.api.base_url = acme.base
        assert [found.sid for found in by_key.keys.list()] == [key.sid]
        assert sdk.keys(key.sid).update(friendly_name="cd").friendly_name == "cd"
        assert sdk.keys(key.sid).delete() is True
        with pytest.raises(TwilioRestException) as refused:
            by_key.keys(key.sid).fetch()
        assert (refused.value.status, refused.value.code) == (401, 20003)
        by_key.http_client.session.close()

    await inside(talk)


async def test_credentials_of_both_kinds(sdk: Client) -> None:
    def talk() -> None:
        credentials = sdk.accounts.v1.credentials
        aws = credentials.aws.create(credentials=ACCESS, friendly_name="bucket")
        assert aws.date_created == datetime(2026, 11, 21, 12, tzinfo=UTC)
        assert credentials.aws(aws.sid).update(friendly_name="renamed").friendly_name == "renamed"
        assert [found.sid for found in credentials.aws.list()] == [aws.sid]
        assert credentials.aws(aws.sid).delete() is True
        key = credentials.public_key.create(public_key=public_pem(rsa_key()))
        assert credentials.public_key(key.sid).fetch().sid == key.sid
        assert credentials.aws.list() == []
        with pytest.raises(TwilioRestException) as refused:
            credentials.aws.create(credentials="nonsense")
        assert (refused.value.status, refused.value.code) == (400, 70106)

    await inside(talk)


async def test_video_recording_settings(sdk: Client) -> None:
    def talk() -> None:
        aws = sdk.accounts.v1.credentials.aws.create(credentials=ACCESS)
        settings = sdk.video.v1.recording_settings()
        assert settings.fetch().aws_storage_enabled is False
        saved = settings.create(
            friendly_name="ours",
            aws_credentials_sid=aws.sid,
            aws_s3_url="https://recordings.s3.amazonaws.com/v",
            aws_storage_enabled=True,
        )
        assert (saved.aws_storage_enabled, saved.aws_credentials_sid) == (True, aws.sid)
        off = settings.create(friendly_name="ours", aws_storage_enabled=False)
        assert (off.aws_storage_enabled, off.aws_s3_url) == (False, "https://recordings.s3.amazonaws.com/v")

    await inside(talk)


async def test_recordings_page_by_page_at_every_level(sdk: Client, recorded: Record, clock: SetClock) -> None:
    made = []
    for _ in range(5):
        made.append((await recorded(query=f"?CallSid={CALL}&ConferenceSid={CONFERENCE}"))["sid"])
        clock.advance(1)
    newest_first = made[::-1]

    def talk() -> None:
        assert [r.sid for r in sdk.recordings.list(page_size=2)] == newest_first
        assert [r.sid for r in sdk.recordings.list(limit=3, page_size=2)] == newest_first[:3]
        assert [r.sid for r in sdk.recordings.list(call_sid=CALL)] == newest_first
        assert [r.sid for r in sdk.calls(CALL).recordings.list(page_size=2)] == newest_first
        assert [r.sid for r in sdk.conferences(CONFERENCE).recordings.list(page_size=2)] == newest_first
        assert sdk.calls(CALL).recordings.list(date_created=date(2026, 11, 20)) == []
        page = sdk.recordings.page(page_size=2)
        assert [r.sid for r in page] == newest_first[:2]
        following = page.next_page()
        assert [r.sid for r in following] == newest_first[2:4]
        assert [r.sid for r in following.previous_page()] == newest_first[:2]

    await inside(talk)


async def test_recordings_by_date(sdk: Client, recorded: Record) -> None:
    sid = (await recorded())["sid"]
    before, after = datetime(2026, 11, 21, 11, tzinfo=UTC), datetime(2026, 11, 21, 13, tzinfo=UTC)

    def talk() -> None:
        assert [r.sid for r in sdk.recordings.list(date_created_after=before, date_created_before=after)] == [sid]
        assert sdk.recordings.list(date_created_before=before) == []
        assert sdk.recordings.list(date_created_after=after) == []
        assert [r.sid for r in sdk.recordings.list(date_created=before)] == [sid]

    await inside(talk)


async def test_a_recording_is_fetched_and_deleted(sdk: Client, recorded: Record) -> None:
    sid = (await recorded(query=f"?CallSid={CALL}"))["sid"]

    def talk() -> None:
        recording = sdk.recordings(sid).fetch()
        assert (recording.status, recording.duration, recording.call_sid) == ("completed", "2", CALL)
        assert recording.start_time == datetime(2026, 11, 21, 11, 59, 58, tzinfo=UTC)
        assert sdk.calls(CALL).recordings(sid).fetch().price is None
        assert sdk.recordings(sid).delete() is True
        assert sdk.recordings.list() == []
        assert [r.status for r in sdk.recordings.list(include_soft_deleted=True)] == ["deleted"]
        assert sdk.recordings(sid).fetch(include_soft_deleted=True).status == "deleted"
        with pytest.raises(TwilioRestException) as refused:
            sdk.recordings(sid).delete()
        assert (refused.value.status, refused.value.code) == (404, 20404)

    await inside(talk)


async def test_errors_arrive_as_twilios_exception(sdk: Client, acme: Caller, stranger: Caller) -> None:
    sid = (await acme.upload()).json()["sid"]

    def talk() -> None:
        with pytest.raises(TwilioRestException) as missing:
            sdk.recordings(f"RE{UNKNOWN}").fetch()
        assert (missing.value.status, missing.value.code, missing.value.method) == (404, 20404, "GET")
        assert f"RE{UNKNOWN}.json was not found" in missing.value.msg
        with pytest.raises(TwilioRestException) as unfinished:
            sdk.recordings(sid).delete()
        assert (unfinished.value.status, unfinished.value.code) == (409, 20009)
        other = sdk_of(stranger)
        with pytest.raises(TwilioRestException) as foreign:
            other.api.v2010.accounts(acme.sid).recordings(sid).fetch()
        assert (foreign.value.status, foreign.value.code) == (404, 20404)
        other.http_client.session.close()

    await inside(talk)
