"""Save what an account chose about deleting."""

from __future__ import annotations

from dataclasses import asdict, replace

from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Action, Actor, changes
from callreel.model.deletion_settings import DEFAULT, DeletionSettings
from callreel.model.sid import AccountSid


async def choose_deletion(
    account_sid: AccountSid, sent: dict[str, bool | None], *, ledger: Ledger, clock: Clock, by: Actor = CALLREEL
) -> DeletionSettings:
    """Change the settings named in `sent`; None is the default again. What is not named keeps its value."""
    before = await ledger.deletion_settings.of(account_sid)
    values = {name: getattr(DEFAULT, name) if value is None else value for name, value in sent.items()}
    chosen = replace(before, **values)
    if chosen != before:
        told = changes(asdict(before), asdict(chosen))
        deed = by.deed(Action.DELETION_SETTINGS_CHANGED, account_sid, account_sid, changes=told)
        await ledger.deletion_settings.keep(account_sid, chosen, now=clock.now(), deed=deed)
    return chosen
