"""The storage page: tried before it is saved, saved with what was typed, and nothing lost on a mistake."""

from __future__ import annotations

import pytest

from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind, StorageSettings
from callreel.parts import Parts
from tests.console.conftest import Browser
from tests.stage import BUCKET, Stage

PATH = "/console/storage"


@pytest.fixture
def form(stage: Stage) -> dict[str, str]:
    return {
        "do": "save",
        "aws_storage_enabled": "1",
        "aws_s3_url": f"{stage.s3.url}/{BUCKET}/voice",
        "aws_credentials_sid": stage.credential_sid,
        "fatal_error_policy": "delete",
        "sse_algorithm": "AES256",
    }


async def settings_of(stage: Stage, kind: RecordingKind = RecordingKind.VOICE) -> StorageSettings:
    return (await stage.parts.ledger.settings.current(stage.account_sid, kind))[1]


async def test_what_is_saved_holds_from_then_on(owner: Browser, stage: Stage, form: dict[str, str]) -> None:
    page = await owner.get(PATH)
    saved = await owner.post(PATH, form, token=page.token)
    assert (saved.status, "saved=1" in saved.where) == (303, True)
    settings = await settings_of(stage)
    assert settings.aws_s3_url == form["aws_s3_url"]
    assert (settings.fatal_error_policy, settings.sse_algorithm) == (FatalErrorPolicy.DELETE, "AES256")
    shown = await owner.get(saved.where)
    assert "folder <b>/voice/</b>" in shown.text
    assert "s3:PutObject" in shown.text
    assert "settings.changed" in (await owner.get("/console/audit")).text


async def test_a_mistake_is_named_and_what_was_typed_stays(owner: Browser, stage: Stage, form: dict[str, str]) -> None:
    before = await settings_of(stage)
    page = await owner.get(PATH)
    for wrong in (
        {"aws_s3_url": "https://10.0.0.1/<b>bucket</b>"},
        {"object_lock_mode": "GOVERNANCE"},
        {"object_lock_days": "ten"},
        {"fatal_error_policy": "burn"},
        {"aws_credentials_sid": "CR" + "0" * 32},
        {"aws_s3_url": "https://x/" + "y" * 3000},
    ):
        refused = await owner.post(PATH, form | wrong, token=page.token)
        assert (refused.status, "Nothing was saved" in refused.text) == (400, True), wrong
        assert "<b>bucket" not in refused.text
    assert await settings_of(stage) == before


async def test_the_connection_is_tried_without_saving(owner: Browser, stage: Stage, form: dict[str, str]) -> None:
    before = await settings_of(stage)
    page = await owner.get(PATH)
    tried = await owner.post(PATH, form | {"do": "test", "sse_algorithm": ""}, token=page.token)
    assert tried.status == 200
    assert ">Ready<" in tried.text
    assert "Can write in parts" in tried.text
    part = await owner.post(PATH, form | {"do": "test-cors", "sse_algorithm": ""}, token=page.token, HX_Request="true")
    assert "<html" not in part.text
    assert 'id="test"' in part.text
    broken = await owner.post(PATH, form | {"do": "test", "aws_s3_url": f"{stage.s3.url}/nowhere"}, token=page.token)
    assert ">Not ready<" in broken.text
    assert await settings_of(stage) == before


async def test_video_has_settings_of_its_own(owner: Browser, stage: Stage, form: dict[str, str]) -> None:
    page = await owner.get(f"{PATH}?kind=video")
    assert 'name="object_lock_mode"' not in page.text
    wanted = form | {"friendly_name": "video"}
    assert (await owner.post(f"{PATH}?kind=video", wanted, token=page.token)).status == 303
    assert (await settings_of(stage, RecordingKind.VIDEO)).aws_s3_url == form["aws_s3_url"]
    assert (await settings_of(stage)).aws_s3_url != form["aws_s3_url"]


async def test_the_deletion_settings_are_two_switches(owner: Browser, stage: Stage, parts: Parts) -> None:
    page = await owner.get(PATH)
    form = {"do": "deletion", "delete_objects_with_call_logs": "1"}
    assert (await owner.post(PATH, form, token=page.token)).status == 303
    chosen = await parts.ledger.deletion_settings.of(stage.account_sid)
    assert (chosen.delete_source_after_migration, chosen.delete_objects_with_call_logs) == (False, True)


@pytest.mark.parametrize(("shape", "word"), [("terraform", "aws_iam_policy"), ("cloudformation", "ManagedPolicy")])
async def test_the_policy_comes_in_other_shapes(owner: Browser, stage: Stage, shape: str, word: str) -> None:
    shown = await owner.get(f"{PATH}?shape={shape}&for=write")
    assert word in shown.text
    assert "s3:GetObject" not in shown.text


async def test_only_owners_come_here(listener: Browser, stage: Stage) -> None:
    assert (await listener.get(PATH)).status == 403


async def test_another_accounts_credential_cannot_be_chosen(
    stranger: Browser, stage: Stage, form: dict[str, str]
) -> None:
    page = await stranger.get(PATH)
    assert stage.credential_sid not in page.text
    refused = await stranger.post(PATH, form, token=page.token)
    assert refused.status == 400
