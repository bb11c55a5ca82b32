"""The real thing beside the reference: real steps, ledger, spool, bucket and listener, on a clock that is set."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from sqlalchemy import text

from callreel import failpoints
from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.errors import IdempotencyConflict, InvalidParameter, NotFound
from callreel.model.account import Account
from callreel.model.credential import CredentialKind
from callreel.model.recording import Recording
from callreel.model.sid import RecordingSid
from callreel.model.storage_settings import FatalErrorPolicy
from callreel.parts import Parts
from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.s3_faults import KINDS
from callreel.settings import load_settings
from callreel.steps.deliver import MISMATCHES
from callreel.steps.open_account import open_account
from callreel.steps.purge import purge
from callreel.steps.restart import restart
from callreel.worker.duties import recover_at_start
from callreel.worker.routes import carry, steps_of, tell
from tests.chaos.reference import BASE_S, CAP_S, WINDOW_S, Known, Reference, Wish, status_of
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import BUCKET, MANAGER, Stage, a_wav
from tests.web.conftest import Caller, serving

SILENT = a_wav(seconds=0)
BODIES = [a_wav(seconds=0.02, seed=seed) for seed in range(3)]
WRONG_KEY = ("AKWRONG0000000000000", "x" * 40)
EVENTS = "in-progress completed absent failed"
TWICE = 2  # aiohttp itself tries once more when a kept connection breaks
Door = Callable[[Account, str], Caller]
_EMPTIED = ("recordings", "moves", "outbox", "tombstones", "idempotency_keys", "alerts")


class Died(BaseException):
    """The process is gone: nothing above may do anything about it."""


class Worst:
    """Chance at its worst: every wait is as long as it may be."""

    def uniform(self, _: float, longest: float) -> float:
        return longest


class Receiver(CallbackReceiver):
    """Takes callbacks while it is up."""

    is_up = True

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.is_up:
            return web.Response(status=503)
        return await super()._receive(request)


class Life:
    """One installation, used for many examples; each begins with `begin`."""

    def __init__(
        self, parts: Parts, clock: SetClock, s3: EmbeddedS3, receiver: Receiver, door: Door, storage: Path
    ) -> None:
        self.parts, self.clock, self.s3, self.receiver = parts, clock, s3, receiver
        self._door, self._storage = door, storage

    async def begin(self) -> None:
        """Forget everything, and open an account whose recordings go to the bucket."""
        await self._empty()
        self.reference = Reference(mismatches_that_park=MISMATCHES)
        self.receiver.is_up = True
        account, token = await open_account(
            "Example",
            parent=None,
            accounts=self.parts.ledger.accounts,
            keyring=self.parts.keyring,
            digest=self.parts.digest,
            clock=self.clock,
        )
        self.stage = Stage(self.parts, self.clock, account, token, self.s3)
        self._caller = self._door(account, token)
        self.sids = {"good": await self.stage.keep_key(MANAGER), "wrong": await self.stage.keep_key(WRONG_KEY)}
        await self._choose(self.reference.wish)

    async def _empty(self) -> None:
        async with self.parts.ledger.engine.begin() as transaction:
            there = set((await transaction.execute(text("SELECT tablename FROM pg_tables"))).scalars())
            emptied = [name for name in _EMPTIED if name in there] + [n for n in there if n.endswith("_queue")]
            await transaction.execute(text(f"TRUNCATE {', '.join(emptied)} CASCADE"))
        spool = self.parts.spool
        for path in [p for d in (spool.tmp, spool.ready, spool.quarantine) for p in d.iterdir()]:
            path.unlink()
        shutil.rmtree(self._storage / "objects")
        (self._storage / "objects").mkdir()
        for key in self.s3.keys(BUCKET):
            self.s3._shelf.bucket(BUCKET).delete(key)

    # --- What people do ----------------------------------------------------------------------------------------------

    async def upload(self, key: str | None, body: int, *, wants_events: bool, crash: str | None = None) -> None:
        """`body` -1 is a file without a sample. A crash at C5 keeps the row and answers nobody."""
        expected = self.reference.answer_upload(key, body)
        media, before = SILENT if body < 0 else BODIES[body], set(await self._rows())
        callback = f"{self.receiver.url}/told" if wants_events else None
        try:
            with dying_at(crash):
                # What is asked for is part of what a key is bound to.
                recording = await self.stage.take_in(
                    media,
                    callback=callback,
                    events=EVENTS,
                    idempotency_key=key,
                    parameters_hash=f"{body}:{wants_events}",
                )
            said, sid = ("again" if recording.sid in before else "new"), str(recording.sid)
        except IdempotencyConflict:
            said, sid = "conflict", ""
        except NotFound:
            said, sid = "gone", ""
        except Died:
            new = set(await self._rows()) - before
            said, sid = ("new" if new else expected), "".join(new)
            self.reference.orphans += not new  # durable, and the key was somebody else's
            await recover_at_start(self.parts)
            self.reference.recover()
        assert said == expected
        if said == "new":
            self.reference.take_in(sid, key, body, silent=body < 0, wants_events=wants_events)

    async def restart(self, sid: str) -> None:
        expected = self.reference.restart(self.reference.recordings[sid])
        done = await restart(await self._row(sid), ledger=self.parts.ledger, buckets=self.parts.buckets)
        assert done == expected

    async def delete(self, sid: str) -> None:
        expected = self.reference.answer_delete(self.reference.recordings.get(sid))
        answer = await self._caller.delete(f"{self._caller.account_path}/Recordings/{sid}.json")
        assert answer.status == expected

    async def choose(self, **changes: Any) -> None:
        wished = replace(self.reference.wish, **changes)
        expected = self.reference.choose(**changes)
        try:
            await self._choose(wished)
            was_saved = True
        except InvalidParameter:
            was_saved = False
        assert was_saved == expected

    async def remove_credential(self, name: str) -> None:
        self.reference.credentials.discard(name)
        await self._remove(CredentialKind.AWS, self.sids[name])

    async def keep_credential(self, name: str) -> None:
        """A new one of the same kind; what waits keeps the old one, until it is restarted."""
        new = f"{name}{len(self.sids)}"
        self.sids[new] = await self.stage.keep_key(MANAGER if name == "good" else WRONG_KEY)
        self.reference.credentials.add(new)
        await self.choose(credential=new)

    async def keep_public_key(self) -> None:
        sid = await self.stage.keep_public_key(public_pem(rsa_key()))
        self.reference.public_keys.add(sid)
        await self.choose(encrypted_for=sid)

    async def remove_public_key(self, sid: str) -> None:
        self.reference.public_keys.discard(sid)
        await self._remove(CredentialKind.PUBLIC_KEY, sid)

    async def _remove(self, kind: CredentialKind, sid: str) -> None:
        try:
            await self.parts.ledger.credentials.remove(self.stage.account_sid, kind, sid)
        except NotFound:
            pass  # removed before

    async def _choose(self, wish: Wish) -> None:
        await self.stage.choose(
            aws_storage_enabled=wish.external,
            aws_credentials_sid=self.sids[wish.credential],
            encryption_enabled=wish.encrypted_for is not None,
            encryption_key_sid=wish.encrypted_for,
            fatal_error_policy=FatalErrorPolicy.DELETE if wish.erases else FatalErrorPolicy.HOLD,
        )

    # --- What a worker does ------------------------------------------------------------------------------------------

    async def carry(self, sid: str, fault: str | None = None, crash: str | None = None) -> None:
        """One job of this recording, under a fault or up to a crash."""
        expected = self.reference.carry(self.reference.recordings[sid], fault, crash)
        if fault is not None:
            self.s3.faults.next(KINDS[fault][0](), TWICE)
        died = False
        try:
            with dying_at(crash):
                await carry(RecordingSid(sid), parts=self.parts, steps=steps_of(self.parts))
        except Died:
            died = True
            await recover_at_start(self.parts)
        self.s3.faults.clear()
        assert died == expected

    async def tell(self, sid: str) -> None:
        self.reference.tell(self.reference.recordings[sid])
        await tell(sid, parts=self.parts, is_crowded=lambda: False)

    async def recover(self) -> None:
        self.reference.recover()
        await recover_at_start(self.parts)

    async def pass_time(self, seconds: float) -> None:
        self.reference.now += seconds
        self.clock.advance(seconds)

    async def purge(self) -> None:
        self.reference.purge()
        await purge(ledger=self.parts.ledger, clock=self.clock)

    def switch_receiver(self) -> None:
        self.receiver.is_up = self.reference.receiver_is_up = not self.receiver.is_up

    # --- Whether they agree ------------------------------------------------------------------------------------------

    async def agrees(self, asked: str | None) -> None:
        """Compare everything that can be seen; one recording also over HTTP."""
        known, rows = self.reference.recordings, await self._rows()
        assert {sid: row[0] for sid, row in rows.items()} == {sid: k.state for sid, k in known.items()}
        for sid, (_, code, attempts, spent_s) in rows.items():
            expected = known[sid]
            assert (sid, code, attempts, spent_s) == (sid, expected.code, expected.attempts, expected.spent_s)
        assert await self._events() == {
            sid: [(e.name, e.state, e.attempts) for e in k.events] for sid, k in known.items() if k.events
        }
        assert self._files(known) == {sid: k.files for sid, k in known.items() if k.files}
        assert self._objects(known) == {sid for sid, k in known.items() if k.in_bucket}
        assert self._hosted(known) == {sid for sid, k in known.items() if k.is_hosted}
        if asked is not None:
            await self._answers(asked, known.get(asked))

    async def _answers(self, sid: str, expected: Known | None) -> None:
        answer = await self._caller.get(f"{self._caller.account_path}/Recordings/{sid}.json")
        status, words, code = status_of(expected) if expected else (404, None, None)
        assert answer.status == status
        if status == 200:
            told = answer.json()
            assert (told["status"], told["error_code"]) == (words, code)

    async def _row(self, sid: str) -> Recording:
        found = await self.parts.ledger.recordings.find_for_work(RecordingSid(sid))
        assert found is not None
        return found

    async def _rows(self) -> dict[str, tuple[str, int | None, int, float]]:
        query = text("SELECT sid, state, error_code, attempts, retry_spent_s FROM recordings WHERE account_sid = :a")
        async with self.parts.ledger.engine.connect() as connection:
            found = await connection.execute(query, {"a": self.stage.account_sid})
            return {row[0]: (row[1], row[2], row[3], row[4]) for row in found}

    async def _events(self) -> dict[str, list[tuple[str, str, int]]]:
        query = text(
            "SELECT recording_sid, event, state, attempts FROM outbox WHERE account_sid = :a ORDER BY position"
        )
        told: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        async with self.parts.ledger.engine.connect() as connection:
            for sid, event, state, attempts in await connection.execute(query, {"a": self.stage.account_sid}):
                told[sid].append((event, state, attempts))
        known = self.reference.recordings
        return {sid: events for sid, events in told.items() if sid in known}

    def _files(self, known: dict[str, Known]) -> dict[str, int]:
        counted: dict[str, int] = defaultdict(int)
        spool = self.parts.spool
        for path in [p for d in (spool.tmp, spool.ready, spool.quarantine) for p in d.iterdir()]:
            counted[path.name[:34]] += 1
        assert sum(n for name, n in counted.items() if name not in known) == self.reference.orphans
        return {sid: n for sid, n in counted.items() if sid in known}

    def _objects(self, known: dict[str, Known]) -> set[str]:
        held = {key.rpartition("/")[2]: self.s3.versions(BUCKET, key) for key in self.s3.keys(BUCKET)}
        assert all(len(contents) == 1 for contents in held.values())
        return held.keys() & known.keys()

    def _hosted(self, known: dict[str, Known]) -> set[str]:
        names = {path.name for path in self._storage.rglob("RE*") if path.is_file()}
        return {sid for sid in known if any(name.startswith(sid) for name in names)}


class _NoOs:
    """In place of `os` at a fail point: dying is an exception that nothing catches."""

    @staticmethod
    def getpid() -> int:
        return os.getpid()

    @staticmethod
    def kill(_: int, number: int) -> None:
        assert number == signal.SIGKILL
        raise Died


class dying_at:
    """Until left, the process dies at this fail point (None: nowhere)."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(failpoints, "os", _NoOs)
        self._patch.setattr(failpoints, "_ARMED", self._name or "")

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


@asynccontextmanager
async def opened_life(home: Path, database_url: str) -> AsyncIterator[Life]:
    """An installation with a listener, a bucket and a receiver."""
    clock = SetClock()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = load_settings(
        data_dir=home / "data",
        allowed_private_networks="127.0.0.0/8",
        retry_window_seconds=WINDOW_S,
        retry_base_seconds=BASE_S,
        retry_cap_seconds=CAP_S,
    )
    async with AsyncExitStack() as stack:
        s3 = await stack.enter_async_context(EmbeddedS3(home / "s3", clock=clock))
        s3.create_bucket(BUCKET)
        s3.add_user(*MANAGER)
        parts = await stack.enter_async_context(
            open_parts(settings, database_url=database_url, public_url="http://callreel.test", clock=clock)
        )
        parts.rng = Worst()  # type: ignore[assignment]
        receiver = await stack.enter_async_context(Receiver())
        base = await stack.enter_async_context(serving(parts))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Life(parts, clock, s3, receiver, partial(Caller, session, base), settings.storage_dir)
