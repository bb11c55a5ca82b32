"""SIGTERM and SIGINT: the first one stops gracefully, the second exits at once."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Listens from the moment it is made, before, in and after the event loop."""

    def __init__(self) -> None:
        self.asked = False
        self._event: asyncio.Event | None = None
        self.listen()

    def listen(self) -> None:
        """Take the signals outside an event loop, which puts the defaults back when it closes."""
        for number in SIGNALS:
            signal.signal(number, self._outside)

    def in_loop(self) -> asyncio.Event:
        """The event that the first signal sets, in the running loop."""
        self._event = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._inside, number)
        return self._event

    def _inside(self, number: int) -> None:
        self._exit_if_second(number)
        assert self._event is not None
        self._event.set()

    def _outside(self, number: int, frame: FrameType | None) -> None:
        was_running = self._event is not None
        self._exit_if_second(number)
        if not was_running:  # before there was anything to finish; what was started is stopped on the way out
            raise SystemExit(0)

    def _exit_if_second(self, number: int) -> None:
        if self.asked:
            os._exit(128 + number)
        self.asked = True
