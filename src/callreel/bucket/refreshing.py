"""Keys that end, renewed before they do: one request for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from callreel.clock import Clock
from callreel.errors import Final, NotNow
from callreel.model.credential import SessionKey

EARLY = timedelta(minutes=5)  # renewed this long before they end, so that no request is under way when they do
PAUSE_S = 30.0  # after a failed renewal the old keys serve this long before the next try, while they last


class Refreshing:
    """The current keys of one source, fetched when they are first asked for."""

    def __init__(self, fetch: Callable[[], Awaitable[SessionKey]], *, clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._key: SessionKey | None = None
        self._fetching = asyncio.Lock()
        self._not_before = 0.0

    async def current(self) -> SessionKey:
        """Keys that will last for a while. A renewal that fails is no failure while the old ones last.

        Raises what fetching raises.
        """
        if self._key is not None and self._is_fresh(self._key):
            return self._key
        async with self._fetching:
            if self._key is None or not self._is_fresh(self._key):
                await self._renew()
            assert self._key is not None
            return self._key

    def forget(self) -> None:
        """Fetch anew when next asked: somebody refused these keys."""
        self._key = None

    async def _renew(self) -> None:
        if self._key is not None and self._lasts(self._key) and self._clock.monotonic() < self._not_before:
            return
        try:
            self._key = await self._fetch()
        except (NotNow, Final):
            if self._key is None or not self._lasts(self._key):
                raise
            self._not_before = self._clock.monotonic() + PAUSE_S

    def _is_fresh(self, key: SessionKey) -> bool:
        return key.expires_at is None or self._clock.now() < key.expires_at - EARLY

    def _lasts(self, key: SessionKey) -> bool:
        return key.expires_at is None or self._clock.now() < key.expires_at
