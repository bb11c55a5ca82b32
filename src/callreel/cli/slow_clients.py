"""What a connection may cost: time for a head, a rate for a body, patience with who does not read.

Plain arithmetic on times that are given; `HttpProtocol` tells what happens, `Watch.look` is told what time it is.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

HEAD_S = 10.0  # for the whole head, from the first byte or the connection
BODY_WINDOW_S = 30.0
BODY_BYTES_A_SECOND = 500  # less over a window is nobody's upload: GSM speech alone is 1,650
READ_S = 60.0  # one buffer of 64 KiB must have been read within
HEAD_BYTES = 64 * 1024
HEADERS = 200
FROM_ONE_ADDRESS = 256


@dataclass(slots=True, eq=False)
class Conduct:
    """How one connection behaves. Times are of the event loop's clock; None is: not waiting for that."""

    close: Callable[[str], None]
    is_paused: Callable[[], bool] = bool  # True while it is us who do not read
    address: str = ""
    head_since: float | None = None
    body_since: float | None = None
    body_bytes: int = 0
    unread_since: float | None = None

    def why_too_slow(self, now: float) -> str | None:
        """What the client has kept us waiting for; None while it is quick enough."""
        if self.head_since is not None and now - self.head_since > HEAD_S:
            return "head"
        if self.unread_since is not None and now - self.unread_since > READ_S:
            return "reader"
        if self.body_since is None or (now - self.body_since < BODY_WINDOW_S and not self.is_paused()):
            return None
        if not self.is_paused() and self.body_bytes < BODY_BYTES_A_SECOND * (now - self.body_since):
            return "body"
        self.body_since, self.body_bytes = now, 0
        return None


@dataclass(slots=True)
class Watch:
    """The connections of one listener, and how many there are from each address."""

    from_one_address: int = FROM_ONE_ADDRESS
    conducts: set[Conduct] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)

    def admit(self, conduct: Conduct) -> bool:
        """Take note of a new connection; False when its address has as many as one may have.

        Addresses of the house are not counted: a reverse proxy brings everybody from one of them.
        """
        if _is_public(conduct.address):
            if self.counts[conduct.address] >= self.from_one_address:
                self.closed["address"] += 1
                return False
            self.counts[conduct.address] += 1
        self.conducts.add(conduct)
        return True

    def forget(self, conduct: Conduct) -> None:
        """The connection is gone. May be told twice."""
        if conduct not in self.conducts:
            return
        self.conducts.discard(conduct)
        if conduct.address in self.counts:
            self.counts[conduct.address] -= 1
            if self.counts[conduct.address] <= 0:
                del self.counts[conduct.address]

    def look(self, now: float) -> None:
        """Close every connection whose client is too slow by now."""
        for conduct in list(self.conducts):
            why = conduct.why_too_slow(now)
            if why is not None:
                self.closed[why] += 1
                self.forget(conduct)
                conduct.close(why)


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_global
    except ValueError:
        return False
