"""An installation opened for one command, whether or not the service runs beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop

from callreel.app import Database, open_parts
from callreel.errors import Misconfigured
from callreel.parts import Parts
from callreel.settings import Settings

T = TypeVar("T")
LOCAL_URL = "http://127.0.0.1:8080"  # what `serve` listens on unless it is told otherwise


def with_parts(settings: Settings, work: Callable[[Parts], Awaitable[T]]) -> T:
    """Run `work` on the opened parts, and close them. Raises what `work` raises, `Misconfigured` and `DatabaseAway`."""

    async def without_url(parts: Parts, _: str) -> T:
        return await work(parts)

    return with_parts_and_url(settings, without_url)


def with_parts_and_url(settings: Settings, work: Callable[[Parts, str], Awaitable[T]]) -> T:
    """As `with_parts`, for work that also needs the database's URL."""
    make_data_dir(settings)
    database = Database(settings)
    try:
        url = database.start()
        return uvloop.run(_opened(settings, url, work))
    finally:
        database.stop()


def make_data_dir(settings: Settings) -> None:
    """The data directory, closed to others, before anything else makes it more open. Raises `Misconfigured`."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as why:
        raise Misconfigured(f"The data directory {settings.data_dir} cannot be made: {why.strerror}") from why


async def _opened(settings: Settings, url: str, work: Callable[[Parts, str], Awaitable[T]]) -> T:
    async with open_parts(settings, database_url=url, public_url=settings.public_url or LOCAL_URL) as parts:
        return await work(parts, url)
