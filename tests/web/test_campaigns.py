"""Campaigns: made by name, carried by calls, deleted with their call logs."""

from __future__ import annotations

import pytest

from callreel.model.recording import State
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.steps.delete_many import delete_many
from tests.web.conftest import CALL, UNKNOWN, WAV, Caller, Carry, Record


async def create(caller: Caller, name: str = "Spring", **headers: str) -> dict[str, object]:
    answer = await caller.post(f"{caller.own_path}/Campaigns", {"FriendlyName": name}, headers=headers)
    assert answer.status == 201, answer.body
    made: dict[str, object] = answer.json()
    return made


async def campaigns(caller: Caller, query: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await caller.get(f"{caller.own_path}/Campaigns{query}")).json()["campaigns"]
    return found


async def test_a_campaign_is_made_listed_renamed_and_deleted(acme: Caller) -> None:
    made = await create(acme)
    path = f"{acme.own_path}/Campaigns/{made['sid']}"
    assert (made["friendly_name"], made["status"], made["calls"]) == ("Spring", "active", 0)
    assert str(made["sid"]).startswith("CG")
    assert made["url"] == acme.base + path
    assert [row["sid"] for row in await campaigns(acme)] == [made["sid"]]
    assert await campaigns(acme, "?FriendlyName=Autumn") == []
    assert (await acme.post(path, {"FriendlyName": "Summer"})).json()["friendly_name"] == "Summer"
    assert (await acme.delete(path)).status == 204
    assert (await acme.get(path)).status == (await acme.delete(path)).status == 404
    rows = (await acme.get(f"{acme.own_path}/Audit?Subject={made['sid']}")).json()["audit"]
    assert [row["action"] for row in rows][-2:] == ["campaign.changed", "campaign.created"]
    assert rows[-2]["details"] == {"changes": {"friendly_name": {"before": "Spring", "after": "Summer"}}}
    assert await campaigns(acme) == []


async def test_a_name_stands_for_one_campaign(acme: Caller, branch: Caller) -> None:
    await create(acme)
    answer = await acme.post(f"{acme.own_path}/Campaigns", {"FriendlyName": "Spring"})
    assert (answer.status, answer.json()["code"]) == (409, 20409)
    other = await create(acme, "Summer")
    renamed = await acme.post(f"{acme.own_path}/Campaigns/{other['sid']}", {"FriendlyName": "Spring"})
    assert renamed.status == 409
    await create(branch)


async def test_an_idempotency_key_makes_one_campaign(acme: Caller) -> None:
    first = await create(acme, **{"Idempotency-Key": "k"})
    assert (await create(acme, **{"Idempotency-Key": "k"}))["sid"] == first["sid"]
    answer = await acme.post(f"{acme.own_path}/Campaigns", {"FriendlyName": "X"}, headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.json()["code"]) == (409, 20409)
    assert len(await campaigns(acme)) == 1


@pytest.mark.parametrize("name", ["", "x" * 257, "line\nbreak", "\x07"])
async def test_a_name_that_is_none_is_400(acme: Caller, name: str) -> None:
    answer = await acme.post(f"{acme.own_path}/Campaigns", {"FriendlyName": name})
    assert answer.status == 400
    assert await campaigns(acme) == []


async def test_calls_carry_the_campaign_their_upload_named_by_name_or_sid(acme: Caller, parts: Parts) -> None:
    made = await create(acme)
    for number, campaign in enumerate(("Spring", made["sid"], "Autumn")):
        answer = await acme.upload(WAV, f"?CallSid=CA{number:032x}&Campaign={campaign}")
        assert answer.status == 201, answer.body
    calls = [await parts.ledger.calls.fetch(acme.account.sid, f"CA{number:032x}") for number in range(3)]
    assert [call.campaign for call in calls] == ["Spring", "Spring", "Autumn"]
    assert {call.campaign_sid for call in calls[:2]} == {made["sid"]}
    assert {row["friendly_name"] for row in await campaigns(acme)} == {"Spring", "Autumn"}
    assert (await acme.get(f"{acme.own_path}/Campaigns/{made['sid']}")).json()["calls"] == 2
    listed = (await acme.get(f"{acme.account_path}/Calls.json?Campaign={made['sid']}")).json()["calls"]
    assert len(listed) == 2


async def test_a_campaign_sid_that_is_none_of_the_accounts_costs_the_upload(acme: Caller, stranger: Caller) -> None:
    foreign = (await create(stranger))["sid"]
    for sid in (foreign, f"CG{UNKNOWN}"):
        answer = await acme.upload(WAV, f"?CallSid={CALL}&Campaign={sid}")
        assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert (await acme.get(f"{acme.account_path}/Recordings.json")).json()["recordings"] == []


