"""Ways a bucket misbehaves: asked for one by one, or met at random by seed and share."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from random import Random


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
    lasts_s: float | None = None


def refuse(code: str, status: int = 403) -> Fault:
    """A well-formed error document with this code; nothing is stored."""
    return Fault("refuse", Moment.INSTEAD, status, code)


def slow_down(retry_after_s: int | None = None) -> Fault:
    """503 SlowDown, with a Retry-After when seconds are given; nothing is stored."""
    return Fault("refuse", Moment.INSTEAD, 503, "SlowDown", retry_after_s)


def reset() -> Fault:
    """The connection breaks before an answer; nothing is stored."""
    return Fault("reset", Moment.INSTEAD)


def reset_in_body() -> Fault:
    """The connection breaks when a part of the body has been read; nothing is stored."""
    return Fault("reset_in_body", Moment.INSTEAD)


def garbage() -> Fault:
    """Bytes that are not HTTP; nothing is stored."""
    return Fault("garbage", Moment.INSTEAD)


def bare_503() -> Fault:
    """503 without a body, as a balancer with nobody behind it says; nothing is stored."""
    return Fault("bare_503", Moment.INSTEAD)


def html_403() -> Fault:
    """A proxy's page instead of S3's answer; nothing is stored."""
    return Fault("html_403", Moment.INSTEAD)


def ok_with_error() -> Fault:
    """200 with an error document, as Complete may do; nothing is stored."""
    return Fault("ok_with_error", Moment.INSTEAD)


def stall() -> Fault:
    """No answer until `Faults.release` is called; then all goes on as if nothing had been."""
    return Fault("stall", Moment.INSTEAD)


def stall_for(seconds: float) -> Fault:
    """No answer for so long, then the connection breaks; nothing is stored."""
    return Fault("stall", Moment.INSTEAD, lasts_s=seconds)


def deny_object() -> Fault:
    """HEAD says 404, whatever is there."""
    return Fault("deny_object", Moment.INSTEAD, 404, "NoSuchKey")


def store_nothing() -> Fault:
    """The right answer to a put, ETag, checksum and all, and nothing is stored: a HEAD that follows says 404.

    Never among the random ones: whoever believes evidence cannot see it, and only looking again can.
    """
    return Fault("store_nothing", Moment.INSTEAD)


def lose_part() -> Fault:
    """The last part of the upload is gone when it is to be completed, and the completion is refused."""
    return Fault("lose_part", Moment.INSTEAD)


def forget_answer() -> Fault:
    """It is done, and the connection breaks before the answer."""
    return Fault("reset", Moment.AFTERWARDS)


def truncated_answer() -> Fault:
    """It is done, and the answer ends after its first lines."""
    return Fault("truncated_answer", Moment.AFTERWARDS)


def torn_body() -> Fault:
    """It is done, and the answer announces more bytes than come."""
    return Fault("torn_body", Moment.AFTERWARDS)


def wrong_etag() -> Fault:
    """It is done, and the answer names another ETag."""
    return Fault("wrong_etag", Moment.AFTERWARDS)


def wrong_checksum() -> Fault:
    """It is done, and the answer names another SHA-256."""
    return Fault("wrong_checksum", Moment.AFTERWARDS)


STALL_S = 75.0  # longer than the minute a client should wait for the next byte

_STORING = frozenset({"PutObject", "UploadPart", "CompleteMultipartUpload"})
_EVERYWHERE: frozenset[str] = frozenset()

KINDS: dict[str, tuple[Callable[[], Fault], frozenset[str]]] = {
    "reset": (reset, _EVERYWHERE),
    "reset-in-body": (reset_in_body, _STORING),
    "stall": (stall, _EVERYWHERE),
    "garbage": (garbage, _EVERYWHERE),
    "slow-down": (slow_down, _EVERYWHERE),
    "access-denied": (lambda: refuse("AccessDenied"), _EVERYWHERE),
    "proxy-403": (html_403, _EVERYWHERE),
    "internal-error": (lambda: refuse("InternalError", 500), _EVERYWHERE),
    "bare-503": (bare_503, _EVERYWHERE),
    "ok-with-error": (ok_with_error, _STORING),
    "lost-answer": (forget_answer, _EVERYWHERE),
    "torn-head": (truncated_answer, _EVERYWHERE),
    "torn-body": (torn_body, _EVERYWHERE),
    "wrong-etag": (wrong_etag, _STORING),
    "wrong-checksum": (wrong_checksum, _STORING),
    "denied-object": (deny_object, frozenset({"HeadObject"})),
    "lost-part": (lose_part, frozenset({"CompleteMultipartUpload"})),
}
"""What can be met at random: name → the fault, and the operations it makes sense on (none: all)."""


class RandomFaults:
    """A share of all requests meets one of these faults. The same seed and the same requests: the same faults."""

    def __init__(self, share: float, *, seed: int, kinds: Iterable[str] = KINDS, stall_s: float = STALL_S) -> None:
        """Raises `ValueError` for a share outside 0 to 1 and for kinds that are not in `KINDS`."""
        self._share, self._rng, self._stall_s = share, Random(seed), stall_s
        self._kinds = tuple(kinds)
        if unknown := set(self._kinds) - KINDS.keys():
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        if not 0 <= share <= 1:
            raise ValueError("a share is between 0 and 1")

    def draw(self, operation: str) -> tuple[str, Fault] | None:
        """Name and fault for this request; None when it is spared."""
        hit, choice = self._rng.random() < self._share, self._rng.random()
        fitting = [name for name in self._kinds if not KINDS[name][1] or operation in KINDS[name][1]]
        if not hit or not fitting:
            return None
        name = fitting[int(choice * len(fitting))]
        return name, stall_for(self._stall_s) if name == "stall" else KINDS[name][0]()


class Faults:
    """What goes wrong next: first what was asked for, in its order; then what chance has."""

    def __init__(self) -> None:
        self.at_random: RandomFaults | None = None
        self.met: Counter[str] = Counter()
        """The random faults met so far, by name."""
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
        self.at_random = None
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
        drawn = self.at_random.draw(operation) if self.at_random is not None else None
        if drawn is None:
            return None
        self.met[drawn[0]] += 1
        return drawn[1]

    async def hold(self, at_most_s: float | None = None) -> bool:
        """Wait for `release`. False when that did not come within so many seconds."""
        self._released.clear()
        self.stalled.set()
        try:
            async with asyncio.timeout(at_most_s):
                await self._released.wait()
        except TimeoutError:
            return False
        finally:
            self.stalled.clear()
        return True
