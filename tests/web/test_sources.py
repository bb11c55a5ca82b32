"""Sources over HTTP: added, shown without their secret, checked, changed, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from callreel.clock import SetClock
from callreel.ledger.migrations import Migrations
from callreel.parts import Parts
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_sign_in import PretendAccount
from tests.web.conftest import UNKNOWN, Caller

THEIRS = "AC" + "7" * 32
TOKEN = "t0ken-of-the-source-0123456789ab"


@pytest.fixture
async def twilio(clock: SetClock) -> AsyncIterator[PretendTwilio]:
    async with PretendTwilio(clock=clock) as server:
        yield server


@pytest.fixture
def over_there(twilio: PretendTwilio) -> PretendAccount:
    return twilio.add_account(name="Acme over there")


@pytest.fixture
def path(acme: Caller) -> str:
    return f"{acme.own_path}/Sources"


FORM = {"TwilioAccountSid": THEIRS, "AuthToken": TOKEN}


async def test_a_source_is_added_and_its_secret_is_never_shown(acme: Caller, path: str, parts: Parts) -> None:
    made = await acme.post(path, FORM | {"FriendlyName": "Old account", "PollSeconds": "30"})
    assert made.status == 201, made.body
    source = made.json()
    assert source["sid"][:2] == "SR"
    assert (source["base_url"], source["poll_seconds"]) == ("https://api.twilio.com", 30)
    assert (
        source["webhook_url"] == f"{parts.public_url}/callreel/v1/Accounts/{acme.sid}/Sources/{source['sid']}/Webhook"
    )
    assert (await acme.get(f"{path}/{source['sid']}")).json() == source
    listed = await acme.get(path)
    assert listed.json()["sources"] == [source]
    for answer in (made, listed):
        assert TOKEN.encode() not in answer.body
    sealed = await parts.ledger.sources.find_sealed(acme.sid, source["sid"])
    assert sealed is not None
    assert TOKEN.encode() not in sealed


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, branch: Caller, path: str) -> None:
    sid = (await acme.post(path, FORM)).json()["sid"]
    for caller in (stranger, branch):
        for own in (caller.own_path, acme.own_path):
            for send in (caller.get, caller.post, caller.delete):
                answer, unknown = await send(f"{own}/Sources/{sid}"), await send(f"{own}/Sources/SR{UNKNOWN}")
                assert (answer.status, answer.json()["code"]) == (404, 20404)
                assert answer.body.replace(sid.encode(), b"SR" + UNKNOWN.encode()) == unknown.body
        assert (await caller.post(f"{acme.own_path}/Sources/{sid}/Check")).status == 404
        assert (await caller.get(f"{caller.own_path}/Sources")).json()["sources"] == []
    assert (await acme.get(f"{path}/{sid}")).status == 200


NONSENSE: list[dict[str, str]] = [
    {"TwilioAccountSid": ""},
    {"TwilioAccountSid": "AC12"},
    {"AuthToken": ""},
    {"AuthToken": "has a space in it"},
    {"AuthToken": "short"},
    {"AuthToken": "x" * 600},
    {"ApiKeySid": "SK" + "1" * 32},
    {"AuthToken": "", "ApiKeySid": "SK" + "1" * 32},
    {"AuthToken": "", "ApiKeySecret": "s" * 32},
    {"AuthToken": "", "ApiKeySid": "AC" + "1" * 32, "ApiKeySecret": "s" * 32},
    {"FriendlyName": ""},
    {"FriendlyName": "x" * 65},
    {"PollSeconds": "-1"},
    {"PollSeconds": "86401"},
    {"PollSeconds": "often"},
    {"IncludeSubaccounts": "perhaps"},
    {"BaseUrl": "http://8.8.8.8"},
    {"BaseUrl": "https://169.254.169.254"},
    {"BaseUrl": "https://10.0.0.1"},
    {"BaseUrl": "https://user:pw@api.example.com"},
    {"BaseUrl": "https://api.example.com?x=1"},
    {"BaseUrl": "https://api.example.com/#x"},
    {"BaseUrl": "https://api.example.com/a/../b"},
    {"BaseUrl": "ftp://api.example.com"},
    {"BaseUrl": "api.example.com"},
]


async def test_what_makes_no_source_is_refused_and_nothing_is_kept(acme: Caller, path: str) -> None:
    for sent in NONSENSE:
        answer = await acme.post(path, FORM | sent)
        assert (sent, answer.status) == (sent, 400)
        assert "pw" not in answer.json()["message"]
    assert (await acme.get(path)).json()["sources"] == []


async def test_two_sources_of_one_account_are_refused_with_the_first_ones_name(acme: Caller, path: str) -> None:
    first = (await acme.post(path, FORM)).json()["sid"]
    again = await acme.post(path, FORM)
    assert (again.status, again.json()["code"]) == (409, 20409)
    assert first in again.json()["message"]


async def test_the_same_idempotency_key_makes_one_source(acme: Caller, path: str) -> None:
    key = {"Idempotency-Key": "once"}
    made = await asyncio.gather(*(acme.post(path, FORM, headers=key) for _ in range(3)))
    assert [answer.status for answer in made] == [201, 201, 201]
    assert len({answer.json()["sid"] for answer in made}) == 1
    other = await acme.post(path, FORM | {"PollSeconds": "5"}, headers=key)
    assert other.status == 409


async def test_a_source_with_an_api_key_has_no_webhook(acme: Caller, path: str) -> None:
    form = {"TwilioAccountSid": THEIRS, "ApiKeySid": "SK" + "1" * 32, "ApiKeySecret": "s" * 32}
    source = (await acme.post(path, form)).json()
    assert source["webhook_url"] is None
    assert (await acme.post(f"{path}/{source['sid']}/Webhook", {"RecordingSid": "RE" + "1" * 32})).status == 404


async def test_what_is_not_sent_keeps_its_value_and_a_new_credential_replaces_the_old(
    acme: Caller, path: str, twilio: PretendTwilio, over_there: PretendAccount
) -> None:
    form = {"TwilioAccountSid": over_there.sid, "AuthToken": "wrong-token", "BaseUrl": twilio.url}
    source = (await acme.post(path, form | {"PollSeconds": "7"})).json()
    assert not (await acme.post(f"{path}/{source['sid']}/Check")).json()["ok"]
    changed = await acme.post(f"{path}/{source['sid']}", {"AuthToken": over_there.auth_token})
    assert (changed.status, changed.json()["poll_seconds"]) == (200, 7)
    assert (await acme.post(f"{path}/{source['sid']}/Check")).json()["ok"]
    key, secret = twilio.add_key(over_there)
    changed = await acme.post(f"{path}/{source['sid']}", {"ApiKeySid": key, "ApiKeySecret": secret})
    assert changed.json()["api_key_sid"] == key
    assert (await acme.post(f"{path}/{source['sid']}/Check")).json()["ok"]


async def test_a_check_names_what_the_credential_may_do_and_what_to_do_about_it(
    acme: Caller, path: str, twilio: PretendTwilio, over_there: PretendAccount
) -> None:
    twilio.add_recording(over_there)
    key, secret = twilio.add_key(over_there, kind="read-only")
    form = {"TwilioAccountSid": over_there.sid, "ApiKeySid": key, "ApiKeySecret": secret, "BaseUrl": twilio.url}
    sid = (await acme.post(path, form)).json()["sid"]
    found = (await acme.post(f"{path}/{sid}/Check")).json()
    outcomes = {one["name"]: one["outcome"] for one in found["checks"]}
    assert outcomes == {
        "list": "passed",
        "media": "passed",
        "delete": "failed",
        "subaccounts": "failed",
        "calls": "passed",
    }
    assert not found["ok"]
    assert any("DeleteSourceAfterMigration" in (one["remedy"] or "") for one in found["checks"])
    await acme.post(f"{acme.own_path}/DeletionSettings", {"DeleteSourceAfterMigration": "false"})
    assert (await acme.post(f"{path}/{sid}/Check")).json()["ok"]
    assert len(over_there.shelf) == 1


async def test_a_removed_source_is_gone_and_can_be_added_again(acme: Caller, path: str) -> None:
    sid = (await acme.post(path, FORM)).json()["sid"]
    assert (await acme.delete(f"{path}/{sid}")).status == 204
    assert (await acme.get(f"{path}/{sid}")).status == 404
    assert (await acme.delete(f"{path}/{sid}")).status == 404
    assert (await acme.post(path, FORM)).status == 201


async def test_a_source_with_a_running_migration_stays_and_says_what_to_do(
    acme: Caller, path: str, parts: Parts
) -> None:
    sid = (await acme.post(path, FORM)).json()["sid"]
    source = await parts.ledger.sources.fetch(acme.sid, sid)
    migrations: Migrations = parts.ledger.migrations
    await migrations.start(source, created_after=None, created_before=None, host_id=parts.spool.host_id)
    refused = await acme.delete(f"{path}/{sid}")
    assert (refused.status, refused.json()["code"]) == (409, 20409)
    assert "callreel migrate cancel" in refused.json()["message"]
    assert (await acme.get(f"{path}/{sid}")).status == 200


async def test_who_added_changed_and_removed_a_source_is_in_the_audit_without_its_secret(
    acme: Caller, path: str
) -> None:
    sid = (await acme.post(path, FORM)).json()["sid"]
    await acme.post(f"{path}/{sid}", {"AuthToken": TOKEN + "-new", "PollSeconds": "5"})
    await acme.delete(f"{path}/{sid}")
    audit = await acme.get(f"{acme.own_path}/Audit")
    actions = [row["action"] for row in audit.json()["audit"] if row["action"].startswith("source.")]
    assert actions == ["source.removed", "source.changed", "source.added"]
    assert TOKEN.encode() not in audit.body
