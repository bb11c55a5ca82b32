"""What moving needs, joined once: the shelves, the source opener, and whoever carries a recording to its bucket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from callreel.births import Births
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.model.recording import Recording
from callreel.model.sid import RecordingSid
from callreel.sealing.receipt_key import ReceiptKey
from callreel.spool.spool import Spool

Carry = Callable[[RecordingSid, Recording | None], Awaitable[Recording | None]]
"""Given a recording as it was just written, it need not be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """The shelves by name. `carry` takes a recording from step to step as far as it goes now."""

    ledger: Ledger
    spool: Spool
    births: Births
    buckets: Buckets
    receipt_key: ReceiptKey
    clock: Clock
    rng: Random
    carry: Carry
    max_bytes: int
