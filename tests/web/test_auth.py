"""Who may call, and for whom."""

from __future__ import annotations

import base64

import pytest

from callreel.clock import SetClock
from callreel.model.account import AccountStatus
from callreel.parts import Parts
from callreel.sign_in_limits import A_SECOND, BURST
from tests.web.conftest import UNKNOWN, Caller

LIST = "/2010-04-01/Accounts.json"


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


async def test_without_a_credential_it_is_401_with_a_challenge(acme: Caller) -> None:
    answer = await acme.get(LIST, auth=None)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="callreel"'
    assert answer.json() == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }


async def test_an_unknown_account_and_a_wrong_token_get_the_same_answer(acme: Caller) -> None:
    wrong = await acme.get(LIST, auth=(acme.sid, "0" * 32))
    unknown = await acme.get(LIST, auth=("AC" + UNKNOWN, "0" * 32))
    assert (wrong.status, wrong.body) == (unknown.status, unknown.body)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + "A" * 7000,
        "Bearer x",
        basic(b"no colon"),
        basic(b"\xff\xfe:\xff"),
        basic(b":"),
        basic("AC\u0660:\u0660".encode()),
        basic(b"AC\x00:\x00"),
        "Basic \xe9\xe9",
    ],
)
async def test_malformed_huge_and_strange_headers_are_401(acme: Caller, header: str) -> None:
    answer = await acme.get(LIST, auth=None, headers={"Authorization": header})
    assert (answer.status, answer.json()["code"]) == (401, 20003)


async def test_an_api_key_signs_in_until_it_is_deleted(acme: Caller) -> None:
    key = (await acme.post(f"{acme.account_path}/Keys.json", {"FriendlyName": "ci"})).json()
    pair = (key["sid"], key["secret"])
    assert (await acme.get(f"{acme.account_path}/Recordings.json", auth=pair)).status == 200
    assert (await acme.get("/v1/Credentials/AWS", auth=pair)).status == 200
    assert (await acme.get(LIST, auth=(key["sid"], acme.token))).status == 401
    assert (await acme.delete(f"{acme.account_path}/Keys/{key['sid']}.json")).status == 204
    assert (await acme.get(LIST, auth=pair)).status == 401


async def test_a_suspended_account_is_told_so_only_with_the_right_token(acme: Caller, parts: Parts) -> None:
    await parts.ledger.accounts.change(acme.account.sid, now=parts.clock.now(), status=AccountStatus.SUSPENDED)
    answer = await acme.get(LIST)
    assert (answer.status, answer.json()["code"]) == (401, 20005)
    assert (await acme.get(LIST, auth=(acme.sid, "wrong"))).json()["code"] == 20003


async def test_failed_sign_ins_are_limited_and_valid_ones_never(acme: Caller, clock: SetClock) -> None:
    for _ in range(int(BURST)):
        assert (await acme.get(LIST, auth=(acme.sid, "wrong"))).status == 401
    limited = await acme.get(LIST, auth=(acme.sid, "wrong"))
    assert (limited.status, limited.json()["code"]) == (429, 20429)
    assert int(limited.headers["Retry-After"]) == 1 / A_SECOND
    other = await acme.get(LIST, auth=("AC" + UNKNOWN, "wrong"))
    assert other.status == 429, "the address is limited too"
    assert (await acme.get(LIST)).status == 200
    assert (await acme.get(LIST, auth=None)).status == 401, "no credential is no failed sign-in"
    clock.advance(1 / A_SECOND)
    assert (await acme.get(LIST, auth=(acme.sid, "wrong"))).status == 401


async def test_a_subaccounts_credential_reaches_neither_parent_nor_sibling(
    acme: Caller, branch: Caller, stranger: Caller
) -> None:
    for other in (acme, stranger):
        for path in (f"{other.account_path}.json", f"{other.account_path}/Keys.json", f"{other.own_path}/Deliveries"):
            assert (await branch.get(path)).status == 404
    assert (await acme.get(f"{branch.own_path}/Deliveries")).status == 200
