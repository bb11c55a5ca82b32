"""Ways a bucket misbehaves, to be asked for one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto


class Moment(Enum):
    """When a fault strikes: before anything is done, or after it was done and before the answer."""

    INSTEAD = auto()
    AFTERWARDS = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. Made by the functions below."""

    kind: str
    moment: Moment
    status: int = 0
    code: str = ""
    retry_after_s: int | None = None


def refuse(code: str, status: int = 403) -> Fault:
    """A well-formed error document with this code; nothing is stored."""
    return Fault("refuse", Moment.INSTEAD, status, code)


def slow_down(retry_after_s: int | None = None) -> Fault:
    """503 SlowDown, with a Retry-After when seconds are given; nothing is stored."""
    return Fault("refuse", Moment.INSTEAD, 503, "SlowDown", retry_after_s)


def reset() -> Fault:
    """The connection breaks before an answer; nothing is stored."""
    return Fault("reset", Moment.INSTEAD)


def html_403() -> Fault:
    """A proxy's page instead of S3's answer; nothing is stored."""
    return Fault("html_403", Moment.INSTEAD)


def ok_with_error() -> Fault:
    """200 with an error document, as Complete may do; nothing is stored."""
    return Fault("ok_with_error", Moment.INSTEAD)


def stall() -> Fault:
    """No answer until `Faults.release` is called; then all goes on as if nothing had been."""
    return Fault("stall", Moment.INSTEAD)


def forget_answer() -> Fault:
    """It is done, and the connection breaks before the answer."""
    return Fault("reset", Moment.AFTERWARDS)


def truncated_answer() -> Fault:
    """It is done, and the answer ends after its first lines."""
    return Fault("truncated_answer", Moment.AFTERWARDS)


def wrong_etag() -> Fault:
    """It is done, and the answer names another ETag."""
    return Fault("wrong_etag", Moment.AFTERWARDS)


class Faults:
    """What goes wrong next, in the order asked for."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Fault, str | None]] = deque()
        self._released = asyncio.Event()
        self.stalled = asyncio.Event()
        """Set while a request is held by `stall`."""

    def next(self, fault: Fault, times: int = 1, *, on: str | None = None) -> None:
        """Let the next requests (of this operation, such as `UploadPart`; None: any) meet the fault."""
        self._waiting.extend([(fault, on)] * times)

    def clear(self) -> None:
        """Behave from now on."""
        self._waiting.clear()
        self.release()

    def release(self) -> None:
        """Let every stalled request go on."""
        self._released.set()

    def take(self, operation: str) -> Fault | None:
        """The fault for a request that has come, used up by this."""
        for waiting in self._waiting:
            if waiting[1] in (None, operation):
                self._waiting.remove(waiting)
                return waiting[0]
        return None

    async def hold(self) -> None:
        """Wait for `release`."""
        self._released.clear()
        self.stalled.set()
        await self._released.wait()
        self.stalled.clear()
