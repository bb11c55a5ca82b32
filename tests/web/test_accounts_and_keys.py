"""2010 Accounts and Keys."""

from __future__ import annotations

import pytest

from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from tests.web.conftest import UNKNOWN, Caller

ACCOUNTS = "/2010-04-01/Accounts.json"


async def test_an_account_is_shown_without_its_token(acme: Caller) -> None:
    told = (await acme.get(f"{acme.account_path}.json")).json()
    assert told["sid"] == told["owner_account_sid"] == acme.sid
    assert (told["auth_token"], told["status"], told["type"]) == (None, "active", "Full")
    assert told["uri"] == f"{acme.account_path}.json"
    assert told["date_created"] == "Sat, 21 Nov 2026 12:00:00 +0000"


async def test_a_subaccounts_token_is_shown_once_and_works(acme: Caller) -> None:
    made = await acme.post(ACCOUNTS, {"FriendlyName": "West"})
    assert made.status == 201
    sub = made.json()
    assert (sub["friendly_name"], sub["owner_account_sid"]) == ("West", acme.sid)
    assert (await acme.get(f"/2010-04-01/Accounts/{sub['sid']}.json")).json()["auth_token"] is None
    assert (
        await acme.get(f"/2010-04-01/Accounts/{sub['sid']}.json", auth=(sub["sid"], sub["auth_token"]))
    ).status == 200
    listed = (await acme.get(ACCOUNTS)).json()["accounts"]
    assert {row["sid"] for row in listed} == {acme.sid, sub["sid"]}
    assert {row["auth_token"] for row in listed} == {None}


async def test_a_subaccount_without_a_name_gets_twilios(acme: Caller) -> None:
    made = (await acme.post(ACCOUNTS, {})).json()
    assert made["friendly_name"] == "SubAccount Created at 2026-11-21 12:00 PM"


async def test_accounts_are_filtered_by_name_and_status(acme: Caller, branch: Caller) -> None:
    assert len((await acme.get(f"{ACCOUNTS}?FriendlyName=Branch")).json()["accounts"]) == 1
    assert (await acme.get(f"{ACCOUNTS}?Status=closed")).json()["accounts"] == []
    assert (await acme.get(f"{ACCOUNTS}?Status=odd")).status == 400


async def test_a_subaccount_is_renamed_suspended_and_activated_by_its_owner(acme: Caller, branch: Caller) -> None:
    path = f"{branch.account_path}.json"
    changed = (await acme.post(path, {"FriendlyName": "East", "Status": "suspended"})).json()
    assert (changed["friendly_name"], changed["status"]) == ("East", "suspended")
    assert (await branch.get(path)).json()["code"] == 20005
    assert (await acme.upload_for(branch)).json()["code"] == 20005
    assert (await acme.post(path, {"Status": "active"})).json()["status"] == "active"
    assert (await branch.get(path)).status == 200
    assert (await acme.post(path, {"Status": "closed"})).json()["status"] == "closed"
    assert (await acme.post(path, {"Status": "active"})).status == 403


async def test_closing_an_account_without_media_destroys_the_key_of_its_media(
    acme: Caller, branch: Caller, parts: Parts
) -> None:
    await parts.keys.mint(branch.sid, RecordingSid("RE" + "0" * 32))
    await acme.post(f"{branch.account_path}.json", {"Status": "closed"})
    assert await parts.ledger.account_keys.find(branch.sid) == b""
    chain = [row.action async for row in parts.ledger.audit.read_chain(branch.sid)]
    assert chain[-2:] == ["account.closed", "account-key.destroyed"]


async def test_nobody_suspends_the_account_they_signed_in_with(acme: Caller, branch: Caller) -> None:
    for caller in (acme, branch):
        answer = await caller.post(f"{caller.account_path}.json", {"Status": "suspended"})
        assert (answer.status, answer.json()["code"]) == (403, 20006)


async def test_a_subaccount_has_no_subaccounts(branch: Caller) -> None:
    assert (await branch.post(ACCOUNTS, {"FriendlyName": "x"})).status == 403


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb"])
async def test_a_bad_name_is_20002(acme: Caller, name: str) -> None:
    answer = await acme.post(f"{acme.account_path}.json", {"FriendlyName": name})
    assert (answer.status, answer.json()["code"]) == (400, 20002)


async def test_an_account_cannot_be_deleted(acme: Caller) -> None:
    answer = await acme.delete(f"{acme.account_path}.json")
    assert (answer.status, answer.json()["code"]) == (405, 20004)


async def test_a_keys_secret_is_shown_once(acme: Caller) -> None:
    made = (await acme.post(f"{acme.account_path}/Keys.json", {"FriendlyName": "one"})).json()
    assert len(made["secret"]) == 32
    path = f"{acme.account_path}/Keys/{made['sid']}.json"
    assert "secret" not in (await acme.get(path)).json()
    assert (await acme.post(path, {"FriendlyName": "two"})).json()["friendly_name"] == "two"
    listed = (await acme.get(f"{acme.account_path}/Keys.json")).json()["keys"]
    assert [(row["sid"], row["friendly_name"]) for row in listed] == [(made["sid"], "two")]
    assert (await acme.delete(path)).status == 204
    assert (await acme.get(path)).status == (await acme.delete(path)).status == 404


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller) -> None:
    key = (await acme.post(f"{acme.account_path}/Keys.json", {})).json()["sid"]
    for method in ("GET", "POST", "DELETE"):
        for own in (acme.account_path, stranger.account_path):
            foreign = await stranger.send(method, f"{own}/Keys/{key}.json")
            missing = await stranger.send(method, f"{own}/Keys/SK{UNKNOWN}.json")
            assert foreign.status == missing.status == 404
            assert foreign.body.replace(key.encode(), f"SK{UNKNOWN}".encode()) == missing.body
    for method in ("GET", "POST"):
        foreign = await stranger.send(method, f"{acme.account_path}.json")
        missing = await stranger.send(method, f"/2010-04-01/Accounts/AC{UNKNOWN}.json")
        assert foreign.status == 404
        assert foreign.body.replace(acme.sid.encode(), f"AC{UNKNOWN}".encode()) == missing.body
    assert (await acme.get(f"{acme.account_path}/Keys/{key}.json")).status == 200
