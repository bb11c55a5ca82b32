"""The whole service under SIGKILL, a PostgreSQL that dies, and an S3 that lies; then quiet, and the judgement."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.clients import Crowd, Notebook, Receiver, Refusal
from tests.chaos.judgement import judge
from tests.chaos.processes import FaultyS3, Service, wait_for_death

SETTINGS = {
    # Two hours pass in three seconds of trying; nothing else is other than in production.
    "retry_window_seconds": "3",
    "retry_base_seconds": "0.05",
    "retry_cap_seconds": "1",
    "allowed_private_networks": "127.0.0.0/8",
}
SILENCE_S = 2.0  # twice the longest pause before a callback is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad it gets. The same seed: the same recordings, faults and moments, as far as the machine allows."""

    recordings: int
    seed: int
    senders: int = 12
    per_s: float = 25.0  # recordings begun each second, so that the storm lasts
    fault_share: float = 0.2
    stall_s: float = 3.0
    pause_s: tuple[float, float] = (2.0, 5.0)  # between two kills
    deleted_share: float = 0.05
    large_every: int = 200
    callbacks_awaited: bool = True  # a dead worker's callbacks are taken over after 30 s; the suite does not wait
    limit_s: float = 1800.0  # of the storm
    quiet_s: float = 300.0  # of the calm after it


@dataclass(slots=True)
class Outcome:
    """What was done and what was found."""

    seed: int
    acknowledged: int = 0
    delivered: int = 0
    deleted: int = 0
    sent: int = 0
    restarted: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    s3_requests: int = 0
    callbacks: int = 0
    took_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Every other invariant, and every answer nobody should get."""

    @property
    def violations(self) -> list[str]:
        return [*self.lost, *self.twice, *self.untold, *self.broken]


class Storm:
    """One run, below a directory of its own."""

    def __init__(self, weather: Weather, home: Path) -> None:
        self.weather, self.home = weather, home
        self._rng = Random(f"storm:{weather.seed}")
        self.notebook = Notebook()
        self.receiver = Receiver(Random(f"receiver:{weather.seed}"))
        self.service, self.s3 = Service(home, **SETTINGS), FaultyS3(home)
        self.crowd = Crowd(self.service.url, self.s3.url, self.receiver, self.notebook, seed=weather.seed)
        self.outcome = Outcome(weather.seed)

    async def rage(self) -> Outcome:
        """From the first start to the judgement. Raises `DidNotStart` and `TimeoutError`; leaves nothing running."""
        began, weather = time.monotonic(), self.weather
        async with self._standing(), self.receiver.listening(), self.crowd.connected():
            await self.s3.start(faults=weather.fault_share, seed=weather.seed, stall_s=weather.stall_s)
            await self.service.start()
            await self.crowd.settle(self.service.account)
            async with asyncio.timeout(weather.limit_s):
                await self._storm()
            async with asyncio.timeout(weather.quiet_s):
                await self._quiet()
            code, _ = await self.service.stop()
            if code != 0:
                self.outcome.broken.append(f"the service ended with {code} when it was told to stop")
            await judge(self)
        self._account_for(time.monotonic() - began)
        return self.outcome

    @asynccontextmanager
    async def _standing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.service.kill()
            await self.s3.kill()
            await asyncio.to_thread(self.service.sweep_up)

    # --- The storm ---------------------------------------------------------------------------------------------------

    async def _storm(self) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            killing = group.create_task(self._kill_at_random(over))
            group.create_task(self._restart_now_and_then(over))
            await self._hand_in_all()
            over.set()
            await killing
        await self.crowd.repair()

    async def _hand_in_all(self) -> None:
        """So many at once, so many a second; some are deleted soon, and one bucket is mended half way."""
        weather, places = self.weather, asyncio.Semaphore(self.weather.senders)
        rng = Random(f"deleted:{weather.seed}")

        async def one(number: int, is_to_go: bool) -> None:
            async with places:
                await self.crowd.hand_in(number, large_every=weather.large_every)
            if is_to_go:
                await self.crowd.delete(self.notebook.sid_of_key[f"storm-{weather.seed}-{number}"])

        async with asyncio.TaskGroup() as group:
            for number in range(weather.recordings):
                group.create_task(one(number, rng.random() < weather.deleted_share))
                if number == weather.recordings // 2:
                    group.create_task(self.crowd.repair())
                await asyncio.sleep(1 / weather.per_s)

    async def _restart_now_and_then(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await asyncio.sleep(1.0)
            await self.crowd.restart_all()

    async def _kill_at_random(self, over: asyncio.Event) -> None:
        """The service, its PostgreSQL, or both at once."""
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._rng.uniform(*self.weather.pause_s))
                return
            what = self._rng.choices(["service", "postgres", "both"], weights=[7, 2, 1])[0]
            if what != "service" and self.service.kill_postgres():
                self.outcome.kills["postgres"] += 1
            if what != "postgres":
                await self.service.kill()
                self.outcome.kills["service"] += 1
                await asyncio.sleep(self._rng.uniform(0, 0.5))
                await self.service.start()

    # --- The calm ----------------------------------------------------------------------------------------------------

    async def _quiet(self) -> None:
        """The S3 behaves, the service is killed once more and starts; then everything has to settle by itself.

        But for what a person has to restart: that is asked for as long as there is any.
        """
        self.receiver.is_calm = True
        await self.s3.calm_down()
        pid = self.service.pid
        await self.service.kill()
        self.outcome.kills["service"] += 1
        await asyncio.to_thread(wait_for_death, pid)
        await self.service.start()
        calls, silent_s = -1, 0.0 if self.weather.callbacks_awaited else SILENCE_S - 0.1
        while silent_s < SILENCE_S:
            await asyncio.sleep(0.3)
            with contextlib.suppress(Refusal, OSError, TimeoutError):
                await self.crowd.restart_all()
                is_told = self.crowd.untold() == 0 or not self.weather.callbacks_awaited
                is_done = is_told and await self.crowd.unfinished() == 0
                silent_s = silent_s + 0.3 if is_done and self.receiver.calls == calls else 0.0
                calls = self.receiver.calls

    def _account_for(self, took_s: float) -> None:
        outcome, notebook = self.outcome, self.notebook
        outcome.acknowledged, outcome.deleted = len(notebook.acknowledged), len(notebook.deleted)
        outcome.sent, outcome.restarted, outcome.took_s = notebook.sent, notebook.restarted, took_s
        outcome.faults, outcome.s3_requests = self.s3.faults, self.s3.requests
        outcome.callbacks = self.receiver.calls


async def storm(weather: Weather) -> Outcome:
    """A storm in a temporary directory. It is kept, and named, when something was found."""
    home = Path(tempfile.mkdtemp(prefix="callreel-storm-"))
    kept = True
    try:
        outcome = await Storm(weather, home).rage()
        kept = bool(outcome.violations)
        return outcome
    except asyncio.CancelledError:
        kept = False
        raise
    finally:
        if kept:
            print(f"seed {weather.seed}: what was left is in {home}", flush=True)
        else:
            await asyncio.to_thread(_remove, home)


def _remove(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
