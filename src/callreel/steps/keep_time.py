"""Keep time: compare the two clocks with what they said last, and say so when the wall clock cannot be believed."""

from __future__ import annotations

import structlog

from callreel.clock import Clock, boot_id
from callreel.ledger.ledger import Ledger
from callreel.model.time_trust import Beat, Trust

log = structlog.get_logger("callreel.time")


async def keep_time(host_id: str, *, ledger: Ledger, clock: Clock) -> Trust:
    """Write this worker's heartbeat down. While the answer is not whole, nothing may go because its time has come."""
    trust = await ledger.heartbeats.beat(host_id, Beat(boot_id(), clock.now(), clock.monotonic()))
    if not trust.is_whole:
        log.error(
            "the wall clock is distrusted: nothing is purged or erased",
            why=trust.why,
            since=str(trust.lost_at),
            sane_s=round(trust.sane_s),
            remedy="callreel clock confirm, once the time is right",
        )
    return trust
