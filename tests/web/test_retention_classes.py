"""Retention classes: created, changed and removed, each with a dry run of what that would touch."""

from __future__ import annotations

from typing import Any

import pytest

from callreel.clock import SetClock
from callreel.parts import Parts
from callreel.steps.expire import expire
from tests.web.conftest import CALL, UNKNOWN, Caller, Carry

DAY_S = 86_400.0


@pytest.fixture
def path(acme: Caller) -> str:
    return f"{acme.own_path}/RetentionClasses"


async def created(acme: Caller, path: str, **form: str) -> dict[str, Any]:
    answer = await acme.post(path, {"FriendlyName": "seven years"} | form)
    assert answer.status == 201, answer.body
    return dict(answer.json())


async def delivered(acme: Caller, deliver: Carry, query: str = "") -> str:
    sid = (await acme.upload(query=query)).json()["sid"]
    await deliver(sid)
    return str(sid)


async def test_a_class_is_created_shown_changed_and_removed(acme: Caller, path: str) -> None:
    made = await created(acme, path, KeepDays="2555", LockMode="COMPLIANCE", LockDays="2000", Source="Voicemail")
    assert (made["keep_days"], made["lock_mode"], made["lock_days"]) == (2555, "COMPLIANCE", 2000)
    assert (await acme.get(f"{path}/{made['sid']}")).json() == made
    listed = (await acme.get(path)).json()
    assert [row["sid"] for row in listed["retention_classes"]] == [made["sid"]]
    changed = (await acme.post(f"{path}/{made['sid']}", {"Source": "", "Position": "3"})).json()
    assert (changed["source"], changed["position"], changed["keep_days"]) == (None, 3, 2555)
    assert (await acme.delete(f"{path}/{made['sid']}")).status == 204
    assert (await acme.get(f"{path}/{made['sid']}")).status == 404


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"FriendlyName": ""},
        {"FriendlyName": "x" * 65},
        {"KeepDays": "0"},
        {"KeepDays": "36501"},
        {"KeepDays": "seven"},
        {"LockMode": "GOVERNANCE"},
        {"LockDays": "7"},
        {"LockMode": "FOREVER", "LockDays": "7"},
        {"KeepDays": "7", "LockMode": "GOVERNANCE", "LockDays": "8"},
        {"Kind": "composition"},
        {"Source": "s" * 256},
        {"Confirm": "-1"},
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_is_kept(
    acme: Caller, path: str, sent: dict[str, str]
) -> None:
    form = ({"FriendlyName": "odd"} | sent) if sent else {}
    assert (await acme.post(path, form)).status == 400
    assert (await acme.get(path)).json()["retention_classes"] == []


async def test_a_dry_run_says_what_a_change_would_touch_and_changes_nothing(
    acme: Caller, path: str, deliver: Carry, clock: SetClock
) -> None:
    for _ in range(2):
        await delivered(acme, deliver)
    clock.advance(10 * DAY_S)
    await delivered(acme, deliver)
    waiting = (await acme.upload()).json()["sid"]
    form = {"FriendlyName": "a week", "KeepDays": "7", "LockMode": "GOVERNANCE", "LockDays": "7", "DryRun": "true"}
    told = (await acme.post(path, form)).json()
    size = sum(row["bytes"] for row in [told])
    assert told == {
        "dry_run": True,
        "recordings": 4,
        "bytes": size,
        "kept_longer": 0,
        "kept_shorter": 4,
        "deleted_at_once": 2,
        "deliveries": 1,
    }
    assert size > 0
    assert (await acme.get(path)).json()["retention_classes"] == []
    assert (await acme.get(f"{acme.account_path}/Recordings/{waiting}.json")).status == 200


