"""The Console's retention classes: nothing is changed before it was shown, nothing deleted without its count."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callreel.model.retention_class import RetentionClass
from tests.console.conftest import Browser, Shown
from tests.stage import Stage

PATH = "/console/retention"
FORM = {"name": "Short <i>ones</i>", "position": "5", "kind": "voice", "keep_days": "30"}


async def post(browser: Browser, **form: str) -> Shown:
    return await browser.post(PATH, form, token=(await browser.get(PATH)).token)


async def classes(stage: Stage) -> Sequence[RetentionClass]:
    return await stage.parts.ledger.retention_classes.of_account(stage.account_sid)


async def test_a_class_is_tried_dry_then_kept_changed_and_removed(stage: Stage, owner: Browser) -> None:
    assert "Everything is kept" in (await owner.get(PATH)).text
    await stage.carry_until_settled(await stage.take_in())
    tried = await post(owner, do="try", **FORM)
    assert "Nothing is changed yet" in tried.text
    assert "Short &lt;i&gt;ones&lt;/i&gt;" in tried.text
    assert await classes(stage) == []
    assert (await post(owner, do="confirm", **FORM)).where == f"{PATH}?saved=1"
    (kept,) = await classes(stage)
    assert (kept.keep_days, kept.position, kept.kind) == (30, 5, "voice")
    assert kept.sid in (await owner.get(f"{PATH}?change={kept.sid}")).text
    changed = FORM | {"sid": kept.sid, "keep_days": "60", "source": "DialVerb"}
    assert "Kept longer" in (await post(owner, do="try", **changed)).text
    assert (await post(owner, do="confirm", **changed)).status == 303
    assert [(each.sid, each.keep_days, each.source) for each in await classes(stage)] == [(kept.sid, 60, "DialVerb")]
    assert "Removing" in (await post(owner, do="remove", sid=kept.sid)).text
    assert len(await classes(stage)) == 1
    assert (await post(owner, do="confirm-remove", sid=kept.sid)).status == 303
    assert await classes(stage) == []
    audit = (await owner.get("/console/audit")).text
    assert all(f"retention-class.{word}" in audit for word in ("created", "changed", "deleted"))


async def test_what_would_be_deleted_at_once_needs_its_count(stage: Stage, owner: Browser) -> None:
    for _ in range(2):
        await stage.carry_until_settled(await stage.take_in())
    stage.clock.advance(31 * 86_400)
    assert (await owner.sign_in("owner@acme.example")).status == 303, "31 days end every session"
    assert "2 recordings are older than that" in (await post(owner, do="try", **FORM)).text
    for count in ("", "1", "20", "two"):
        refused = await post(owner, do="confirm", confirm=count, **FORM)
        assert (refused.status, "Deleted at once" in refused.text) == (400, True)
    assert await classes(stage) == []
    assert (await post(owner, do="confirm", confirm="2", **FORM)).status == 303
    assert len(await classes(stage)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"keep_days": "0"},
        {"keep_days": "soon"},
        {"lock_mode": "COMPLIANCE"},
        {"lock_mode": "COMPLIANCE", "lock_days": "31"},
        {"lock_mode": "else", "lock_days": "1"},
        {"kind": "smell"},
        {"source": "smell"},
        {"sid": "RC1"},
        {"do": "else"},
    ],
)
async def test_what_cannot_be_is_said_and_what_was_typed_is_kept(owner: Browser, changed: dict[str, str]) -> None:
    refused = await post(owner, **({"do": "try"} | FORM | changed))
    assert (refused.status, 'role="alert"' in refused.text) == (400, True)
    if changed.get("name") is None:
        assert "Short &lt;i&gt;ones&lt;/i&gt;" in refused.text


async def test_another_accounts_sid_is_404(stage: Stage, owner: Browser, stranger: Browser) -> None:
    await post(owner, do="confirm", **FORM)
    (kept,) = await classes(stage)
    for do in ("try", "confirm", "remove", "confirm-remove"):
        assert (await post(stranger, do=do, sid=kept.sid, **FORM)).status == 404
    assert "Short" not in (await stranger.get(f"{PATH}?change={kept.sid}")).text
    assert len(await classes(stage)) == 1


async def test_a_listener_and_a_forged_form_are_refused(stage: Stage, owner: Browser, listener: Browser) -> None:
    assert (await listener.get(PATH)).status == 403
    assert (await owner.post(PATH, {"do": "confirm"} | FORM, token="forged")).status == 403
    assert await classes(stage) == []
