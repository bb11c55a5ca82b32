"""How much may be on its way to buckets at once, and how one bucket's trouble is kept from the others.

Two limits hold for all: so many blobs, and so many bytes of them in memory. Each bucket of an account has a lane of
its own. A lane that gets errors of load, or no answer, is halved; with each success it grows again. What a slow lane
cannot take it turns away with a time, rather than let it hold a place that others need.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES
from callreel.bucket.multipart import PARTS_IN_MEMORY
from callreel.errors import BucketStumbled, BucketUnreachable

IN_MEMORY_BYTES = 32 << 20  # of a service that is to stay below 200 MB
FIRST_BLOBS = 8  # a lane nobody knows begins with so many at once
QUICK_S = 1.0  # a lane that finishes nothing for so long while others wait in it is slow
LONGEST_BOOKING_S = 300.0
PASSED_OVER = 32  # so often smaller blobs may go before one that does not fit yet
LANES = 10_000
_OVERLOADED = frozenset({408, 429})


class TurnedAway(Exception):
    """The lane is slow and has enough to do: come again in so many seconds."""

    def __init__(self, again_in_s: float) -> None:
        super().__init__(f"turned away for {again_in_s:.0f} s")
        self.again_in_s = again_in_s


@dataclass(slots=True)
class _Waiter:
    weight: int
    turn: asyncio.Future[None]


@dataclass(slots=True)
class _Lane:
    """What is known of one bucket: `limit` blobs at once, `mean_s` seconds for one of them."""

    limit: float
    last_done: float
    in_flight: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)
    is_slow: bool = False
    has_backed_off: bool = False
    round: int = 0  # one burst of errors halves the limit once
    mean_s: float = 0.1
    booked_until: float = 0.0
    passed_over: int = 0

    @property
    def most_waiting(self) -> int:
        return 2 * int(self.limit)


class Traffic:
    """Lets blobs go: within a lane in the order they came, lanes in turn, as long as all limits hold.

    One blob alone always goes. `now` is a steady clock in seconds.
    """

    def __init__(
        self, blobs: int, *, in_memory_bytes: int = IN_MEMORY_BYTES, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_blobs, self._most_bytes, self._now = blobs, in_memory_bytes, now
        self._blobs = self._bytes = self._slow_blobs = self._slow_waiting = 0
        self._lanes: OrderedDict[Hashable, _Lane] = OrderedDict()
        self._turns: deque[_Lane] = deque()  # lanes in which somebody waits

    @asynccontextmanager
    async def room_for(self, size_bytes: int, lane: Hashable = None) -> AsyncIterator[None]:
        """Wait until a blob of this size may be sent on this lane; its room is given back on leaving.

        How it went is read from what is raised inside. Raises `TurnedAway`.
        """
        weight = min(size_bytes, PARTS_IN_MEMORY * MULTIPART_ABOVE_BYTES)
        here = self._lane(lane)
        if here.waiting or not self._fits(here, weight):
            await self._wait(here, weight)
        else:
            self._enter(here, weight)
        began, round_ = self._now(), here.round
        try:
            yield
        except (BucketUnreachable, BucketStumbled) as why:
            if _is_of_load(why):
                self._stumbled(here, round_, self._now() - began)
            raise
        else:
            self._succeeded(here, self._now() - began)
        finally:
            here.last_done = self._now()
            self._leave(here, weight)

    def limit_of(self, lane: Hashable) -> int:
        """How many blobs may be on their way on this lane at once."""
        return int(self._lane(lane).limit)

    # --- Entering ----------------------------------------------------------------------------------------------------

    def _lane(self, name: Hashable) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(float(min(self._most_blobs, FIRST_BLOBS)), self._now())
            if len(self._lanes) > LANES:
                self._forget_idle_lanes()
        return lane

    def _forget_idle_lanes(self) -> None:
        for name in [n for n, lane in self._lanes.items() if not lane.in_flight and not lane.waiting][: LANES // 10]:
            del self._lanes[name]

    def _fits(self, lane: _Lane, weight: int) -> bool:
        if self._blobs == 0:
            return True
        if lane.in_flight >= int(lane.limit):
            return False
        if lane.is_slow and self._slow_blobs >= max(1, self._most_blobs // 2):
            return False  # slow lanes together leave half of it to the others
        if self._blobs < self._most_blobs and self._bytes + weight <= self._most_bytes:
            return True
        # When one lane holds it all the others are not shut out: a little more is always theirs.
        return (
            not lane.is_slow
            and lane.in_flight < 2
            and lane.in_flight < self._blobs
            and self._blobs < self._most_blobs + max(1, self._most_blobs // 4)
            and self._bytes + weight <= self._most_bytes + self._most_bytes // 2
            and self._holds_it_all(lane)
        )

    def _holds_it_all(self, lane: _Lane) -> bool:
        """Whether somebody else has most of the room."""
        return 2 * lane.in_flight < self._blobs

    async def _wait(self, lane: _Lane, weight: int) -> None:
        if lane.is_slow and (len(lane.waiting) >= lane.most_waiting or self._slow_waiting >= 2 * self._most_blobs):
            raise TurnedAway(self._book(lane))
        waiter = _Waiter(weight, asyncio.get_running_loop().create_future())
        if not lane.waiting:
            self._turns.append(lane)
            self._watch(lane)
        lane.waiting.append(waiter)
        self._slow_waiting += lane.is_slow
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._leave(lane, weight)  # it was let in at the moment it was cancelled
            raise

    def _watch(self, lane: _Lane) -> None:
        """Look again in a second: a lane in which nothing moves must not fill with those that wait."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            if not lane.waiting:
                return
            if not lane.is_slow and lane.in_flight and self._now() - lane.last_done > QUICK_S:
                self._slow_down(lane)
            loop.call_later(QUICK_S, look)

        loop.call_later(QUICK_S, look)

    def _enter(self, lane: _Lane, weight: int) -> None:
        if lane.in_flight == 0:
            lane.last_done = self._now()  # from here on it is expected to finish something
        lane.in_flight += 1
        self._slow_blobs += lane.is_slow
        self._blobs += 1
        self._bytes += weight

    def _leave(self, lane: _Lane, weight: int) -> None:
        lane.in_flight -= 1
        self._slow_blobs -= lane.is_slow
        self._blobs -= 1
        self._bytes -= weight
        self._let_in()

    def _let_in(self) -> None:
        """Lanes in turn, each with the first that waits in it, until nobody fits."""
        misses = 0
        while self._turns and misses < len(self._turns):
            lane = self._turns[0]
            self._drop_cancelled(lane)
            if not lane.waiting:
                self._turns.popleft()
                continue
            weight = lane.waiting[0].weight
            if not self._fits(lane, weight):
                if lane.in_flight < int(lane.limit) and not lane.is_slow:
                    lane.passed_over += 1
                    if lane.passed_over > PASSED_OVER:
                        return  # it is too large for what is free now, and has waited long enough
                self._turns.rotate(-1)
                misses += 1
                continue
            self._let_first_in(lane)
            misses = 0

    def _let_first_in(self, lane: _Lane) -> None:
        waiter = lane.waiting.popleft()
        self._slow_waiting -= lane.is_slow
        lane.passed_over = 0
        self._enter(lane, waiter.weight)
        waiter.turn.set_result(None)
        self._turns.rotate(-1)

    def _drop_cancelled(self, lane: _Lane) -> None:
        while lane.waiting and lane.waiting[0].turn.done():
            lane.waiting.popleft()
            self._slow_waiting -= lane.is_slow

    # --- Learning ----------------------------------------------------------------------------------------------------

    def _succeeded(self, lane: _Lane, took_s: float) -> None:
        lane.mean_s += (took_s - lane.mean_s) / 4
        # Doubling in each round at first; after the first trouble by one in each round.
        lane.limit = min(float(self._most_blobs), lane.limit + (1 / lane.limit if lane.has_backed_off else 1))
        if lane.is_slow and took_s < QUICK_S:
            self._change_pace(lane, is_slow=False)

    def _stumbled(self, lane: _Lane, round_: int, took_s: float) -> None:
        lane.mean_s += (took_s - lane.mean_s) / 4
        if round_ == lane.round:
            lane.limit = max(1.0, lane.limit / 2)
            lane.has_backed_off = True
            lane.round += 1
        if not lane.is_slow:
            self._slow_down(lane)

    def _slow_down(self, lane: _Lane) -> None:
        self._change_pace(lane, is_slow=True)
        while len(lane.waiting) > lane.most_waiting:
            waiter = lane.waiting.pop()
            self._slow_waiting -= 1
            if not waiter.turn.done():
                waiter.turn.set_exception(TurnedAway(self._book(lane)))

    def _change_pace(self, lane: _Lane, *, is_slow: bool) -> None:
        sign = 1 if is_slow else -1
        lane.is_slow = is_slow
        self._slow_blobs += sign * lane.in_flight
        self._slow_waiting += sign * len(lane.waiting)

    def _book(self, lane: _Lane) -> float:
        """In how many seconds there may be room: each that is turned away gets a later time than the one before."""
        now = self._now()
        for_one_s = max(lane.mean_s, now - lane.last_done) / int(lane.limit) / 2
        lane.booked_until = min(max(lane.booked_until, now) + for_one_s, now + LONGEST_BOOKING_S)
        return max(1.0, lane.booked_until - now)


def _is_of_load(why: BucketUnreachable | BucketStumbled) -> bool:
    """No answer, or one that says: too much, or not now."""
    return (
        isinstance(why, BucketUnreachable) or why.status >= 500 or why.status in _OVERLOADED or why.code == "SlowDown"
    )
