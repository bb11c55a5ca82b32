"""The worker: takes jobs from PgQueuer and carries recordings. With `ledger/jobs.py` all that knows the engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from callreel.errors import CallreelError, Outrun
from callreel.ledger.deletions import DELETE_MANY, RECEIPT
from callreel.ledger.item_intake import INVENTORY, MOVE
from callreel.ledger.jobs import JobRow, open_queue, route_of
from callreel.ledger.settings import TAKE_UP
from callreel.model.recording import Recording
from callreel.model.sid import AccountSid, RecordingSid
from callreel.parts import Parts
from callreel.steps.delete_many import delete_many
from callreel.steps.restart import take_up_again
from callreel.steps.send_receipt import send_receipt
from callreel.worker.moving import Moves
from callreel.worker.routes import SPOOL_STEPS, carry, steps_of, tell
from callreel.worker.turns import Turns

log = structlog.get_logger("callreel.worker")

AHEAD = 8  # jobs taken per delivery slot, so that a slot never waits for the queue
TELLING = 32  # callbacks under way at once; their receivers never hold up a delivery
PUT_OFF_S = 1.0  # at most, for a callback job beyond those that may be held at once
HEARTBEAT_LIMIT = timedelta(seconds=30)  # after this a silent worker's jobs go to another


class Worker:
    """One process's share of the work. `run` until `stop`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._steps = steps_of(parts)
        self._telling = asyncio.Semaphore(TELLING)
        self._ahead = max(64, AHEAD * parts.chosen.delivery_concurrency)
        # The engine's limit counts callbacks and deliveries alike; the other half is for deliveries.
        self._most_tellings = self._ahead // 2
        self._tellings_taken = self._told_now = 0
        self._carrying, self._telling_of = Turns(), Turns()
        self._moves = Moves(parts, carry=self._carry_one, is_stopping=lambda: self._is_stopping)
        self._manager: QueueManager | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """Take jobs until `stop` is called, then finish what is under way. Raises when the queue is lost."""
        async with open_queue(self._parts.ledger.engine) as queue:
            manager = QueueManager(queue)
            # The engine polls no faster than this when all it may take is taken.
            manager.min_dequeue_poll_interval = timedelta(milliseconds=20)
            for step in SPOOL_STEPS:
                manager.entrypoint(route_of(step, self._parts.spool.host_id))(self._carry)
            manager.entrypoint("notify")(self._tell)
            manager.entrypoint(TAKE_UP)(self._take_up)
            manager.entrypoint(DELETE_MANY)(self._delete_many)
            manager.entrypoint(RECEIPT)(self._send_receipt)
            manager.entrypoint(route_of(MOVE, self._parts.spool.host_id))(self._move)
            manager.entrypoint(route_of(INVENTORY, self._parts.spool.host_id))(self._read_list)
            self._manager = manager
            if self._is_stopping:
                return
            try:
                await manager.run(
                    batch_size=max(16, self._ahead // 4),
                    max_concurrent_tasks=self._ahead,
                    heartbeat_timeout=HEARTBEAT_LIMIT,
                )
            finally:
                self._manager = None

    def stop(self) -> None:
        """Take no more jobs. May be called before `run`, which then returns at once."""
        self._is_stopping = True
        if self._manager is not None:
            self._manager.shutdown.set()

    async def _carry(self, job: Job) -> None:
        sid = (job.payload or b"").decode()
        await self._attempt(self._carry_and_wake(RecordingSid(sid)), sid)

    async def _carry_one(self, sid: RecordingSid, known: Recording | None = None) -> Recording | None:
        """One at a time for each recording: whoever comes second finds it where the first left it."""
        async with self._carrying.of(sid):
            return await carry(sid, parts=self._parts, steps=self._steps, known=known)

    async def _carry_and_wake(self, sid: RecordingSid) -> None:
        await self._moves.wake(await self._carry_one(sid))

    async def _move(self, job: Job) -> None:
        sid = (job.payload or b"").decode()
        await self._attempt(self._moves.move_source(sid), sid)

    async def _read_list(self, job: Job) -> None:
        sid = (job.payload or b"").decode()
        await self._attempt(self._moves.read_list(sid), sid)

    async def _tell(self, job: Job) -> None:
        sid = (job.payload or b"").decode()
        if self._tellings_taken >= self._most_tellings:
            await self._attempt(self._tell_later(sid), sid)
            return
        self._tellings_taken += 1
        try:
            async with self._telling_of.of(sid), self._telling:
                self._told_now += 1
                try:
                    await self._attempt(tell(sid, parts=self._parts, is_crowded=self._is_crowded), sid)
                finally:
                    self._told_now -= 1
        finally:
            self._tellings_taken -= 1

    async def _tell_later(self, sid: str) -> None:
        at = self._parts.clock.now() + timedelta(seconds=self._parts.rng.uniform(0.1, PUT_OFF_S))
        await self._parts.ledger.remind([JobRow("notify", sid, at)])

    def _is_crowded(self) -> bool:
        """Half the places are taken: from here on no receiver gets a second queue at the cost of others."""
        return self._told_now > TELLING // 2

    async def _take_up(self, job: Job) -> None:
        account_sid = AccountSid((job.payload or b"").decode())
        work = take_up_again(
            account_sid, ledger=self._parts.ledger, buckets=self._parts.buckets, clock=self._parts.clock
        )
        await self._attempt(work, account_sid)

    async def _delete_many(self, job: Job) -> None:
        sid = (job.payload or b"").decode()
        async with self._carrying.of(sid):
            work = delete_many(sid, ledger=self._parts.ledger, clock=self._parts.clock)
            await self._attempt(work, sid)

    async def _send_receipt(self, job: Job) -> None:
        sid, p = (job.payload or b"").decode(), self._parts
        async with self._carrying.of(sid):
            work = send_receipt(
                sid, ledger=p.ledger, mailer=p.mailer, patience=p.chosen.patience, clock=p.clock, rng=p.rng
            )
            await self._attempt(work, sid)

    async def _attempt(self, work: object, sid: str) -> None:
        """The outer ring. What a step could not mend is written down; the reconciler finds the row again."""
        try:
            await work  # type: ignore[misc]
        except Outrun:
            log.debug("outrun", recording=sid)
        except CallreelError as why:
            log.log(why.level, "step failed", recording=sid, error=type(why).__name__, reason=why.message)
        except Exception:
            log.exception("step failed unexpectedly", recording=sid)
