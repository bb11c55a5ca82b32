"""Backup and restore: one sealed file, all of it or nothing, and a first start that compares before it works."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from callreel.app import open_parts
from callreel.at_rest.backup_file import BackupFile, write_backup
from callreel.clock import SetClock
from callreel.errors import Misconfigured
from callreel.ledger.audit import INSTALLATION
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.backup import Manifest
from callreel.model.recording import State
from callreel.sealing.key_file import KeyFile
from callreel.sealing.master_key import MasterKey
from callreel.settings import load_settings
from callreel.steps import rotate_keys
from callreel.worker.duties import recover_at_start
from tests.cli.conftest import Callreel
from tests.conftest import psql
from tests.stage import BUCKET, Stage, a_wav

MANIFEST = Manifest(version="0", schema="0001", made_at=SetClock().now(), host_id="a" * 12, spool=())


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database nobody has used."""
    name = f"empty_{os.getpid()}_{len(psql(postgres, 'SELECT datname FROM pg_database'))}"
    psql(postgres, f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres.url(name)
    psql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def backed_up(stage: Stage, callreel: Callreel, database_url: str, target: Path) -> dict[str, Any]:
    done = await asyncio.to_thread(callreel, "backup", str(target), "--json", CALLREEL_DATABASE_URL=database_url)
    assert done.exit_code == 0, done.stderr
    return dict(json.loads(done.stdout))


def lost(data_dir: Path, new: Path, *kept: str) -> None:
    """The machine is gone; these parts of its data directory survived."""
    new.mkdir()
    for name in kept:
        (data_dir / name).rename(new / name)


async def restored(callreel: Callreel, target: Path, new: Path, url: str) -> Any:
    done = await asyncio.to_thread(
        callreel, "restore", str(target), "--json", CALLREEL_DATABASE_URL=url, CALLREEL_DATA_DIR=str(new)
    )
    structlog.reset_defaults()  # the command's standard error is closed, and what follows logs too
    return done


async def test_what_a_backup_says_and_how_it_lies(
    stage: Stage, callreel: Callreel, database_url: str, tmp_path: Path
) -> None:
    recording = await stage.take_in(a_wav())
    target = tmp_path / "b"
    target.write_bytes(b"an older one")
    said = await backed_up(stage, callreel, database_url, target)
    assert said["spooled_files"] == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert recording.sid.encode() not in target.read_bytes()
    [key] = KeyFile(tmp_path / "data").read()
    listed = BackupFile(target, [key.secret]).manifest().spool
    assert [file.name for file in listed] == [recording.sid]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".b")] == []


async def test_a_restored_installation_goes_on_with_what_survived(
    stage: Stage, callreel: Callreel, database_url: str, empty_url: str, tmp_path: Path, clock: SetClock
) -> None:
    waiting, gone = await stage.take_in(a_wav(seed=1)), await stage.sealed(body=a_wav(seed=2))
    delivered_later = await stage.sealed(body=a_wav(seed=3))
    target, new = tmp_path / "b", tmp_path / "new"
    await backed_up(stage, callreel, database_url, target)
    late = await stage.take_in(a_wav(seed=4))
    await stage.carry(delivered_later)
    stage.parts.spool.path_of(gone.sid).unlink()
    lost(tmp_path / "data", new, "master.key", "spool")
    done = await restored(callreel, target, new, empty_url)
    assert done.exit_code == 0, done.stderr
    settings = load_settings(data_dir=new, allowed_private_networks="127.0.0.0/8")
    async with open_parts(settings, database_url=empty_url, public_url="http://x", clock=clock) as parts:
        assert parts.spool.is_restored
        await recover_at_start(parts)
        assert not parts.spool.is_restored
        found = {r.sid: r for r in [await parts.ledger.recordings.find_for_work(x.sid) for x in (waiting, gone)] if r}
        assert found[waiting.sid].state is State.SPOOLED
        assert found[gone.sid].state is State.PARKED
        assert "not in the spool" in (found[gone.sid].last_error or "")
        alerts = await parts.ledger.alerts.list(stage.account_sid, recording_sid=gone.sid)
        assert len(alerts) == 1
        adopted = await parts.ledger.recordings.find_for_work(delivered_later.sid)
        assert adopted is not None
        assert (adopted.state, adopted.verify_method) == (State.DELIVERED, "read")
        assert [path.name.partition(".")[0] for path in parts.spool.quarantine.iterdir()] == [late.sid]
        chain = [row async for row in parts.ledger.audit.read_chain(INSTALLATION)]
        assert (chain[-1].action, chain[-1].details["without_media"]) == ("backup.restored", 1)
        key = await parts.keys.of_media(found[waiting.sid])
        assert b"".join(parts.spool.read_media(found[waiting.sid], key)) == a_wav(seed=1)
    assert stage.s3.keys(BUCKET) == [adopted.object_key]


