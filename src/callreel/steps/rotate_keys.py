"""Bring every stored secret under another master key while the service runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from callreel.errors import Misconfigured, SealBroken
from callreel.failpoints import reach
from callreel.ledger.sealed_values import SEALED, SealedColumn, SealedValue, SealedValues
from callreel.sealing.key_file import KeyFile
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey

SETTLE_S = 15.0  # longer than a process waits for the database to take what it has sealed


@dataclass(slots=True)
class Rotated:
    """What a rotation did: how many values of each column it wrapped anew, and which it could not open."""

    rewrapped: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    key_id: str = ""


async def rotate_keys(
    *, values: SealedValues, keyring: Keyring, key_file: KeyFile | None, pause: Callable[[float], Awaitable[None]]
) -> Rotated:
    """Wrap every stored secret under a new master key, and retire the old one.

    1. the key file gets a new first line; from now on every process seals under it, and opens both
    2. wrap anew what the old key sealed, until, after the last write of before can have come, nothing is left
    3. the old key leaves the file; it is put aside for backups made under it

    Killed anywhere it is simply run again: what is wrapped stays wrapped, and a second line in the file says that a
    rotation is under way. Without a key file (the operator gives the keys) only 2 is done, under the first of the keys
    given. A secret that does not open is left as it is, named in the result, and no key is retired.
    """
    if key_file is not None:
        _bring_new_key(key_file)
        reach("K1")
        keyring.look_again()
    done = Rotated(key_id=keyring.current_id.hex())
    await _rewrap_all(values, keyring, done)
    if key_file is not None:
        await pause(SETTLE_S)
    done.broken.clear()
    while await _rewrap_all(values, keyring, done) and not done.broken:
        done.broken.clear()
    if key_file is not None and not done.broken:
        done.retired = [key.id.hex() for key in _retire(key_file)]
    return done


def check_given(keys: list[MasterKey]) -> None:
    """Refuse to rotate a single key that is not ours to replace, and say how it is done. Raises `Misconfigured`."""
    if len(keys) < 2:
        raise Misconfigured(
            "The master key is given by you, so a new one must be given too. Make one with `openssl rand -base64 32`; "
            "set CALLREEL_MASTER_KEY to OLD,NEW for every process and restart each; then to NEW,OLD and restart; then "
            "run this again, which brings every secret under the first key; then set it to NEW alone. Keep OLD with "
            "the backups made under it."
        )


def _bring_new_key(key_file: KeyFile) -> None:
    keys = key_file.read()
    if len(keys) == 1:  # more: an earlier rotation was interrupted, and goes on
        key_file.replace([MasterKey.mint(), *keys])


def _retire(key_file: KeyFile) -> list[MasterKey]:
    current, *former = key_file.read()
    for key in former:
        key_file.retire(key)
    reach("K3")
    key_file.replace([current])
    return former


async def _rewrap_all(values: SealedValues, keyring: Keyring, done: Rotated) -> int:
    """One pass over everything; how many values it wrapped anew."""
    total = 0
    for column in SEALED:
        total += (made := await _rewrap_column(column, values, keyring, done))
        done.rewrapped[column.name] = done.rewrapped.get(column.name, 0) + made
    return total


async def _rewrap_column(column: SealedColumn, values: SealedValues, keyring: Keyring, done: Rotated) -> int:
    total, after = 0, None
    while older := await values.list_older(column, than_id=keyring.current_id, after=after):
        anew = [(value, new) for value in older if (new := _rewrapped(column, value, keyring, done)) is not None]
        if anew:
            await values.replace(column, anew)
        reach("K2")
        total, after = total + len(anew), older[-1].key
    return total


def _rewrapped(column: SealedColumn, value: SealedValue, keyring: Keyring, done: Rotated) -> bytes | None:
    try:
        return keyring.rewrap(value.sealed, table=column.table, row=value.row, account=value.account)
    except SealBroken:
        done.broken.append(f"{column.name} of {value.row}")
        return None
