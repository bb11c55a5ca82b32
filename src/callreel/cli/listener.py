"""The listening side of `serve`: a socket bound before anything is opened, and uvicorn on it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from callreel.cli.http_protocol import watched_by
from callreel.cli.slow_clients import Watch
from callreel.errors import Misconfigured

BACKLOG = 2048
CONNECTIONS = 2000  # more at once are answered 503; each may hold a file and a database wait
FINISH_S = 30  # requests under way may take this long after a stop
KEEP_ALIVE_S = 75  # longer than the 60 s after which common proxies drop an idle upstream
LOOK_TICKS = 10  # of uvicorn's main loop, a tenth of a second each: how often slow clients are looked for
OPEN_FILES = 65_536


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises `Misconfigured` with the reason."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as why:
        raise Misconfigured(f"{host}:{port} cannot be listened on: {why.strerror}") from why
    bound.set_inheritable(False)
    return bound


def url_of(bound: socket.socket) -> str:
    """`http://HOST:PORT` of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def allow_many_files() -> None:
    """Raise the soft limit of open files towards what one process may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # some systems have a lower limit than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Listener(uvicorn.Server):
    """uvicorn, told from outside when to stop, and telling when it answers."""

    def __init__(self, app: ASGIApp, *, on_answering: Callable[[], None]) -> None:
        watch = self.watch = Watch()
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=watched_by(watch),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=FINISH_S,
            )
        )
        self._on_answering = on_answering

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are `serve`'s: they stop the worker too."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_answering()

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_TICKS == 0:
            self.watch.look(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def stop(self) -> None:
        """No new connections; requests under way are finished."""
        self.should_exit = True