async def test_what_service_storage_lost_or_has_too_much_is_told_and_nothing_is_deleted(
    stage: Stage, callreel: Callreel, database_url: str, empty_url: str, tmp_path: Path, clock: SetClock
) -> None:
    await stage.choose(aws_storage_enabled=False)
    kept, missing = await stage.carry(await stage.take_in()), await stage.carry(await stage.take_in())
    last = await stage.step("deliver", await stage.sealed())  # the spool holds it too
    target, new = tmp_path / "b", tmp_path / "new"
    await backed_up(stage, callreel, database_url, target)
    late = await stage.carry(await stage.take_in())
    for one in (missing, last):
        stage.parts.buckets.storage.path_of(str(one.object_key)).unlink()
    lost(tmp_path / "data", new, "master.key", "spool", "storage")
    assert (await restored(callreel, target, new, empty_url)).exit_code == 0
    settings = load_settings(data_dir=new)
    async with open_parts(settings, database_url=empty_url, public_url="http://x", clock=clock) as parts:
        await recover_at_start(parts)
        told = await parts.ledger.alerts.list(stage.account_sid)
        assert {alert.recording_sid for alert in told} == {missing.sid, last.sid}
        held = await parts.ledger.recordings.find_for_work(last.sid)
        assert held is not None
        assert held.next_attempt_at is not None
        assert held.next_attempt_at > clock.now()
        assert parts.spool.path_of(last.sid).exists()
        assert parts.buckets.storage.path_of(str(late.object_key)).exists()
        assert parts.buckets.storage.path_of(str(kept.object_key)).exists()


async def test_a_backup_from_before_a_rotation_opens_with_the_retired_key(
    stage: Stage, callreel: Callreel, database_url: str, empty_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, clock: SetClock,
) -> None:  # fmt: skip
    monkeypatch.setattr(rotate_keys, "SETTLE_S", 0.0)
    target, new = tmp_path / "b", tmp_path / "new"
    await backed_up(stage, callreel, database_url, target)
    done = await asyncio.to_thread(callreel, "keys", "rotate", CALLREEL_DATABASE_URL=database_url)
    assert done.exit_code == 0
    lost(tmp_path / "data", new, "master.key", "master.key.retired")
    assert (await restored(callreel, target, new, empty_url)).exit_code == 0
    assert len(KeyFile(new).read()) == 2
    settings = load_settings(data_dir=new)
    async with open_parts(settings, database_url=empty_url, public_url="http://x", clock=clock) as parts:
        assert [account.sid for account in await parts.ledger.accounts.list_all()] == [stage.account_sid]


@pytest.mark.parametrize("why", ["used", "strange", "key", "newer", "altered", "no key"])
async def test_a_restore_that_cannot_be_right_is_refused_and_changes_nothing(
    stage: Stage, callreel: Callreel, database_url: str, empty_url: str, tmp_path: Path, why: str
) -> None:
    target, new = tmp_path / "b", tmp_path / "new"
    await backed_up(stage, callreel, database_url, target)
    lost(tmp_path / "data", new, "master.key")
    [key] = KeyFile(new).read()
    url, reason = empty_url, {"used": "already", "strange": "not empty", "key": "does not open", "newer": "newer",
                              "altered": "altered", "no key": "is gone"}[why]  # fmt: skip
    if why == "used":
        url = database_url
    if why == "strange":
        (new / "notes.txt").touch()
    if why == "key":
        KeyFile(new).replace([MasterKey.mint()])
    if why == "newer":
        newer = Manifest(version="9", schema="9999", made_at=SetClock().now(), host_id="a" * 12, spool=())
        write_backup(target, newer, [b"dump"], secret=key.secret)
    if why == "altered":
        content = bytearray(target.read_bytes())
        content[-1] ^= 1
        target.write_bytes(content)
    if why == "no key":
        (new / "master.key").unlink()
    done = await restored(callreel, target, new, url)
    assert done.exit_code == 1
    assert reason in done.stderr
    assert not (new / "spool" / "restored.json").exists()


def test_a_backup_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise Misconfigured("pg_dump failed")

    target = tmp_path / "b"
    target.write_bytes(b"older")
    with pytest.raises(Misconfigured):
        write_backup(target, MANIFEST, failing(), secret=bytes(32))
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"older", [target])


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"format": 2}'])
def test_a_manifest_of_another_shape_is_refused(content: str) -> None:
    with pytest.raises(Misconfigured):
        Manifest.from_json(content)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.as_json()) == MANIFEST
