"""What holds for every address and every form of the Console, whoever adds one: strangers, forgers, ended sessions."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from html import unescape
from typing import Any

import pytest
from starlette.routing import Route

from callreel.clock import SetClock
from callreel.console.console import SCREENS
from callreel.model.account import Account
from callreel.model.credential import CredentialKind
from callreel.model.deed import CALLREEL
from callreel.model.deletion import DeletionStatus
from callreel.model.person import IDLE
from callreel.parts import Parts
from callreel.steps.delete_in_bulk import delete_in_bulk
from callreel.steps.keep_source import SourceWish, add_source
from tests.console.conftest import PASSWORD, Browser
from tests.stage import Stage
from tests.video import Studio

CALL = "CA" + "a" * 32
ROUTES = [route for screen in SCREENS for route in screen if not route.path.startswith("/static")]
OWN = [route for route in ROUTES if "{sid}" in route.path]
FORMS = [route for route in ROUTES if (route.methods or set()) & {"POST", "PUT"}]


@pytest.fixture
async def sids(stage: Stage, parts: Parts) -> Mapping[str, str]:
    """One thing of Acme's for each path that names one."""
    recording = await stage.carry_until_settled(await stage.take_in(call_sid=CALL, campaign="Winback"))
    film = Studio(parts, stage.account_sid, stage.clock, stage.s3)
    source = await add_source(
        stage.account_sid, "AC" + "b" * 32, SourceWish(auth_token="0" * 32), ledger=parts.ledger,
        sources=parts.sources, guard=parts.guard, clock=stage.clock, by=CALLREEL,
    )  # fmt: skip
    asked = await delete_in_bulk(
        stage.account_sid, [recording.sid], status=DeletionStatus.DRY_RUN, receipt_email=None,
        ledger=parts.ledger, clock=stage.clock, by=CALLREEL,
    )  # fmt: skip
    move = await parts.ledger.migrations.start(
        source, host_id=parts.spool.host_id, created_after=None, created_before=None
    )
    campaigns = await parts.ledger.campaigns.list(stage.account_sid, place=None, size=1)
    return {
        "/recordings": recording.sid,
        "/video": (await film.carry_until_settled(await film.spooled())).sid,
        "/calls": CALL,
        "/campaigns": campaigns.rows[0].sid,
        "/credentials": stage.credential_sid,
        "/deletions": asked.sid,
        "/migration/sources": source.sid,
        "/migration": move.sid,
    }


def address(route: Route, sids: Mapping[str, str]) -> str:
    sid = sids[route.path.partition("/{sid}")[0]]
    return "/console" + route.path.replace("{sid}", sid).replace("{kind}", "csv")


async def test_another_accounts_sid_is_404(owner: Browser, stranger: Browser, sids: Mapping[str, str]) -> None:
    token = (await stranger.get("/console/recordings")).token
    for route in OWN:
        path = address(route, sids)
        assert (await stranger.get(path)).status == 404, path
        assert (await owner.get(f"{path}?as=wav")).status in (200, 303), path
        if "POST" in (route.methods or ()):
            for do in ("restart", "delete", "hold", "rename", "remove", "stop", "start", "change", ""):
                form = {"do": do, "confirm": "delete 1", "reason": "x", "name": "x"}
                assert (await stranger.post(path, form, token=token)).status == 404, (path, do)


async def test_what_looks_like_a_sid_and_is_none_is_404(owner: Browser, sids: Mapping[str, str]) -> None:
    for route in OWN:
        sid = sids[route.path.partition("/{sid}")[0]]
        for wrong in (sid[:-1], sid + "0", "%2e%2e", sid[:2] + "%00" * 32, "x" * 3000):
            path = address(route, sids).replace(sid, wrong)
            assert (await owner.get(path)).status == 404, path[:200]


async def test_a_form_that_was_not_sent_from_our_page_is_refused_everywhere(
    owner: Browser, stranger: Browser, sids: Mapping[str, str]
) -> None:
    """No token, one made up, one of somebody else's session, and ours sent by another site."""
    ours, theirs = [(await person.get("/console/calls")).token for person in (owner, stranger)]
    for route in FORMS:
        path = address(route, sids) if "{sid}" in route.path else f"/console{route.path}"
        send = owner.post if "POST" in (route.methods or ()) else put_by(owner)
        for token, headers in (
            (None, {}),
            ("forged", {}),
            (theirs, {}),
            (ours, {"Origin": "https://evil.example"}),
        ):
            answer = await send(path, {"do": "save", "name": "x"}, token=token, **headers)
            assert answer.status == 403, (path, token, headers)


def put_by(person: Browser) -> Callable[..., Awaitable[Any]]:
    """As `Browser.post`, for what the script of a page sends."""

    async def put(path: str, form: dict[str, str], *, token: str | None, **headers: str) -> Any:
        sent = {"Origin": person.base} | ({"X-Callreel-Token": token} if token else {}) | headers
        return await person.session.put(person.base + path, data=b"RIFF", headers=sent)

    return put


