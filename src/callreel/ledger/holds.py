"""Legal holds: set and lifted on the recording's own row, so that the move which would delete it sees them."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.ledger.audit import write_deeds
from callreel.ledger.tables import recordings
from callreel.model.deed import Actor, Deed
from callreel.model.recording import State
from callreel.model.sid import AccountSid, RecordingSid

NOTHING_TO_HOLD = (State.DELETING, State.DELETED, State.PURGED, State.ERASED, State.ABSENT)


class Holds:
    """Writes holds. They are read with the recording."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    async def set(self, account_sid: AccountSid, sid: RecordingSid, *, reason: str, by: Actor, deed: Deed) -> bool:
        """Hold a recording, from this commit on. False when it is held already, or there is nothing to hold."""
        now = self._clock.now()
        c = recordings.c
        statement = (
            update(recordings)
            .where(
                c.sid == sid,
                c.account_sid == account_sid,
                c.legal_hold_at.is_(None),
                c.state.not_in(NOTHING_TO_HOLD),
            )
            .values(legal_hold_reason=reason, legal_hold_by=by.name, legal_hold_at=now)
        )
        async with self._engine.begin() as transaction:
            held = bool((await transaction.execute(statement)).rowcount)
            await write_deeds(transaction, [deed] if held else [], now=now)
        return held

    async def lift(self, account_sid: AccountSid, sid: RecordingSid, *, deed: Deed) -> bool:
        """Lift the hold of a recording. False when there was none."""
        c = recordings.c
        statement = (
            update(recordings)
            .where(c.sid == sid, c.account_sid == account_sid, c.legal_hold_at.is_not(None))
            .values(legal_hold_reason=None, legal_hold_by=None, legal_hold_at=None)
        )
        async with self._engine.begin() as transaction:
            lifted = bool((await transaction.execute(statement)).rowcount)
            await write_deeds(transaction, [deed] if lifted else [], now=self._clock.now())
        return lifted
