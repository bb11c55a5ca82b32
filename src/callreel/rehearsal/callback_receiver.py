"""Somebody who receives callbacks on loopback and remembers them, to be asked afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web


@dataclass(frozen=True, slots=True)
class ReceivedCallback:
    """One callback as it came. `url` is the whole URL that was called, `parameters` the decoded form."""

    url: str
    parameters: tuple[tuple[str, str], ...]
    signature: str
    idempotency_token: str

    def __getitem__(self, name: str) -> str:
        """A parameter's value; empty when it did not come."""
        return dict(self.parameters).get(name, "")


class CallbackReceiver:
    """The receiver, as a context: `async with CallbackReceiver() as receiver`. Answers 204 to everything."""

    def __init__(self) -> None:
        self.received: list[ReceivedCallback] = []
        self.url = ""
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._receive, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def until(self, enough: Callable[[list[ReceivedCallback]], bool]) -> None:
        """Wait until what came is enough. Bound it with `asyncio.timeout`."""
        async with self._changed:
            await self._changed.wait_for(lambda: enough(self.received))

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        form = (await request.read()).decode()
        callback = ReceivedCallback(
            url=f"{self.url}{request.raw_path}",
            parameters=tuple(parse_qsl(form, keep_blank_values=True)),
            signature=request.headers.get("X-Twilio-Signature", ""),
            idempotency_token=request.headers.get("I-Twilio-Idempotency-Token", ""),
        )
        async with self._changed:
            self.received.append(callback)
            self._changed.notify_all()
        return web.Response(status=204)