KEPT = [
    ("/storage", {"do": "save", "aws_s3_url": "https://typed.s3.amazonaws.com/x/", "aws_s3_region": "typed-1"}),
    ("/storage?kind=video", {"do": "save", "aws_s3_url": "https://film.s3.eu-west-1.amazonaws.com/x/"}),
    ("/retention", {"do": "try", "name": "Typed class", "keep_days": "77"}),
    ("/credentials", {"do": "add-public-key", "key_name": "Typed key", "public_key": "-----BEGIN typed"}),
    ("/credentials/{/credentials}", {"do": "rename", "name": "Typed name"}),
    ("/campaigns", {"do": "add", "name": "Typed campaign"}),
    ("/api-keys", {"do": "add", "name": "Typed program"}),
    ("/settings", {"do": "admit", "email": "typed@acme.example"}),
    ("/settings", {"do": "rename", "name": "Typed account"}),
    ("/migration", {"do": "add", "name": "Typed source", "twilio_account_sid": "ACtyped"}),
    ("/migration/sources/{/migration/sources}", {"do": "change", "name": "Typed source"}),
    ("/migration/sources/{/migration/sources}", {"do": "plan", "from": "2026-02-03"}),
    ("/recordings/{/recordings}", {"do": "hold", "reason": "Typed case"}),
    ("/deletions/{/deletions}", {"confirm": "typed"}),
    ("/video/{/video}", {"do": "delete", "confirm": "typed"}),
]  # fmt: skip


async def test_whatever_was_typed_when_the_session_ended_comes_back(
    owner: Browser, account: tuple[Account, str], sids: Mapping[str, str], clock: SetClock
) -> None:
    lost: list[str] = []
    for path, form in KEPT:
        where = "/console" + re.sub(r"{(.*)}", lambda name: sids[name[1]], path)
        page = await owner.get(where)
        clock.advance(IDLE.total_seconds() + 1)
        asked = await owner.post(where, form, token=page.token)
        assert asked.status == 401, where
        kept = asked.text.partition('name="kept" value="')[2].partition('"')[0]
        signed = {"email": "owner@acme.example", "password": PASSWORD, "kept": kept}
        back = await owner.post("/console/", signed, token=asked.token)
        shown = unescape((await owner.get(back.where)).text)
        lost += [f"{path}: {name}" for name, text in form.items() if name != "do" and text not in shown]
    assert not lost, "\n".join(lost)


async def test_no_secret_that_was_typed_is_shown_again(
    owner: Browser, sids: Mapping[str, str], clock: SetClock
) -> None:
    secret = "s3cr3t-" + "x" * 25
    forms = (
        ("/console/credentials", {"do": "add-access-key", "name": "n", "key_id": "AKIA", "secret": secret}),
        ("/console/migration", {"do": "add", "twilio_account_sid": "ACtyped", "secret": secret}),
    )
    for where, form in forms:
        page = await owner.get(where)
        clock.advance(IDLE.total_seconds() + 1)
        asked = await owner.post(where, form, token=page.token)
        assert secret not in asked.text
        kept = asked.text.partition('name="kept" value="')[2].partition('"')[0]
        back = await owner.post(
            "/console/", {"email": "owner@acme.example", "password": PASSWORD, "kept": kept}, token=asked.token
        )
        assert secret not in (await owner.get(back.where)).text


async def test_markup_in_every_name_somebody_may_give_is_text_on_every_page(
    owner: Browser, sids: Mapping[str, str], stage: Stage, parts: Parts
) -> None:
    """Names of account, credential, campaign, source and API key; and what a bucket said."""
    evil = "<script>evil</script>"
    token = (await owner.get("/console/calls")).token
    named = (
        ("/console/settings", {"do": "rename"}),
        (f"/console/credentials/{sids['/credentials']}", {"do": "rename"}),
        ("/console/campaigns", {"do": "add"}),
        ("/console/api-keys", {"do": "add"}),
        (f"/console/migration/sources/{sids['/migration/sources']}", {"do": "change", "poll": "0"}),
    )
    for path, form in named:
        answer = await owner.post(path, form | {"name": evil}, token=token)
        assert answer.status in (200, 303), (path, answer.text[-3000:])
    kept = await parts.ledger.credentials.fetch(stage.account_sid, CredentialKind.AWS, sids["/credentials"])
    assert kept.friendly_name == evil
    for route in ROUTES:
        if "GET" not in (route.methods or ()) or route.path in ("/", "/recordings.csv", "/audit.csv"):
            continue
        path = address(route, sids) if "{sid}" in route.path else f"/console{route.path}"
        shown = await owner.get(path)
        assert evil not in shown.text, path