async def test_deleting_a_campaign_deletes_its_call_logs_and_no_others(acme: Caller, recorded: Record) -> None:
    kept = (await recorded(query=f"?CallSid={CALL}&Campaign=Spring"))["sid"]
    await recorded(query=f"?CallSid=CA{UNKNOWN}&Campaign=Autumn")
    spring = (await campaigns(acme, "?FriendlyName=Spring"))[0]["sid"]
    assert (await acme.delete(f"{acme.own_path}/Campaigns/{spring}")).status == 204
    assert (await acme.get(f"{acme.account_path}/Calls/{CALL}.json")).status == 404
    assert (await acme.get(f"{acme.account_path}/Calls/CA{UNKNOWN}.json")).status == 200
    assert (await acme.get(f"{acme.account_path}/Recordings/{kept}.json")).status == 200
    events = (await acme.get(f"{acme.own_path}/Events?RecordingSid={kept}")).json()["events"]
    assert [(e["name"], e["code"]) for e in events if e["kind"] == "alert"] == [("notice", None)]


async def test_with_the_setting_on_the_recordings_go_too(acme: Caller, recorded: Record, parts: Parts) -> None:
    await acme.post(f"{acme.own_path}/DeletionSettings", {"DeleteObjectsWithCallLogs": "true"})
    sid = (await recorded(query=f"?CallSid={CALL}&Campaign=Spring"))["sid"]
    (campaign,) = await campaigns(acme)
    assert (await acme.delete(f"{acme.own_path}/Campaigns/{campaign['sid']}")).status == 204
    assert (await acme.get(f"{acme.account_path}/Recordings/{sid}.json")).status == 404
    recording = await parts.ledger.recordings.fetch(acme.account.sid, RecordingSid(sid))
    assert recording.state is State.DELETING


async def test_what_is_on_its_way_keeps_its_call_log_and_the_campaign(acme: Caller, recorded: Record) -> None:
    await acme.post(f"{acme.own_path}/DeletionSettings", {"DeleteObjectsWithCallLogs": "true"})
    await recorded(query=f"?CallSid={CALL}&Campaign=Spring")
    late = f"CA{UNKNOWN}"
    sid = (await acme.upload(WAV, f"?CallSid={late}&Campaign=Spring")).json()["sid"]
    (campaign,) = await campaigns(acme)
    answer = await acme.delete(f"{acme.own_path}/Campaigns/{campaign['sid']}")
    assert (answer.status, answer.json()["code"]) == (409, 20409)
    assert sid in answer.json()["message"]
    assert (await acme.get(f"{acme.account_path}/Calls/{CALL}.json")).status == 404
    assert (await acme.get(f"{acme.account_path}/Calls/{late}.json")).status == 200
    assert [row["status"] for row in await campaigns(acme)] == ["deleting"]
    again = await acme.upload(WAV, f"?CallSid=CA{'7' * 32}&Campaign={campaign['sid']}")
    assert again.status == 400


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller) -> None:
    sid = (await create(acme))["sid"]
    for own in (acme.own_path, stranger.own_path):
        for method in ("GET", "POST", "DELETE"):
            form = {"FriendlyName": "Mine"} if method == "POST" else None
            foreign = await stranger.send(method, f"{own}/Campaigns/{sid}", data=form)
            missing = await stranger.send(method, f"{own}/Campaigns/CG{UNKNOWN}", data=form)
            assert foreign.status == missing.status == 404
            assert foreign.body.replace(str(sid).encode(), f"CG{UNKNOWN}".encode()) == missing.body
    assert (await stranger.get(f"{acme.own_path}/Campaigns")).status == 404
    assert (await stranger.post(f"{acme.own_path}/Campaigns", {"FriendlyName": "x"})).status == 404
    assert await campaigns(stranger) == []
    assert (await campaigns(acme))[0]["friendly_name"] == "Spring"


async def test_a_closed_account_takes_everything_along_where_its_settings_say_so(
    acme: Caller, branch: Caller, deliver: Carry, parts: Parts
) -> None:
    sid = (await branch.upload(WAV, f"?CallSid={CALL}")).json()["sid"]
    await deliver(sid)
    await branch.post(f"{branch.own_path}/DeletionSettings", {"DeleteObjectsWithCallLogs": "true"})
    closed = await acme.post(f"{branch.account_path}.json", {"Status": "closed"})
    assert closed.json()["status"] == "closed"
    (deletion,) = (await parts.ledger.deletions.list(branch.account.sid, place=None, size=5)).rows
    assert (str(deletion.kind), deletion.matched, deletion.removes_objects) == ("account", 2, True)
    assert await delete_many(deletion.sid, ledger=parts.ledger, clock=parts.clock)
    done = await parts.ledger.deletions.fetch(branch.account.sid, deletion.sid)
    assert (str(done.status), done.deleted, done.failed) == ("completed", 2, 0)
    recording = await parts.ledger.recordings.fetch(branch.account.sid, RecordingSid(sid))
    assert recording.state is State.DELETING


async def test_a_closed_account_keeps_everything_by_default(acme: Caller, branch: Caller, parts: Parts) -> None:
    await branch.upload(WAV, f"?CallSid={CALL}")
    assert (await acme.post(f"{branch.account_path}.json", {"Status": "closed"})).status == 200
    assert (await parts.ledger.deletions.list(branch.account.sid, place=None, size=5)).rows == []
