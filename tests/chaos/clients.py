"""The people of a storm: they hand in, send again until they are answered 201, delete, restart and are called back."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES
from tests.chaos.processes import BUCKET, KEY_ID, SECRET
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import a_wav

EVENTS = ("in-progress", "completed", "absent", "failed")
OWED_TO_ALL = frozenset({"in-progress", "completed"})  # everything is delivered in the end
SEND_AGAIN_S = 0.15
ANSWER_LIMIT_S = 20.0
LARGE_S = 1.2 * MULTIPART_ABOVE_BYTES / 16_000
EXPECTED_NOES = frozenset({429, 503, 507})


@dataclass(frozen=True, slots=True)
class Customer:
    """One account and what it chose."""

    name: str
    sid: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": aiohttp.encode_basic_auth(self.sid, self.token)}


@dataclass(frozen=True, slots=True)
class Handed:
    """A recording as its client has it: what was sent, and what it was told."""

    number: int
    account_sid: str
    sha256: str
    size_bytes: int


@dataclass(slots=True)
class Notebook:
    """What only those outside know."""

    acknowledged: dict[str, Handed] = field(default_factory=dict)
    sid_of_key: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)
    sent: int = 0
    sent_again: int = 0
    restarted: int = 0
    noes: Counter[int] = field(default_factory=Counter)


class Receiver:
    """Takes callbacks, now and then badly, and counts them by recording, event and token."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.told: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.calls = self.refused = 0
        self.is_calm = False
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(self._receive, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        self.calls += 1
        if not self.is_calm and self._rng.random() < 0.05:
            self.refused += 1
            return web.Response(status=503)
        token = request.headers.get("I-Twilio-Idempotency-Token", "")
        self.told[form.get("RecordingSid", "")][form.get("RecordingStatus", "")].add(token)
        abort = getattr(request.transport, "abort", None)  # not by its class, which uvloop's does not have
        if not self.is_calm and self._rng.random() < 0.03 and abort is not None:
            abort()  # taken, and the sender never hears of it
        return web.Response(status=204)


class Crowd:
    """Everybody who talks to the service, from one seed."""

    def __init__(self, url: str, s3_url: str, receiver: Receiver, notebook: Notebook, *, seed: int) -> None:
        self._url, self._s3_url, self._receiver, self.notebook, self._seed = url, s3_url, receiver, notebook, seed
        self.customers: list[Customer] = []
        self._broken_credential = ""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=64, force_close=True)  # who is answered by a corpse asks anew
        timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
        async with aiohttp.ClientSession(self._url, connector=connector, timeout=timeout) as self._http:
            yield

    # --- Before ------------------------------------------------------------------------------------------------------

    async def settle(self, main: dict[str, str]) -> None:
        """Four customers: an open bucket, one encrypted, none at all, and one whose key the bucket does not know."""
        first = Customer("plain", main["sid"], main["auth_token"])
        self.customers = [first]
        for name in ("encrypted", "hosted", "broken"):
            path = "/2010-04-01/Accounts.json"
            made = await self._ask("POST", path, first, data={"FriendlyName": name})
            self.customers.append(Customer(name, made["sid"], made["auth_token"]))
        plain, encrypted, _, broken = self.customers
        await self._choose(plain, await self._keep_key(plain, SECRET))
        key = await self._ask(
            "POST", "/v1/Credentials/PublicKeys", encrypted, data={"PublicKey": public_pem(rsa_key())}
        )
        wishes = {"EncryptionEnabled": "true", "EncryptionKeySid": key["sid"]}
        await self._choose(encrypted, await self._keep_key(encrypted, SECRET), **wishes)
        await self._choose(broken, await self._keep_key(broken, "not-the-secret-of-this-bucket-000000000"))

    async def repair(self) -> None:
        """The owner of the broken bucket notices, and saves another credential."""
        broken = self.customers[3]
        await self._until_done(lambda: self._repair(broken))

    async def _repair(self, broken: Customer) -> None:
        await self._choose(broken, await self._keep_key(broken, SECRET))

    async def _keep_key(self, customer: Customer, secret: str) -> str:
        made = await self._ask("POST", "/v1/Credentials/AWS", customer, data={"Credentials": f"{KEY_ID}:{secret}"})
        return str(made["sid"])

    async def _choose(self, customer: Customer, credential_sid: str, **wishes: str) -> None:
        where = {
            "AwsCredentialsSid": credential_sid,
            "AwsS3Url": f"{self._s3_url}/{BUCKET}/{customer.name}",
            "AwsStorageEnabled": "true",
        }
        path = f"/callreel/v1/Accounts/{customer.sid}/RecordingSettings/Voice"
        await self._ask("POST", path, customer, data=where | wishes)

    async def _ask(self, method: str, path: str, customer: Customer, **what: Any) -> dict[str, Any]:
        async with self._http.request(method, path, headers=customer.headers, **what) as answer:
            if answer.status not in (200, 201):
                raise Refusal(answer.status, await answer.text())
            return dict(await answer.json())

    async def _until_done(self, deed: Any) -> None:
        while True:
            try:
                await deed()
                return
            except (aiohttp.ClientError, TimeoutError, Refusal):
                await asyncio.sleep(SEND_AGAIN_S)

    # --- During ------------------------------------------------------------------------------------------------------

    def recording(self, number: int, *, large_every: int) -> tuple[Customer, bytes]:
        """The recording of this number: the same for the same seed."""
        rng = Random(f"{self._seed}:{number}")
        customer = rng.choices(self.customers, weights=[55, 20, 10, 15])[0]
        is_large = number % large_every == large_every - 1
        seconds = LARGE_S if is_large else rng.uniform(0.02, 2.0)
        return customer, a_wav(seconds=seconds, seed=self._seed * 1_000_003 + number)

    async def hand_in(self, number: int, *, large_every: int) -> None:
        """Send until it is answered 201, under one key; sometimes once more, to be told the same."""
        customer, media = await asyncio.to_thread(self.recording, number, large_every=large_every)
        handed = Handed(number, customer.sid, hashlib.sha256(media).hexdigest(), len(media))
        key = f"storm-{self._seed}-{number}"
        rng = Random(f"again:{self._seed}:{number}")
        for _ in range(1 + (rng.random() < 0.1)):
            sid = await self._send(customer, key, media)
            self.notebook.acknowledged[sid] = handed
            if self.notebook.sid_of_key.setdefault(key, sid) != sid:
                self.notebook.strange.append(f"{key} was answered with {sid} and {self.notebook.sid_of_key[key]}")

    async def _send(self, customer: Customer, key: str, media: bytes) -> str:
        path = f"/callreel/v1/Accounts/{customer.sid}/Recordings"
        query = [("RecordingStatusCallback", f"{self._receiver.url}/told")]
        query += [("RecordingStatusCallbackEvent", event) for event in EVENTS]
        headers = customer.headers | {"Content-Type": "audio/x-wav", "Idempotency-Key": key}
        while True:
            self.notebook.sent += 1
            try:
                async with self._http.post(path, params=query, data=io.BytesIO(media), headers=headers) as answer:
                    if answer.status == 201:
                        return str((await answer.json())["sid"])
                    self._note(answer.status, f"a recording was answered with {answer.status}: {await answer.text()}")
            except (aiohttp.ClientError, TimeoutError, ValueError):
                pass  # no answer, or half of one: whether it was kept only sending again will tell
            self.notebook.sent_again += 1
            await asyncio.sleep(SEND_AGAIN_S)

    def _note(self, status: int, words: str) -> None:
        self.notebook.noes[status] += 1
        if status not in EXPECTED_NOES:
            self.notebook.strange.append(words[:300])

    async def delete(self, sid: str) -> None:
        """Delete a recording, as soon as it is completed; asked again until it is certain."""
        handed = self.notebook.acknowledged[sid]
        customer = next(c for c in self.customers if c.sid == handed.account_sid)
        unsure = False
        while True:
            try:
                path = f"/2010-04-01/Accounts/{customer.sid}/Recordings/{sid}.json"
                async with self._http.delete(path, headers=customer.headers) as answer:
                    if answer.status == 204 or (answer.status == 404 and unsure):
                        self.notebook.deleted.add(sid)
                        return
                    if answer.status == 404:
                        self.notebook.strange.append(f"{sid} was acknowledged and is not found")
                        return
            except (aiohttp.ClientError, TimeoutError):
                unsure = True
            await asyncio.sleep(0.5)

    async def restart_all(self) -> None:
        """An operator restarts what was parked or held, of every customer. Nothing comes of it while nobody answers."""
        for customer in self.customers:
            try:
                path = f"/callreel/v1/Accounts/{customer.sid}/Deliveries/Restart"
                said = await self._ask("POST", path, customer, data={"All": "true"})
                self.notebook.restarted += said["restarted"]
            except (aiohttp.ClientError, TimeoutError, Refusal):
                return

    # --- After -------------------------------------------------------------------------------------------------------

    async def unfinished(self) -> int:
        """How many recordings have not reached their bucket, at least; raises while nobody answers."""
        found = 0
        for customer in self.customers:
            path = f"/callreel/v1/Accounts/{customer.sid}/Deliveries"
            found += len((await self._ask("GET", path, customer, params={"PageSize": "1000"}))["deliveries"])
        return found

    def untold(self) -> int:
        """How many recordings their owners were not told all about yet."""
        told = self._receiver.told
        return sum(not (told.keys() >= {sid} and told[sid].keys() >= OWED_TO_ALL) for sid in self.notebook.acknowledged)


class Refusal(Exception):
    """The service said no."""
