"""The webhook of a source: Twilio's own signature, or nothing happens."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from callreel.clock import SetClock
from callreel.ledger.moved_items import MovedItems
from callreel.model.source import Source
from callreel.outbound.signature import sign
from callreel.parts import Parts
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_sign_in import PretendAccount
from tests.sealing.keys import public_pem, rsa_key
from tests.web.conftest import Caller


@pytest.fixture
async def twilio(clock: SetClock) -> AsyncIterator[PretendTwilio]:
    async with PretendTwilio(clock=clock) as server:
        yield server


@pytest.fixture
def over_there(twilio: PretendTwilio) -> PretendAccount:
    return twilio.add_account()


@pytest.fixture
async def source(acme: Caller, twilio: PretendTwilio, over_there: PretendAccount, parts: Parts) -> Source:
    form = {"TwilioAccountSid": over_there.sid, "AuthToken": over_there.auth_token, "BaseUrl": twilio.url}
    made = await acme.post(f"{acme.own_path}/Sources", form)
    return await parts.ledger.sources.fetch(acme.sid, made.json()["sid"])


@pytest.fixture
def hook(source: Source, parts: Parts) -> str:
    return f"{parts.public_url}/callreel/v1/Accounts/{source.account_sid}/Sources/{source.sid}/Webhook"


async def offered(parts: Parts, source: Source) -> list[dict[str, Any]]:
    """What waits to be moved from this source."""
    items: MovedItems = parts.ledger.items
    due = await items.list_due(source.sid, host_id=parts.spool.host_id, limit=100)
    return [{"sid": one.origin.sid, "source": one.kept_source, "origin": one.origin} for one in due]


async def test_a_signed_callback_is_taken_once_however_often_it_comes(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, parts: Parts, source: Source
) -> None:
    one = twilio.add_recording(over_there, channels=2)
    assert [await twilio.send_webhook(one, hook) for _ in range(3)] == [204, 204, 204]
    (item,) = await offered(parts, source)
    assert (item["sid"], item["source"]) == (one.sid, "DialVerb")
    assert (item["origin"].call_sid, item["origin"].channels) == (one.call_sid, 2)


async def test_a_forged_signature_is_403_and_nothing_moves(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, parts: Parts, source: Source
) -> None:
    for token in ("", "another-token", "0" * 32):
        assert await twilio.send_webhook(twilio.add_recording(over_there), hook, token=token) == 403
    assert await offered(parts, source) == []


async def test_a_callback_without_a_signature_or_with_another_body_is_403(
    acme: Caller, over_there: PretendAccount, hook: str, source: Source, parts: Parts
) -> None:
    path = hook.removeprefix(acme.base)
    form = {"AccountSid": over_there.sid, "RecordingSid": "RE" + "1" * 32, "RecordingStatus": "completed"}
    signature = {"X-Twilio-Signature": sign(over_there.auth_token, hook, form.items())}
    for sent, headers in (
        (form, {}),
        (form | {"RecordingSid": "RE" + "2" * 32}, signature),
        (form, {"X-Twilio-Signature": "é"}),
        ({}, signature),
    ):
        assert (await acme.post(path, sent, headers=headers, auth=None)).status == 403
    assert (await acme.post(path + "?Source=Voicemail", form, headers=signature, auth=None)).status == 403
    assert await offered(parts, source) == []
    assert (await acme.post(path, form, headers=signature, auth=None)).status == 204


async def test_a_webhook_url_may_mark_its_recordings_as_voicemails(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, parts: Parts, source: Source
) -> None:
    one = twilio.add_recording(over_there, source="RecordVerb")
    assert await twilio.send_webhook(one, f"{hook}?Source=Voicemail") == 204
    assert [item["source"] for item in await offered(parts, source)] == ["Voicemail"]


async def test_only_completed_recordings_are_taken(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, parts: Parts, source: Source
) -> None:
    for status in ("in-progress", "absent", "failed"):
        assert await twilio.send_webhook(twilio.add_recording(over_there), hook, status=status) == 204
    assert await offered(parts, source) == []


async def test_a_callback_of_before_the_source_was_added_moves_nothing(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, parts: Parts, source: Source, clock: SetClock
) -> None:
    old = twilio.add_recording(over_there, created=clock.now() - timedelta(days=2))
    assert await twilio.send_webhook(old, hook) == 204
    assert await offered(parts, source) == []


async def test_encryption_details_come_with_it(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, parts: Parts, source: Source
) -> None:
    one = twilio.add_recording(over_there, public_key=(public_pem(rsa_key()), "CR" + "1" * 32))
    assert await twilio.send_webhook(one, hook) == 204
    (item,) = await offered(parts, source)
    assert set(item["origin"].encryption_details) == {"type", "public_key_sid", "encrypted_cek", "iv"}


NONSENSE: list[tuple[dict[str, str], int]] = [
    ({"RecordingSid": ""}, 400),
    ({"RecordingSid": "../RE"}, 400),
    ({"CallSid": "CA1"}, 400),
    ({"RecordingDuration": "long"}, 400),
    ({"RecordingStartTime": "soon"}, 400),
    ({"RecordingStartTime": "Wed, 20 Apr 2050 23:45:25 +0000"}, 400),
    ({"EncryptionDetails": "{"}, 400),
    ({"AccountSid": "AC" + "9" * 32}, 403),
    ({"AccountSid": ""}, 403),
    ({"RecordingSource": "Hologram", "RecordingTrack": "sideways"}, 204),
    ({"RecordingUrl": "http://169.254.169.254/latest"}, 204),
]


async def test_signed_nonsense_is_refused_and_what_is_unknown_is_no_reason_to_lose_a_recording(
    acme: Caller, over_there: PretendAccount, hook: str, source: Source, parts: Parts
) -> None:
    for number, (changes, status) in enumerate(NONSENSE):
        form = {
            "AccountSid": over_there.sid,
            "RecordingSid": f"RE{number:032x}",
            "RecordingStatus": "completed",
        } | changes
        signature = {"X-Twilio-Signature": sign(over_there.auth_token, hook, form.items())}
        answer = await acme.post(hook.removeprefix(acme.base), form, headers=signature, auth=None)
        assert (changes, answer.status) == (changes, status)
    assert len(await offered(parts, source)) == sum(status == 204 for _, status in NONSENSE)


async def test_another_accounts_sid_is_404(
    twilio: PretendTwilio, over_there: PretendAccount, hook: str, stranger: Caller, source: Source
) -> None:
    one = twilio.add_recording(over_there)
    for old, new in ((source.account_sid, stranger.sid), (source.sid, "SR" + "0" * 32)):
        assert await twilio.send_webhook(one, hook.replace(old, new)) == 404


async def test_a_body_that_is_no_form_or_too_large_is_refused(acme: Caller, hook: str) -> None:
    path = hook.removeprefix(acme.base)
    json = await acme.post(path, b"{}", headers={"Content-Type": "application/json"}, auth=None)
    assert json.status == 415
    large = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await acme.post(path, io.BytesIO(b"x" * (2 << 20)), headers=large, auth=None)).status == 413
