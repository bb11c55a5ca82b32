"""One Ceph gateway for a whole test run, shared by its workers; the last one out stops it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from callreel.model.credential import AccessKey
from callreel.rehearsal import ceph_rgw

OWNER = AccessKey("AKTEST0000000000TEST", "secret" * 6 + "secr")
STRANGER = AccessKey("AKOTHER000000000OTHR", "others" * 6 + "othe")


class Ceph(NamedTuple):
    url: str
    root: Path


def why_not() -> str | None:
    """The reason to skip, with what would cure it; None when Ceph is installed."""
    missing = ceph_rgw.missing_commands()
    return f"Ceph is not installed ({', '.join(missing)}): {ceph_rgw.INSTALL}" if missing else None


@contextmanager
def shared(directory: Path) -> Iterator[Ceph]:
    """The gateway that lives below this directory; started by the first to come."""
    directory.mkdir(parents=True, exist_ok=True)
    state = directory / "users.json"
    with _locked(directory):
        running = json.loads(state.read_text()) if state.exists() else _start(directory)
        state.write_text(json.dumps(running | {"users": running["users"] + 1}))
    try:
        yield Ceph(running["url"], Path(running["root"]))
    finally:
        with _locked(directory):
            running = json.loads(state.read_text())
            running["users"] -= 1
            if running["users"] == 0:
                ceph_rgw.stop(running["pids"])
                state.unlink()
            else:
                state.write_text(json.dumps(running))


def _start(directory: Path) -> dict[str, object]:
    root = directory / f"run-{len(list(directory.glob('run-*')))}"
    gateway = ceph_rgw.start(root)
    try:
        ceph_rgw.add_user(root, "owner", key_id=OWNER.key_id, secret=OWNER.secret)
        ceph_rgw.add_user(root, "stranger", key_id=STRANGER.key_id, secret=STRANGER.secret)
    except BaseException:
        ceph_rgw.stop(gateway.pids)
        raise
    return {"url": gateway.url, "root": str(root), "pids": list(gateway.pids), "users": 0}


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
