"""The Console's API keys: a secret is shown once, and a key that was revoked opens nothing."""

from __future__ import annotations

import re

import aiohttp

from callreel.model.account import Account
from tests.console.conftest import Browser, Shown

PATH = "/console/api-keys"


async def make(owner: Browser, name: str = "Call platform") -> Shown:
    page = await owner.get(PATH)
    return await owner.post(PATH, {"do": "add", "name": name}, token=page.token)


async def opens(base: str, account: Account, sid: str, secret: str) -> int:
    url = f"{base}/2010-04-01/Accounts/{account.sid}/Recordings.json"
    headers = {"Authorization": aiohttp.encode_basic_auth(sid, secret)}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
        return answer.status


async def test_a_key_opens_the_account_until_it_is_revoked(
    owner: Browser, base: str, account: tuple[Account, str]
) -> None:
    shown = await make(owner)
    sid, secret = re.findall(r'data-copy="([^"]+)"', shown.text)[:2]
    assert (shown.status, await opens(base, account[0], sid, secret)) == (200, 200)
    assert secret not in (await owner.get(PATH)).text
    page = await owner.get(PATH)
    assert (await owner.post(PATH, {"do": "rename", "sid": sid, "name": "Dialler"}, token=page.token)).status == 303
    assert "Dialler" in (await owner.get(PATH)).text
    assert (await owner.post(PATH, {"do": "revoke", "sid": sid}, token=page.token)).status == 303
    assert await opens(base, account[0], sid, secret) == 401
    audit = (await owner.get("/console/audit")).text
    assert all(word in audit for word in ("key.created", "key.changed", "key.deleted"))


async def test_a_name_that_cannot_be_is_refused_and_kept_in_the_form(owner: Browser) -> None:
    refused = await make(owner, "x" * 65)
    assert (refused.status, "x" * 65 in refused.text) == (400, True)


async def test_another_accounts_sid_is_404(owner: Browser, stranger: Browser) -> None:
    sid = re.findall(r'data-copy="(SK[^"]+)"', (await make(owner)).text)[0]
    own = await stranger.get(PATH)
    for form in ({"do": "revoke", "sid": sid}, {"do": "rename", "sid": sid, "name": "mine"}):
        assert (await stranger.post(PATH, form, token=own.token)).status in (400, 404)
    assert sid in (await owner.get(PATH)).text


async def test_a_listener_is_refused(listener: Browser) -> None:
    assert (await listener.get(PATH)).status == 403
