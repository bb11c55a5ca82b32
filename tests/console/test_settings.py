"""The Console's settings: the account, its token, and its people; each change is in the audit."""

from __future__ import annotations

import re

import aiohttp
import pytest

from callreel.errors import StateConflict
from callreel.model.account import Account
from callreel.model.person import Role
from callreel.parts import Parts
from tests.console.conftest import Browser, Shown, admit, browsing

PATH = "/console/settings"
SECRET = re.compile(r'data-copy="([^"]+)" aria-label="Copy the (?:password|auth token)"')


async def post(browser: Browser, **form: str) -> Shown:
    return await browser.post(PATH, form, token=(await browser.get(PATH)).token)


async def sid_of(parts: Parts, email: str) -> str:
    found = await parts.ledger.people.find_by_email(email)
    assert found is not None
    return found[0].sid


async def test_a_person_is_added_with_a_password_that_is_shown_once(owner: Browser, base: str, parts: Parts) -> None:
    made = await post(owner, do="admit", email="Ada@Acme.Example", role="operator")
    assert made.status == 200
    password = SECRET.findall(made.text)[0]
    assert password not in (await owner.get(PATH)).text
    async with browsing(base) as ada:
        assert (await ada.sign_in("ada@acme.example", password)).status == 303
        assert (await ada.get(PATH)).status == 403
        assert (await ada.get("/console/deliveries")).status == 200
        sid = await sid_of(parts, "ada@acme.example")
        renewed = await post(owner, do="password", sid=sid)
        assert (await ada.get("/console/deliveries")).status == 303, "another password ends the sessions"
        assert (await ada.sign_in("ada@acme.example", password)).status == 401
        assert (await ada.sign_in("ada@acme.example", SECRET.findall(renewed.text)[0])).status == 303
        assert (await post(owner, do="role", sid=sid, role="listener")).status == 303
        assert (await ada.get("/console/migration")).status == 403
        assert (await post(owner, do="remove", sid=sid)).status == 303
        assert (await ada.get("/console/recordings")).status == 303
    audit = (await owner.get("/console/audit")).text
    assert all(f"user.{word}" in audit for word in ("created", "changed", "deleted"))
    assert password not in audit
    assert "operator → listener" in audit


async def test_nobody_locks_themselves_out(
    owner: Browser, parts: Parts, account: tuple[Account, str], base: str
) -> None:
    me = await sid_of(parts, "owner@acme.example")
    for form in ({"do": "role", "role": "listener"}, {"do": "remove"}, {"do": "password"}):
        refused = await post(owner, sid=me, **form)
        assert refused.status == 400
    people = parts.ledger.people
    with pytest.raises(StateConflict, match="last owner"):
        await people.set_role(account[0].sid, me, Role.LISTENER, now=parts.clock.now())
    second = await admit(parts, account[0], "second@acme.example", Role.OWNER)
    async with browsing(base) as other:
        await other.sign_in(second)
        assert (await post(other, do="role", sid=me, role="operator")).status == 303
    assert (await owner.get(PATH)).status == 403


async def test_the_auth_token_is_replaced_and_shown_once(
    owner: Browser, base: str, account: tuple[Account, str]
) -> None:
    acme, old = account

    async def opens(token: str) -> int:
        headers = {"Authorization": aiohttp.encode_basic_auth(acme.sid, token)}
        url = f"{base}/2010-04-01/Accounts/{acme.sid}.json"
        async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
            return answer.status

    assert (await post(owner, do="rotate", confirm="no")).status == 400
    assert await opens(old) == 200
    made = await post(owner, do="rotate", confirm=acme.sid[-4:])
    token = SECRET.findall(made.text)[0]
    assert (await opens(old), await opens(token)) == (401, 200)
    assert token not in (await owner.get(PATH)).text
    audit = (await owner.get("/console/audit")).text
    assert "token.rotated" in audit
    assert token not in audit


async def test_the_account_is_renamed_and_its_name_escaped(owner: Browser) -> None:
    assert (await post(owner, do="rename", name="<b>Acme</b>")).status == 303
    page = (await owner.get(PATH)).text
    assert "&lt;b&gt;Acme&lt;/b&gt;" in page
    assert "<b>Acme</b>" not in page.replace("<b>&lt;b&gt;", "")
    assert "account.changed" in (await owner.get("/console/audit")).text


@pytest.mark.parametrize(
    "form",
    [
        {"do": "admit", "email": "nobody", "role": "owner"},
        {"do": "admit", "email": "a@b.example", "role": "king"},
        {"do": "admit", "email": "owner@acme.example", "role": "owner"},
        {"do": "rename", "name": "n" * 65},
        {"do": "role", "sid": "US1", "role": "owner"},
        {"do": "else"},
    ],
)
async def test_what_cannot_be_is_said(owner: Browser, form: dict[str, str]) -> None:
    refused = await post(owner, **form)
    assert (refused.status, 'role="alert"' in refused.text) == (400, True)


async def test_another_accounts_sid_is_404(owner: Browser, stranger: Browser, parts: Parts) -> None:
    sid = await sid_of(parts, "owner@acme.example")
    for form in ({"do": "role", "role": "listener"}, {"do": "remove"}, {"do": "password"}):
        assert (await post(stranger, sid=sid, **form)).status == 404
    assert "owner@acme.example" not in (await stranger.get(PATH)).text


async def test_a_listener_and_a_forged_form_are_refused(owner: Browser, listener: Browser) -> None:
    assert (await listener.get(PATH)).status == 403
    assert (await owner.post(PATH, {"do": "rename", "name": "Mine"}, token="forged")).status == 403
    assert "Mine" not in (await owner.get(PATH)).text
