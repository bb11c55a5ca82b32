"""How long to try: attempts and time spent become a time for the next try, or the end of trying."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

WINDOW_S = 7200.0  # Twilio retries an upload to external storage for two hours
BASE_S = 1.0
CAP_S = 300.0
CONFIRM_S = 5.0  # a fatal answer is believed when it is given again on a new connection, at least this much later


@dataclass(frozen=True, slots=True)
class TryAgainIn:
    """Wait this many seconds, then try once more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Park:
    """The window is used up: no timer may touch it, a person restarts it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The installation's window and its back-off, in seconds."""

    window_s: float = WINDOW_S
    base_s: float = BASE_S
    cap_s: float = CAP_S

    def after_a_stumble(
        self, attempts: int, spent_s: float, rng: Random, *, asked_s: float | None = None
    ) -> TryAgainIn | Park:
        """Full jitter up to the cap; after the window, park.

        `attempts` counts the tries so far, this one included; `spent_s` the seconds of the window they used;
        `asked_s` is the server's Retry-After, obeyed up to the cap.
        """
        if spent_s >= self.window_s:
            return Park()
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempts, 32))
        wait = rng.uniform(0, ceiling)
        if asked_s is not None:
            wait = max(wait, min(asked_s, self.cap_s))
        return TryAgainIn(wait)
