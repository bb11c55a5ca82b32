"""Deliveries with a role instead of a key: from the settings to the bucket, and what becomes of a role denied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.model.patience import CONFIRM_S
from callreel.model.recording import State
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.embedded_sts import EmbeddedSts, Issued
from callreel.settings import load_settings
from callreel.steps.open_account import open_account
from tests.steps.sealed_account import SealedAccount, some_wav

ARN = "arn:aws:iam::123456789012:role/callreel"
OWN = ("AKINSTALLATION000000", "s" * 40)


class Scene:
    def __init__(self, owner: SealedAccount, s3: EmbeddedS3, sts: EmbeddedSts, clock: SetClock) -> None:
        self.owner, self.s3, self.sts, self.clock = owner, s3, sts, clock
        self.issued: list[Issued] = []


@pytest.fixture
async def scene(
    tmp_path: Path, database_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWN[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWN[1])
    issued: list[Issued] = []
    async with EmbeddedS3(tmp_path / "s3", clock=clock) as s3, EmbeddedSts(clock=clock, issued=issued.append) as sts:
        s3.create_bucket("recordings")
        sts.add_user(*OWN)
        sts.add_role(ARN, external_id="an-external-id")
        settings = load_settings(data_dir=tmp_path / "data", allowed_private_networks="127.0.0.0/8", sts_url=sts.url)
        async with open_parts(settings, database_url=database_url, public_url="http://x", clock=clock) as parts:
            parts.rng = Random(7)
            account, _ = await open_account(
                "Acme",
                parent=None,
                accounts=parts.ledger.accounts,
                keyring=parts.keyring,
                digest=parts.digest,
                clock=clock,
            )
            owner = SealedAccount(parts, account)
            await owner.choose(
                aws_storage_enabled=True,
                aws_s3_url=f"{s3.url}/recordings",
                aws_role_arn=ARN,
                aws_external_id="an-external-id",
            )
            scene = Scene(owner, s3, sts, clock)
            scene.issued = issued
            sts._issued = lambda given: (issued.append(given), s3.add_user(given.key_id, given.secret))[0]
            yield scene


async def test_a_recording_is_delivered_with_keys_of_the_role(scene: Scene) -> None:
    for seed in range(3):
        done = await scene.owner.carry(await scene.owner.take_in(some_wav(seed=seed)))
        assert done.state is State.RELEASED
    assert len(scene.s3.keys("recordings")) == 3
    assert scene.sts.calls["AssumeRole"] == 1
    assert scene.issued[0].session_name == f"callreel-{scene.owner.sid}"


async def test_a_role_that_is_denied_is_retried_until_it_is_denied_again(scene: Scene) -> None:
    scene.sts.remove_role(ARN)
    waiting = await scene.owner.carry(await scene.owner.take_in(some_wav()))
    assert waiting.state is State.WAITING
    scene.clock.advance(CONFIRM_S + 1)
    held = await scene.owner.carry(waiting)
    assert (held.state, held.error_code) == (State.FATAL, 16112)
    assert held.is_held


async def test_a_role_that_works_again_delivers(scene: Scene) -> None:
    scene.sts.remove_role(ARN)
    waiting = await scene.owner.carry(await scene.owner.take_in(some_wav()))
    scene.sts.add_role(ARN, external_id="an-external-id")
    scene.clock.advance(CONFIRM_S + 1)
    assert (await scene.owner.carry(waiting)).state is State.RELEASED


async def test_keys_that_were_revoked_are_replaced_before_a_refusal_is_believed(scene: Scene) -> None:
    await scene.owner.carry(await scene.owner.take_in(some_wav(seed=1)))
    scene.s3.remove_user(scene.issued[0].key_id)
    waiting = await scene.owner.carry(await scene.owner.take_in(some_wav(seed=2)))
    assert waiting.state is State.WAITING
    scene.clock.advance(CONFIRM_S + 1)
    assert (await scene.owner.carry(waiting)).state is State.RELEASED
    assert scene.sts.calls["AssumeRole"] == 2


async def test_an_identity_of_ours_that_is_refused_never_makes_a_recording_fatal(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.sts._secrets.clear()
    recording = await scene.owner.take_in(some_wav())
    for _ in range(4):
        recording = await scene.owner.carry(recording)
        assert recording.state is State.WAITING
        scene.clock.advance(400)
