"""What a restart of very many parked recordings takes, and over how long a time it lets them drain."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import text

from benchmarks.figures import Figure, Ratio
from benchmarks.installation import Installation
from callreel.model.recording import State
from callreel.steps.restart import PAGE, RESTARTS_PER_S, Pace, restart_all

LEAST_PER_S = 5 * RESTARTS_PER_S  # or it would lag behind its own pace while everybody works
# A row as the one that was handed in, again and again; nothing reads their media here.
_COPY = """
INSERT INTO recordings SELECT (jsonb_populate_record(r, jsonb_build_object(
    'sid', 'RE' || md5(n::text), 'object_key', md5(n::text), 'object_url', md5(n::text)))).*
FROM recordings r, generate_series(1, :count) n WHERE r.sid = :sid
"""
_SPAN = "SELECT extract(epoch FROM max(next_attempt_at) - min(date_updated)) FROM recordings WHERE NOT state = 'parked'"


async def restart_of_many(installation: Installation, path: Path, count: int) -> Figure:
    """So many parked recordings of one account are restarted, as `callreel deliveries restart --all` does it."""
    ledger = installation.parts.ledger
    (sid,) = await installation.accept([path])
    await ledger.move(await ledger.recordings.fetch(installation.account.sid, sid), State.PARKED)
    async with ledger.engine.begin() as transaction:
        await transaction.execute(text(_COPY), {"sid": sid, "count": count - 1})
    began = time.perf_counter()
    restarted = await _restart_everything(installation)
    wall_s = time.perf_counter() - began
    async with ledger.engine.connect() as connection:
        span_s = float((await connection.execute(text(_SPAN))).scalar_one())
    if restarted != count:
        raise RuntimeError(f"{restarted} of {count} were restarted")
    rate, pace = restarted / wall_s, restarted / span_s
    ratios = (
        Ratio("restarted, a second", round(rate, 1), f"≥ {LEAST_PER_S:g}", rate >= LEAST_PER_S),
        Ratio("due, a second", round(pace, 1), f"≤ {RESTARTS_PER_S * 1.01:g}", pace <= RESTARTS_PER_S * 1.01),
    )
    return Figure(f"a restart of {count:,} parked recordings", count, (), ratios)


async def _restart_everything(installation: Installation) -> int:
    parts, pace, restarted = installation.parts, Pace(), 0
    while page := await parts.ledger.recordings.list_unfinished(
        account_sid=None, states=frozenset({State.PARKED}), limit=PAGE
    ):
        restarted += await restart_all(page, ledger=parts.ledger, buckets=parts.buckets, clock=parts.clock, pace=pace)
    return restarted
