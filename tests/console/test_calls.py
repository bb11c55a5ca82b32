"""Call logs and campaigns in the Console: found, shown with their recordings, deleted with the consequence said."""

from __future__ import annotations

from callreel.parts import Parts
from callreel.steps.choose_deletion import choose_deletion
from callreel.steps.delete_many import delete_many
from tests.console.conftest import Browser
from tests.stage import Stage, a_wav

CALL = "CA" + "c" * 32
OTHER = "CA" + "d" * 32


async def some_calls(stage: Stage) -> str:
    facts = {"call_sid": CALL, "from_number": "+442079460182", "to_number": "+441614960733", "campaign": "<i>Spring"}
    recording = await stage.carry_until_settled(await stage.take_in(a_wav(seed=1), **facts))
    await stage.carry_until_settled(await stage.take_in(a_wav(seed=2), call_sid=OTHER, from_number="+14155550134"))
    return recording.sid


async def campaign_of(stage: Stage) -> str:
    found = await stage.parts.ledger.campaigns.list(stage.account_sid, place=None, size=5)
    return f"/console/campaigns/{found.rows[0].sid}"


async def test_calls_are_found_by_number_sid_date_and_campaign(owner: Browser, stage: Stage) -> None:
    await some_calls(stage)
    everything = await owner.get("/console/calls")
    assert (CALL in everything.text, OTHER in everything.text) == (True, True)
    assert "&lt;i&gt;Spring" in everything.text
    for query in ("q=%2B44+20+7946+0182", f"q={CALL}", f"campaign={(await campaign_of(stage)).rsplit('/')[-1]}"):
        found = await owner.get(f"/console/calls?{query}")
        assert (CALL in found.text, OTHER in found.text) == (True, False), query
    assert CALL not in (await owner.get("/console/calls?to=2020-01-01")).text
    assert "is not a date" in (await owner.get("/console/calls?from=soon")).text


async def test_a_call_shows_its_recordings_and_what_deleting_it_means(owner: Browser, stage: Stage) -> None:
    sid = await some_calls(stage)
    page = await owner.get(f"/console/calls/{CALL}")
    assert sid in page.text
    assert "+44 20 7946 0182" in page.text.replace("\u00a0", " ") or "+44 207" in page.text
    assert "1 recording stays" in page.text
    chosen: dict[str, bool | None] = {"delete_objects_with_call_logs": True}
    await choose_deletion(stage.account_sid, chosen, ledger=stage.parts.ledger, clock=stage.clock)
    assert "They cannot be recovered" in (await owner.get(f"/console/calls/{CALL}")).text


async def test_a_call_log_is_deleted_when_confirmed_and_its_recording_stays(owner: Browser, stage: Stage) -> None:
    sid = await some_calls(stage)
    path = f"/console/calls/{CALL}"
    page = await owner.get(path)
    assert (await owner.post(path, {"confirm": "no"}, token=page.token)).status == 400
    assert (await owner.post(path, {"confirm": CALL[-4:]}, token=page.token)).status == 303
    assert (await owner.get(path)).status == 404
    assert sid in (await owner.get("/console/recordings")).text


async def test_a_listener_reads_calls_and_deletes_none(listener: Browser, stage: Stage) -> None:
    await some_calls(stage)
    path = f"/console/calls/{CALL}"
    page = await listener.get(path)
    assert page.status == 200
    assert "Delete the call log" not in page.text
    assert (await listener.post(path, {"confirm": CALL[-4:]}, token=page.token)).status == 403


async def test_a_campaign_is_made_renamed_and_deleted_with_its_calls(
    owner: Browser, stage: Stage, parts: Parts
) -> None:
    await some_calls(stage)
    listed = await owner.get("/console/campaigns")
    assert (await owner.post("/console/campaigns", {"name": "Winter"}, token=listed.token)).status == 303
    assert (await owner.post("/console/campaigns", {"name": "Winter"}, token=listed.token)).status == 400
    found = await parts.ledger.campaigns.find_named(stage.account_sid, "<i>Spring")
    assert found is not None
    path = f"/console/campaigns/{found.sid}"
    page = await owner.get(path)
    assert "1 call" in page.text
    assert (await owner.post(path, {"do": "rename", "name": "Spring"}, token=page.token)).status == 303
    assert (await owner.post(path, {"do": "delete", "confirm": "?"}, token=page.token)).status == 400
    gone = await owner.post(path, {"do": "delete", "confirm": found.sid[-4:]}, token=page.token)
    assert gone.where.startswith("/console/deletions/BD")
    await delete_many(gone.where.rsplit("/", 1)[1], ledger=parts.ledger, clock=parts.clock)
    assert "of 1 deleted" in (await owner.get(gone.where)).text
    assert (await owner.get(path)).status == 404
    assert (await owner.get(f"/console/calls/{CALL}")).status == 404


async def test_another_accounts_sid_is_404(stranger: Browser, stage: Stage) -> None:
    await some_calls(stage)
    for path in (f"/console/calls/{CALL}", await campaign_of(stage)):
        assert (await stranger.get(path)).status == 404
        own = await stranger.get("/console/calls")
        form = {"do": "delete", "confirm": path[-4:]}
        token = (await stranger.get("/console/campaigns")).token
        assert (await stranger.post(path, form, token=token)).status == 404
        assert CALL not in own.text
