"""What a process does that will be killed: one deed with the opened parts of an installation that exists already."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from callreel import failpoints
from callreel.app import open_parts
from callreel.clock import SystemClock
from callreel.ledger.database import migrate, open_engine
from callreel.model.intake import Intake
from callreel.model.recording import CallbackWish
from callreel.model.sid import AccountSid, RecordingSid
from callreel.parts import Parts
from callreel.settings import load_settings
from callreel.steps.ingest import ingest
from callreel.steps.purge import purge
from callreel.worker.routes import carry, steps_of, tell
from tests.stage import in_pieces

EVENTS = ("in-progress", "completed", "absent", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """`what` is done to recording `sid`; "take in" takes `body` in and writes its SID to `acknowledged`."""

    what: str
    data_dir: Path
    database_url: str
    failpoint: str
    account_sid: str
    sid: str | None
    body: Path
    acknowledged: Path


def do(deed: Deed) -> None:
    """Run in a process of its own; ends with SIGKILL when the fail point is reached."""
    os.environ["CALLREEL_FAILPOINT"] = deed.failpoint
    failpoints._ARMED = deed.failpoint  # this process was forked from one that had read the variable before
    asyncio.run(_do(deed))


async def _do(deed: Deed) -> None:
    if deed.what == "migrate":
        await migrate(open_engine(deed.database_url))
        return
    settings = load_settings(data_dir=deed.data_dir, allowed_private_networks="127.0.0.0/8")
    async with open_parts(
        settings, database_url=deed.database_url, public_url="http://callreel.test", clock=SystemClock()
    ) as parts:
        if deed.what == "take in":
            await _take_in(deed, parts)
        elif deed.what == "tell":
            await tell(str(deed.sid), parts=parts, is_crowded=lambda: False)
        elif deed.what == "purge":
            await purge(ledger=parts.ledger, clock=parts.clock)
        else:
            await carry(RecordingSid(str(deed.sid)), parts=parts, steps=steps_of(parts))


async def _take_in(deed: Deed, parts: Parts) -> None:
    body = deed.body.read_bytes()
    recording = await ingest(
        in_pieces(body),
        Intake(
            account_sid=AccountSid(deed.account_sid),
            callback=CallbackWish(url="http://r.example.com/cb", events=EVENTS),
            idempotency_key="key",
        ),
        announced_bytes=len(body),
        limit_bytes=1 << 30,
        births=parts.births,
        keyring=parts.keyring,
        index=parts.index,
    )
    deed.acknowledged.write_text(recording.sid)
