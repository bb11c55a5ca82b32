"""A recording's page: legal hold by an owner, with a reason; and the way to the question before a deletion."""

from __future__ import annotations

import pytest

from callreel.model.recording import Recording
from tests.console.conftest import Browser
from tests.stage import Stage

REASON = "Case 118 <b>closed</b>"


async def delivered(stage: Stage) -> Recording:
    return await stage.carry_until_settled(await stage.take_in())


def path(recording: Recording) -> str:
    return f"/console/recordings/{recording.sid}"


async def test_an_owner_holds_and_lifts_with_a_reason(stage: Stage, owner: Browser) -> None:
    recording = await delivered(stage)
    token = (await owner.get(path(recording))).token
    assert (await owner.post(path(recording), {"do": "hold", "reason": REASON}, token=token)).status == 303
    page = (await owner.get(path(recording))).text
    assert "Case 118 &lt;b&gt;closed&lt;/b&gt;" in page
    assert "nobody can delete it" in page
    assert "Delete this recording…" not in page
    assert (await stage.look(recording)).has_legal_hold
    assert (await owner.post(path(recording), {"do": "lift", "reason": "over"}, token=token)).status == 303
    assert not (await stage.look(recording)).has_legal_hold
    audit = (await owner.get("/console/audit")).text
    assert all(word in audit for word in ("hold.set", "hold.lifted"))


@pytest.mark.parametrize("reason", ["", "r" * 501, "a\tb"])
async def test_a_hold_needs_a_reason(stage: Stage, owner: Browser, reason: str) -> None:
    recording = await delivered(stage)
    token = (await owner.get(path(recording))).token
    refused = await owner.post(path(recording), {"do": "hold", "reason": reason}, token=token)
    assert (refused.status, "1 to 500" in refused.text) == (400, True)
    assert not (await stage.look(recording)).has_legal_hold


async def test_deleting_one_leads_to_the_question(stage: Stage, owner: Browser) -> None:
    recording = await delivered(stage)
    page = await owner.get(path(recording))
    assert 'form="deleting"' in page.text
    asked = await owner.post("/console/deletions", {"sid": recording.sid}, token=page.token)
    assert asked.status == 303
    assert "delete 1" in (await owner.get(asked.where)).text
    assert (await stage.look(recording)).state == recording.state


async def test_others_hold_nothing(stage: Stage, owner: Browser, listener: Browser, stranger: Browser) -> None:
    recording = await delivered(stage)
    page = await listener.get(path(recording))
    assert 'value="hold"' not in page.text
    assert 'form="deleting"' not in page.text
    form = {"do": "hold", "reason": "mine"}
    assert (await listener.post(path(recording), form, token=page.token)).status == 403
    token = (await stranger.get("/console/recordings")).token
    assert (await stranger.post(path(recording), form, token=token)).status == 404
    assert (await owner.post(path(recording), form, token="forged")).status == 403
    assert not (await stage.look(recording)).has_legal_hold
