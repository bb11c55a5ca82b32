"""A new master key while the service runs: nothing is unreadable at any moment, and a crash anywhere is mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from callreel.app import open_keyring
from callreel.errors import Misconfigured, SealBroken
from callreel.ledger.sealed_values import SEALED, SealedValues
from callreel.model.credential import CredentialKind
from callreel.sealing.key_file import KeyFile
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey, load_master_keys, parse_master_keys
from callreel.settings import Settings
from callreel.steps import rotate_keys as step
from callreel.steps.rotate_keys import Rotated, check_given, rotate_keys
from tests.cli.conftest import Callreel, callreel, data_dir, logs_as_before
from tests.stage import Stage, a_wav

__all__ = ["callreel", "data_dir", "logs_as_before"]
CALL = "CA" + "1" * 32


class Killed(BaseException):
    pass


async def no_pause(seconds: float) -> None:
    assert seconds == step.SETTLE_S


async def rotate(stage: Stage, settings: Settings, keyring: Keyring | None = None) -> Rotated:
    """As a process of its own does it, beside the one that runs."""
    return await rotate_keys(
        values=SealedValues(stage.parts.ledger.engine),
        keyring=keyring or open_keyring(settings),
        key_file=KeyFile(settings.data_dir),
        pause=no_pause,
    )


async def everything_opens(stage: Stage) -> None:
    """What the running service may be asked at any moment."""
    p = stage.parts
    sealed = await p.ledger.credentials.find_sealed(stage.account_sid, CredentialKind.AWS, stage.credential_sid)
    assert sealed is not None
    p.keyring.open(sealed, table="credentials", row=stage.credential_sid, account=stage.account_sid)
    token = await p.ledger.accounts.fetch_sealed_token(stage.account_sid)
    assert p.keyring.open(token, table="accounts", row=stage.account_sid, account=stage.account_sid)


async def ids_in_use(stage: Stage) -> set[bytes]:
    found = set()
    async with stage.parts.ledger.engine.connect() as connection:
        for column in SEALED:
            query = text(f"SELECT substring({column.column.name} from 5 for 8) AS id FROM {column.table}")
            found |= {bytes(row.id) for row in await connection.execute(query) if row.id is not None}
    return found


async def test_every_secret_is_under_the_new_key_and_the_old_one_is_gone(stage: Stage, settings: Settings) -> None:
    [old] = KeyFile(settings.data_dir).read()
    recording = await stage.take_in(a_wav(), call_sid=CALL, from_number="+1555", to_number="+1556")
    done = await rotate(stage, settings)
    [new] = KeyFile(settings.data_dir).read()
    assert await ids_in_use(stage) == {new.id}
    assert (done.key_id, done.retired, done.broken) == (new.id.hex(), [old.id.hex()], [])
    assert done.rewrapped["calls.parties_sealed"] == done.rewrapped["account_keys.key_sealed"] == 1
    assert KeyFile(settings.data_dir).retired() == [old]
    await everything_opens(stage)
    stage.clock.advance(61)
    assert await stage.media(recording) == a_wav()


async def test_the_running_service_opens_and_seals_at_every_moment(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[str] = []
    monkeypatch.setattr(step, "reach", moments.append)
    await stage.take_in(a_wav(), call_sid=CALL, from_number="+1555")

    async def pause(_: float) -> None:
        await everything_opens(stage)
        await stage.take_in(a_wav(), call_sid="CA" + "2" * 32, from_number="+1557")  # sealed while it is under way
        await stage.keep_key(("AKLATE00000000000000", "l" * 40))

    await everything_opens(stage)
    await rotate_keys(
        values=SealedValues(stage.parts.ledger.engine),
        keyring=open_keyring(settings),
        key_file=KeyFile(settings.data_dir),
        pause=pause,
    )
    await everything_opens(stage)
    assert await ids_in_use(stage) == {key.id for key in KeyFile(settings.data_dir).read()}
    assert moments[0] == "K1"
    assert moments[-1] == "K3"


async def test_what_a_slow_process_sealed_with_the_old_key_is_found_before_it_is_retired(
    stage: Stage, settings: Settings
) -> None:
    old = Keyring(KeyFile(settings.data_dir).read()[0])
    late = old.seal(b"late", table="credentials", row=stage.credential_sid, account=stage.account_sid)

    async def pause(_: float) -> None:
        async with stage.parts.ledger.engine.begin() as transaction:
            await transaction.execute(text("UPDATE credentials SET secret_sealed = :late"), {"late": late})

    done = await rotate_keys(
        values=SealedValues(stage.parts.ledger.engine),
        keyring=open_keyring(settings),
        key_file=KeyFile(settings.data_dir),
        pause=pause,
    )
    assert done.rewrapped["credentials.secret_sealed"] == 2
    assert len(await ids_in_use(stage)) == 1


@pytest.mark.parametrize("point", ["K1", "K2", "K3"])
async def test_killed_anywhere_it_is_run_again(
    stage: Stage, settings: Settings, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(name: str) -> None:
        if name == point:
            raise Killed

    monkeypatch.setattr(step, "reach", die)
    with pytest.raises(Killed):
        await rotate(stage, settings)
    await everything_opens(stage)
    opened_anew = open_keyring(settings)
    monkeypatch.setattr(step, "reach", lambda _: None)
    done = await rotate(stage, settings, opened_anew)
    assert len(KeyFile(settings.data_dir).read()) == len(KeyFile(settings.data_dir).retired()) == 1
    assert await ids_in_use(stage) == {bytes.fromhex(done.key_id)}
    await everything_opens(stage)


async def test_a_secret_that_does_not_open_is_named_and_no_key_is_retired(stage: Stage, settings: Settings) -> None:
    async with stage.parts.ledger.engine.begin() as transaction:
        broken = "UPDATE credentials SET secret_sealed = set_byte(secret_sealed, 40, get_byte(secret_sealed, 40) # 1)"
        await transaction.execute(text(broken))
    done = await rotate(stage, settings)
    assert done.broken == [f"credentials.secret_sealed of {stage.credential_sid}"]
    assert done.retired == []
    assert len(KeyFile(settings.data_dir).read()) == 2


async def test_more_secrets_than_a_batch_are_all_reached(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callreel.ledger.sealed_values.BATCH", 2)
    for number in range(5):
        await stage.take_in(a_wav(seconds=0.01), call_sid=f"CA{number:032x}", from_number="+1555")
    done = await rotate(stage, settings)
    assert done.rewrapped["calls.parties_sealed"] == 5
    assert len(await ids_in_use(stage)) == 1


async def test_keys_given_by_the_operator_are_only_wrapped_anew(stage: Stage, settings: Settings) -> None:
    [old] = KeyFile(settings.data_dir).read()
    new = MasterKey.mint()
    done = await rotate_keys(
        values=SealedValues(stage.parts.ledger.engine), keyring=Keyring(new, [old]), key_file=None, pause=no_pause
    )
    assert await ids_in_use(stage) == {new.id}
    assert done.retired == []
    with pytest.raises(Misconfigured, match="OLD,NEW"):
        check_given([new])
    check_given([new, old])


def test_several_keys_may_be_given(tmp_path: Path) -> None:
    new, old = MasterKey.mint(), MasterKey.mint()
    assert parse_master_keys(f"{new.secret.hex()}, {old.secret.hex()}\n") == [new, old]
    assert load_master_keys(tmp_path, f"{new.secret.hex()},{old.secret.hex()}")[0] == new
    with pytest.raises(Misconfigured):
        parse_master_keys(f"{new.secret.hex()},")


def test_a_key_file_that_is_gone_or_damaged_does_not_stop_a_running_process(tmp_path: Path) -> None:
    [key] = load_master_keys(tmp_path, None)
    file = KeyFile(tmp_path)
    ring = Keyring(key, changed=file.changed)
    place = {"table": "t", "row": "r", "account": "a"}
    sealed = ring.seal(b"x", **place)
    file.path.write_text("not a key")
    assert ring.open(ring.seal(b"y", **place), **place) == b"y"
    file.path.unlink()
    assert ring.open(sealed, **place) == b"x"
    with pytest.raises(Misconfigured, match="is gone"):
        file.read()
    with pytest.raises(SealBroken):
        ring.open(Keyring(MasterKey.mint()).seal(b"z", **place), **place)


def test_the_command_says_what_it_did(
    callreel: Callreel, database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "SETTLE_S", 0.0)
    callreel("accounts", "create", "--friendly-name", "Acme", CALLREEL_DATABASE_URL=database_url)
    done = callreel("keys", "rotate", "--json", CALLREEL_DATABASE_URL=database_url)
    said = json.loads(done.stdout)
    assert (done.exit_code, said["ok"], said["rewrapped"]["accounts.token_sealed"]) == (0, True, 1)
    assert said["key_id"] == KeyFile(data_dir).read()[0].id.hex()
    listed = callreel("accounts", "list", "--json", CALLREEL_DATABASE_URL=database_url)
    assert listed.exit_code == 0
    given = {"CALLREEL_DATABASE_URL": database_url, "CALLREEL_MASTER_KEY": MasterKey.mint().secret.hex()}
    refused = callreel("keys", "rotate", **given)
    assert refused.exit_code == 1
    assert "OLD,NEW" in refused.stderr
