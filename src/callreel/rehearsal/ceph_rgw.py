"""A real S3 on one machine: Ceph's gateway with one monitor, manager and disk in memory, all on loopback.

Plain processes, no systemd and no container; they are children of the caller, and `stop` ends them by their ids.
Nothing survives: the disk is memory.

    python -m callreel.rehearsal.ceph_rgw --root DIR --key-id K --secret S
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "monmaptool")
INSTALL = "apt-get install -y --no-install-recommends radosgw ceph-mon ceph-mgr ceph-osd ceph-common"

KMS_KEY = "rehearsal-key"  # the one key its key service knows

START_S = 120.0  # 12 s on an idle machine of two cores
STOP_S = 15.0
DISK_STARTS = 5
MEMORY_BYTES = 2 << 30  # taken as objects come, not at once

# msgr2 is off because, without authentication, the gateway waits minutes on it. STS is off because with it a
# wrong key is answered with AccessDenied instead of InvalidAccessKeyId.
_CONF = """\
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{mon_port}]
ms bind msgr2 = false
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
keyring = /dev/null
run dir = {root}/run
admin socket = {root}/run/$name.asok
log file = {root}/log/$name.log
debug ms = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
mon warn on pool no redundancy = false
mon max pg per osd = 1000
[mon]
mon data = {root}/mon
mon data avail crit = 1
mon data avail warn = 2
auth allow insecure global id reclaim = false
mon initial members = a
[mgr]
mgr data = {root}/mgr
mgr initial modules = iostat
[osd]
osd data = {root}/osd
osd objectstore = memstore
memstore device bytes = {memory_bytes}
[client.rgw]
rgw data = {root}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw_port}
rgw dns name = localhost
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = {kms_key}={kms_secret}
rgw thread pool size = 64
rgw enable usage log = false
"""


class CephFailed(Exception):
    """A part of Ceph did not start; the message names its log."""


@dataclass(frozen=True, slots=True)
class CephRgw:
    """A running gateway: where it listens, where its files are, and the ids of all its processes."""

    url: str
    root: Path
    pids: tuple[int, ...]


def missing_commands() -> list[str]:
    """What would have to be installed first (`INSTALL`); empty when all is there."""
    return [command for command in COMMANDS if shutil.which(command) is None]


def start(root: Path, *, memory_bytes: int = MEMORY_BYTES) -> CephRgw:
    """Start it all below an empty directory and wait until the gateway listens. Raises `CephFailed`.

    Once `memory_bytes` of objects are stored, writes wait for ever.
    """
    mon_port, rgw_port = _free_port(), _free_port()
    for name in ("mon", "mgr", "osd", "run", "log", "rgw"):
        (root / name).mkdir(parents=True)
    fsid, conf = str(uuid.uuid4()), root / "ceph.conf"
    kms_secret = base64.b64encode(os.urandom(32)).decode()
    facts = {"fsid": fsid, "root": root, "mon_port": mon_port, "rgw_port": rgw_port, "memory_bytes": memory_bytes}
    conf.write_text(_CONF.format(**facts, kms_key=KMS_KEY, kms_secret=kms_secret))
    pids: list[int] = []
    try:
        _run(root, ["monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", "monmap"])
        _run(root, ["ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap"])
        pids.append(_spawn(root, ["ceph-mon", "-f", "-i", "a"]))
        pids.append(_spawn(root, ["ceph-mgr", "-f", "-i", "x"]))
        # The same id for both, or the disk stays "booting" for ever.
        disk = str(uuid.uuid4())
        _run(root, ["ceph", "osd", "new", disk, "0"])
        _run(root, ["ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk])
        pids.append(_start_disk(root))
        pids.append(_spawn(root, ["radosgw", "-f", "-n", "client.rgw"]))
        _wait_for_port(rgw_port, pids[-1], root)
    except BaseException:
        stop(pids)
        raise
    return CephRgw(f"http://127.0.0.1:{rgw_port}", root, tuple(pids))


def _start_disk(root: Path) -> int:
    """Start the disk and wait until the monitor has it. Raises `CephFailed`.

    One time in four it gives up with "wrong fsid", when it asks before the monitor's map has come; the next start
    is well.
    """
    for _ in range(DISK_STARTS):
        pid = _spawn(root, ["ceph-osd", "-f", "-i", "0"])
        deadline = time.monotonic() + START_S
        while _is_alive(pid) and time.monotonic() < deadline:
            if _disk_is_up(root):
                return pid
            time.sleep(0.2)
        stop([pid])
    raise CephFailed(f"the disk did not come up; see {root / 'log'}")


def _disk_is_up(root: Path) -> bool:
    try:
        return b"1 up" in _run(root, ["ceph", "osd", "stat"])
    except CephFailed:
        return False  # the same haste: this client asked before it had the map


def stop(pids: Sequence[int]) -> None:
    """End these processes, in reverse order, and wait until they are gone."""
    for pid in reversed(pids):
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for pid in pids:
        while _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if _is_alive(pid):
            _signal(pid, signal.SIGKILL)


def add_user(root: Path, name: str, *, key_id: str, secret: str) -> None:
    """Create a user with this access key, who owns no buckets and may create them."""
    admin = ["radosgw-admin", "-n", "client.rgw", "user", "create", "--uid", name, "--display-name", name]
    _run(root, [*admin, "--access-key", key_id, "--secret-key", secret])


def _run(root: Path, command: list[str]) -> bytes:
    result = subprocess.run(  # noqa: S603  (our own list of arguments)
        command, cwd=root, env=_environment(root), capture_output=True, timeout=START_S, check=False
    )
    if result.returncode != 0:
        raise CephFailed(f"{' '.join(command)}: {result.stderr.decode(errors='replace')[-500:]}")
    return result.stdout


def _spawn(root: Path, command: list[str]) -> int:
    with (root / "log" / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=root, env=_environment(root), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    process.returncode = 0  # whoever stops it may be another process; only its id is kept
    return process.pid


def _environment(root: Path) -> dict[str, str]:
    return os.environ | {"CEPH_CONF": str(root / "ceph.conf")}


def _wait_for_port(port: int, pid: int, root: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if not _is_alive(pid):
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise CephFailed(f"the gateway did not come up; see {root / 'log'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # gone already


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one of our own that has ended is buried on the way."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass  # somebody else's child
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main() -> None:
    """Run a gateway with one user until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m callreel.rehearsal.ceph_rgw", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="an empty directory")
    parser.add_argument("--key-id", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--memory-bytes", type=int, default=MEMORY_BYTES, help="how much it can store")
    options = parser.parse_args()
    if missing := missing_commands():
        parser.error(f"not installed: {', '.join(missing)}; {INSTALL}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    gateway = start(options.root.resolve(), memory_bytes=options.memory_bytes)
    try:
        add_user(gateway.root, "rehearsal", key_id=options.key_id, secret=options.secret)
        print(f"listening on {gateway.url}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass  # asked to stop
    finally:
        stop(gateway.pids)


if __name__ == "__main__":
    main()
