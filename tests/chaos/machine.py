"""Random lives, each step taken by the reference and by the real thing, which must agree after it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from callreel.ledger.embedded_postgres import EmbeddedPostgres
from tests.chaos.life import Life, opened_life
from tests.chaos.reference import CRASHES, FAULTS

WHICH = st.integers(0, 9)
KEYS = st.sampled_from(["a", "b"])
PAUSES = st.sampled_from([1.0, 5.0, 20.0, 100.0, 3600.0])
SHORTEST = (Phase.generate, Phase.shrink)
FORTY_DAYS_S = 41 * 86_400.0


def machine_of(runner: asyncio.Runner, life: Life, stop: threading.Event) -> type[RuleBasedStateMachine]:
    """The random lives of this installation."""

    class Lives(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            runner.run(life.begin())

        def do(self, deed: Any, asked: str | None = None) -> None:
            if stop.is_set():
                deed.close()
                raise KeyboardInterrupt

            async def both() -> None:
                await deed
                await life.agrees(asked)

            runner.run(both())

        def one(self, which: int) -> str | None:
            sids = list(life.reference.recordings)
            return sids[which % len(sids)] if sids else None

        @rule(body=st.integers(-1, 2), wants_events=st.booleans())
        def upload(self, body: int, wants_events: bool) -> None:
            self.do(life.upload(None, body, wants_events=wants_events))

        @rule(key=KEYS, body=st.integers(0, 1))
        def upload_under_a_key(self, key: str, body: int) -> None:
            self.do(life.upload(key, body, wants_events=True))

        @rule(key=st.one_of(st.none(), KEYS), body=st.integers(0, 1))
        def upload_and_die(self, key: str | None, body: int) -> None:
            self.do(life.upload(key, body, wants_events=True, crash="C5"))

        @rule(which=WHICH)
        def carry(self, which: int) -> None:
            if sid := self.one(which):
                self.do(life.carry(sid), sid)

        @rule(which=WHICH, fault=st.sampled_from(FAULTS))
        def carry_under_a_fault(self, which: int, fault: str) -> None:
            if sid := self.one(which):
                self.do(life.carry(sid, fault=fault), sid)

        @rule(which=WHICH, crash=st.sampled_from(CRASHES))
        def carry_and_die(self, which: int, crash: str) -> None:
            if sid := self.one(which):
                self.do(life.carry(sid, crash=crash), sid)

        @rule(which=WHICH, fault=st.sampled_from(FAULTS), times=st.integers(2, 8))
        def carry_under_a_fault_that_stays(self, which: int, fault: str, times: int) -> None:
            if sid := self.one(which):
                for _ in range(times):
                    self.do(life.carry(sid, fault=fault), sid)
                    self.do(life.pass_time(20.0))

        @rule(which=WHICH)
        def tell(self, which: int) -> None:
            if sid := self.one(which):
                self.do(life.tell(sid), sid)

        @rule(which=WHICH)
        def restart(self, which: int) -> None:
            if sid := self.one(which):
                self.do(life.restart(sid), sid)

        @rule(which=WHICH)
        def delete(self, which: int) -> None:
            if sid := self.one(which):
                self.do(life.delete(sid), sid)

        @rule(seconds=PAUSES)
        def time_passes(self, seconds: float) -> None:
            self.do(life.pass_time(seconds))

        @rule()
        def recover(self) -> None:
            self.do(life.recover())

        @rule(days=st.booleans())
        def purge(self, days: bool) -> None:
            if days:
                self.do(life.pass_time(FORTY_DAYS_S))
            self.do(life.purge())

        @rule()
        def receiver_goes_or_comes(self) -> None:
            life.switch_receiver()

        @rule(external=st.booleans(), erases=st.booleans())
        def choose(self, external: bool, erases: bool) -> None:
            self.do(life.choose(external=external, erases=erases))

        @rule(name=st.sampled_from(["good", "wrong"]))
        def keep_credential(self, name: str) -> None:
            self.do(life.keep_credential(name))

        @rule()
        def remove_credential(self) -> None:
            self.do(life.remove_credential(life.reference.wish.credential))

        @rule()
        def encrypt(self) -> None:
            self.do(life.keep_public_key())

        @rule()
        def do_not_encrypt(self) -> None:
            self.do(life.choose(encrypted_for=None))

        @rule()
        def remove_public_key(self) -> None:
            if sid := life.reference.wish.encrypted_for:
                self.do(life.remove_public_key(sid))

    return Lives


def lives(examples: int, steps: int, number: int, stop: threading.Event) -> list[str]:
    """As `live`, on a PostgreSQL of its own; what was found, in Hypothesis's words. Ends early when `stop` is set."""
    # Nothing here is about power cuts: in memory, where there is such a place, an fsync costs nothing.
    home = Path(tempfile.mkdtemp(prefix="callreel-lives-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    server = EmbeddedPostgres(home / "postgres")
    try:
        server.start()
        live(home, server.url(), examples=examples, steps=steps, number=number, stop=stop, phases=SHORTEST)
        return []
    except Exception as why:
        where = traceback.format_tb(why.__traceback__)[-1].rstrip()
        return ["\n".join([f"{type(why).__name__}: {why}", where, *getattr(why, "__notes__", ())])]
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def live(
    home: Path,
    database_url: str,
    *,
    examples: int,
    steps: int,
    number: int,
    stop: threading.Event,
    phases: Sequence[Phase] = (Phase.generate,),
) -> None:
    """So many random lives of so many steps, from this seed. Raises with the steps of a life that disagrees.

    With `Phase.shrink` among the phases it is the shortest such life, which may take minutes to find.
    """
    with asyncio.Runner() as runner:
        opening = opened_life(home, database_url)
        life = runner.run(opening.__aenter__())
        try:
            machine = seed(number)(machine_of(runner, life, stop))
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    report_multiple_bugs=False,
                    database=InMemoryExampleDatabase(),
                    phases=phases,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opening.__aexit__(None, None, None))
