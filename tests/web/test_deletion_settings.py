"""Deletion settings: two independent choices, read when they matter."""

from __future__ import annotations

import pytest

from callreel.model.deletion_settings import DeletionSettings
from callreel.parts import Parts
from tests.web.conftest import UNKNOWN, Caller

SOURCE, OBJECTS = "delete_source_after_migration", "delete_objects_with_call_logs"


async def test_before_any_were_saved_the_defaults_hold(acme: Caller, parts: Parts) -> None:
    path = f"{acme.own_path}/DeletionSettings"
    told = (await acme.get(path)).json()
    assert told == {"account_sid": acme.sid, SOURCE: True, OBJECTS: False, "url": acme.base + path}
    assert await parts.ledger.deletion_settings.of(acme.account.sid) == DeletionSettings()


async def test_what_is_not_sent_keeps_its_value_and_an_empty_one_is_the_default_again(
    acme: Caller, parts: Parts
) -> None:
    path = f"{acme.own_path}/DeletionSettings"
    told = (await acme.post(path, {"DeleteSourceAfterMigration": "false"})).json()
    assert (told[SOURCE], told[OBJECTS]) == (False, False)
    told = (await acme.send("POST", path, json={"DeleteObjectsWithCallLogs": True})).json()
    assert (told[SOURCE], told[OBJECTS]) == (False, True)
    assert (await acme.get(path)).json() == told
    kept = await parts.ledger.deletion_settings.of(acme.account.sid)
    assert kept == DeletionSettings(delete_source_after_migration=False, delete_objects_with_call_logs=True)
    told = (await acme.post(path, {"DeleteSourceAfterMigration": "", "DeleteObjectsWithCallLogs": ""})).json()
    assert (told[SOURCE], told[OBJECTS]) == (True, False)


@pytest.mark.parametrize("name", ["DeleteSourceAfterMigration", "DeleteObjectsWithCallLogs"])
@pytest.mark.parametrize("value", ["yes", "1", "TRUEISH"])
async def test_what_is_neither_true_nor_false_is_400_and_changes_nothing(
    acme: Caller, parts: Parts, name: str, value: str
) -> None:
    answer = await acme.post(f"{acme.own_path}/DeletionSettings", {name: value})
    assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert await parts.ledger.deletion_settings.of(acme.account.sid) == DeletionSettings()


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, branch: Caller, parts: Parts) -> None:
    for method in ("GET", "POST"):
        foreign = await stranger.send(method, f"{acme.own_path}/DeletionSettings")
        missing = await stranger.send(method, f"/callreel/v1/Accounts/AC{UNKNOWN}/DeletionSettings")
        assert foreign.status == missing.status == 404
        assert (await branch.send(method, f"{acme.own_path}/DeletionSettings")).status == 404
    assert (await acme.post(f"{branch.own_path}/DeletionSettings", {"DeleteObjectsWithCallLogs": "true"})).status == 200
    assert await parts.ledger.deletion_settings.of(acme.account.sid) == DeletionSettings()