async def test_a_change_that_deletes_at_once_needs_the_count(
    acme: Caller, path: str, deliver: Carry, clock: SetClock, parts: Parts
) -> None:
    sid = await delivered(acme, deliver)
    clock.advance(10 * DAY_S)
    form = {"FriendlyName": "a week", "KeepDays": "7"}
    for confirm in ({}, {"Confirm": "2"}):
        refused = await acme.post(path, form | confirm)
        assert (refused.status, refused.json()["code"]) == (409, 20409)
        assert "Confirm=1" in refused.json()["message"]
    assert await expire(ledger=parts.ledger, clock=clock) == 0
    assert (await acme.post(path, form | {"Confirm": "1"})).status == 201
    assert await expire(ledger=parts.ledger, clock=clock) == 1
    await deliver(sid)
    gone = await acme.get(f"{acme.account_path}/Recordings/{sid}.json")
    assert gone.json().get("status") == "deleted" or gone.status == 404


async def test_removing_a_class_that_kept_longer_needs_the_count_too(
    acme: Caller, path: str, deliver: Carry, clock: SetClock
) -> None:
    await created(acme, path, FriendlyName="everything", Position="9", KeepDays="7")
    voicemails = await created(acme, path, FriendlyName="voicemails", Position="1", Source="Voicemail", KeepDays="365")
    await delivered(acme, deliver, query="?Source=Voicemail")
    clock.advance(10 * DAY_S)
    dry = (await acme.delete(f"{path}/{voicemails['sid']}?DryRun=true")).json()
    assert (dry["recordings"], dry["kept_shorter"], dry["deleted_at_once"]) == (1, 1, 1)
    assert (await acme.delete(f"{path}/{voicemails['sid']}")).status == 409
    assert (await acme.delete(f"{path}/{voicemails['sid']}?Confirm=1")).status == 204


async def test_the_first_class_that_fits_decides(
    acme: Caller, path: str, deliver: Carry, clock: SetClock, parts: Parts
) -> None:
    kept = await delivered(acme, deliver, query=f"?CallSid={CALL}&Campaign=spring")
    over = await delivered(acme, deliver)
    clock.advance(10 * DAY_S)
    await created(acme, path, FriendlyName="spring", Position="1", Campaign="spring")  # for ever
    await created(acme, path, FriendlyName="the rest", Position="2", KeepDays="7", Confirm="1")
    assert await expire(ledger=parts.ledger, clock=clock) == 1
    await deliver(over)
    assert (await acme.get(f"{acme.account_path}/Recordings/{kept}.json")).json()["status"] == "completed"


async def test_what_is_still_on_its_way_never_expires(acme: Caller, path: str, clock: SetClock, parts: Parts) -> None:
    await acme.upload()
    clock.advance(10 * DAY_S)
    await created(acme, path, KeepDays="7")
    assert await expire(ledger=parts.ledger, clock=clock) == 0


async def test_every_change_is_in_the_audit(acme: Caller, path: str) -> None:
    sid = (await created(acme, path, KeepDays="2555"))["sid"]
    await acme.post(f"{path}/{sid}", {"KeepDays": "3000"})
    await acme.delete(f"{path}/{sid}")
    rows = (await acme.get(f"{acme.own_path}/Audit?Subject={sid}")).json()["audit"]
    assert [row["action"] for row in rows] == [f"retention-class.{did}" for did in ("deleted", "changed", "created")]
    assert rows[1]["details"]["changes"] == {"keep_days": {"before": 2555, "after": 3000}}


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, path: str) -> None:
    sid = (await created(acme, path))["sid"]
    for method in ("GET", "POST", "DELETE"):
        own = f"{stranger.own_path}/RetentionClasses"
        foreign, missing = (
            await stranger.send(method, f"{own}/{sid}"),
            await stranger.send(method, f"{own}/RC{UNKNOWN}"),
        )
        assert foreign.status == missing.status == 404
        assert foreign.body.replace(sid.encode(), f"RC{UNKNOWN}".encode()) == missing.body
    assert (await stranger.get(path)).status == 404
    assert (await acme.get(f"{path}/{sid}")).status == 200


async def test_a_dry_run_counts_only_the_accounts_own(
    acme: Caller, stranger: Caller, deliver: Carry, path: str
) -> None:
    await delivered(stranger, deliver)
    told = (await acme.post(path, {"FriendlyName": "x", "KeepDays": "1", "DryRun": "true"})).json()
    assert told["recordings"] == 0
