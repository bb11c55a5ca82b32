"""The private server: started, shared, recovered, stopped, and clear about what it cannot do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from callreel.errors import Misconfigured
from callreel.ledger import embedded_postgres
from callreel.ledger.embedded_postgres import RESERVE_BYTES, EmbeddedPostgres
from tests.conftest import psql


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose server was started once and stopped: copying is quicker than initialising."""
    data_dir = tmp_path_factory.mktemp("fresh")
    server = EmbeddedPostgres(data_dir)
    server.start()
    server.stop()
    return data_dir


@pytest.fixture
def open_server(tmp_path: Path, fresh: Path) -> Iterator[Callable[..., EmbeddedPostgres]]:
    opened: list[EmbeddedPostgres] = []

    def make(name: str = "data") -> EmbeddedPostgres:
        if not (tmp_path / name).exists():
            subprocess.run(["cp", "-a", fresh, tmp_path / name], check=True)
        opened.append(EmbeddedPostgres(tmp_path / name))
        return opened[-1]

    yield make
    for server in opened:
        server.stop()


def pid_of(server: EmbeddedPostgres) -> int:
    pid = server._pid()
    assert pid is not None
    return pid


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_what_was_committed_is_there_after_a_stop_and_a_start(open_server: Callable[..., EmbeddedPostgres]) -> None:
    server = open_server()
    server.start()
    psql(server, "CREATE TABLE t AS SELECT 42 AS n", "callreel")
    pid = pid_of(server)
    server.stop()
    assert not is_alive(pid)
    server.start()
    assert psql(server, "SELECT n FROM t", "callreel") == "42"
    assert psql(server, "SHOW fsync") == psql(server, "SHOW synchronous_commit") == "on"
    assert psql(server, "SHOW listen_addresses") == ""


def test_what_was_committed_survives_a_sigkill_of_the_server(open_server: Callable[..., EmbeddedPostgres]) -> None:
    server = open_server()
    server.start()
    psql(server, "CREATE TABLE t AS SELECT 42 AS n", "callreel")
    os.kill(pid_of(server), signal.SIGKILL)
    server._child.wait(10)  # type: ignore[union-attr]
    server.start()
    assert psql(server, "SELECT n FROM t", "callreel") == "42"


def test_two_users_share_it_and_the_last_one_stops_it(open_server: Callable[..., EmbeddedPostgres]) -> None:
    first, second = open_server(), open_server()
    first.start()
    second.start()
    assert pid_of(first) == pid_of(second)
    first.stop()
    assert psql(second, "SELECT 1") == "1"
    pid = pid_of(second)
    second.stop()
    assert not is_alive(pid)
    first._child.wait(0)  # type: ignore[union-attr]
    second.stop()


def test_a_server_that_outlived_its_service_is_found_running(
    open_server: Callable[..., EmbeddedPostgres], tmp_path: Path
) -> None:
    server = open_server()
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from callreel.ledger.embedded_postgres import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1])).start()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "data"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    pid = pid_of(server)
    server.start()
    assert pid_of(server) == pid
    server.stop()
    assert not is_alive(pid)


def test_a_stale_pid_file_is_not_believed(open_server: Callable[..., EmbeddedPostgres], tmp_path: Path) -> None:
    """Its number belongs to somebody else by now: neither is it taken for the server, nor is it stopped."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"], stdout=-1)
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        server = open_server()
        cluster = tmp_path / "data" / "postgres" / "cluster"
        (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n1700000000\n5432\n\n\n  1 1\nready\n")
        shutil.copymode(cluster / "PG_VERSION", cluster / "postmaster.pid")
        server._shut_down()
        assert is_alive(stranger.pid)
        server.start()
        assert psql(server, "SELECT 1") == "1"
        assert pid_of(server) != stranger.pid
    finally:
        stranger.kill()
        stranger.wait()
        stranger.stdout.close()


def test_a_server_that_is_still_recovering_is_waited_for(
    open_server: Callable[..., EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = open_server()
    server.start()
    said = [1, 1, 0]
    monkeypatch.setattr(server, "_ask", lambda: said.pop(0))
    assert server._is_up()
    assert said == []


def test_an_initialisation_that_was_killed_is_begun_anew(tmp_path: Path) -> None:
    half = tmp_path / "data" / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(tmp_path / "data")
    server.start()
    try:
        assert psql(server, "SELECT 1") == "1"
        assert not half.exists()
    finally:
        server.stop()


def test_a_path_too_long_for_a_socket_is_no_obstacle(open_server: Callable[..., EmbeddedPostgres]) -> None:
    server = open_server("d" * 120)
    server.start()
    assert len(str(server.socket_dir)) < 90
    assert psql(server, "SELECT 1") == "1"
    server.stop()
    assert not server.socket_dir.exists()


def test_a_cluster_that_does_not_start_says_why_and_holds_no_lock(
    open_server: Callable[..., EmbeddedPostgres], tmp_path: Path
) -> None:
    server = open_server()
    version = tmp_path / "data" / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(Misconfigured, match="version"):
        server.start()
    version.write_text("18\n")
    other = open_server()
    other.start()
    pid = pid_of(other)
    other.stop()
    assert not is_alive(pid)


@pytest.mark.parametrize("lacking", ["user", "setpriv"])
def test_root_without_what_it_needs_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    if os.geteuid() != 0:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(os, "chown", lambda *_: None)
    if lacking == "user":

        def nobody(name: str) -> None:
            raise KeyError(name)

        monkeypatch.setattr(embedded_postgres.pwd, "getpwnam", nobody)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match="CALLREEL_DATABASE_URL"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_the_server_gets_none_of_our_secrets(
    open_server: Callable[..., EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLREEL_MASTER_KEY", "canary")
    server = open_server()
    server.start()
    deadline = time.monotonic() + 5
    while b"postgres" not in (cmd := Path(f"/proc/{pid_of(server)}/cmdline").read_bytes()):
        assert time.monotonic() < deadline
    assert b"canary" not in cmd + Path(f"/proc/{pid_of(server)}/environ").read_bytes()


def _on_a_disk_with(free_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def statvfs(path: Path) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=free_bytes // 4096, f_frsize=4096)

    monkeypatch.setattr("callreel.ledger.embedded_postgres.os.statvfs", statvfs)


def test_room_is_held_for_the_database_and_given_up_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedPostgres(tmp_path)
    reserve = tmp_path / "postgres" / "reserve"
    reserve.parent.mkdir()
    _on_a_disk_with(100 * RESERVE_BYTES, monkeypatch)
    server._tend_reserve()
    assert reserve.stat().st_blocks * 512 >= RESERVE_BYTES
    _on_a_disk_with(2 * RESERVE_BYTES, monkeypatch)
    server._tend_reserve()
    assert reserve.exists(), "there is room for the database without it"
    _on_a_disk_with(RESERVE_BYTES // 4, monkeypatch)
    server._tend_reserve()
    assert not reserve.exists()
    _on_a_disk_with(2 * RESERVE_BYTES, monkeypatch)
    server._tend_reserve()
    assert not reserve.exists(), "it would fill the disk again"


def test_a_disk_that_refuses_the_reserve_does_not_prevent_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "postgres").mkdir()
    _on_a_disk_with(100 * RESERVE_BYTES, monkeypatch)
    monkeypatch.setattr("callreel.ledger.embedded_postgres.os.posix_fallocate", refuse)
    EmbeddedPostgres(tmp_path)._tend_reserve()
    assert not (tmp_path / "postgres" / "reserve").exists()
