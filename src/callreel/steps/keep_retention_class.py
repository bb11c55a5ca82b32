"""Change an account's retention classes, once it was said what that touches."""

from __future__ import annotations

from typing import Any

from callreel.clock import Clock
from callreel.errors import InvalidParameter, NotConfirmed
from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Action, Actor, changes
from callreel.model.retention_class import MOST_CLASSES, RetentionClass, Touched
from callreel.model.sid import AccountSid


async def dry_run(kept: RetentionClass, *, ledger: Ledger, clock: Clock) -> Touched:
    """What keeping this class, new or changed, would touch. Raises what `check` raises."""
    kept.check()
    before = await ledger.retention_classes.of_account(kept.account_sid)
    after = [each for each in before if each.sid != kept.sid] + [kept]
    if len(after) > MOST_CLASSES:
        raise InvalidParameter(f"An account has at most {MOST_CLASSES} retention classes")
    return await ledger.retention_classes.touched(kept.account_sid, before, after, now=clock.now())


async def keep_retention_class(
    kept: RetentionClass, *, confirmed: int, ledger: Ledger, clock: Clock, by: Actor = CALLREEL
) -> Touched:
    """Save a class. Its times hold at once, for recordings that are there too; its lock for deliveries from now on.

    Raises `NotConfirmed` when recordings would be deleted at once and their number is not the confirmed one.
    """
    touched = await dry_run(kept, ledger=ledger, clock=clock)
    _check(touched, confirmed)
    before = next((c for c in await ledger.retention_classes.of_account(kept.account_sid) if c.sid == kept.sid), None)
    action = Action.RETENTION_CLASS_CHANGED if before else Action.RETENTION_CLASS_CREATED
    told = changes(_told(before) if before else {}, _told(kept))
    deed = by.deed(action, kept.account_sid, kept.sid, changes=told, deleted_at_once=touched.deleted_at_once)
    await ledger.retention_classes.keep(kept, deed=deed)
    return touched


async def dry_run_removal(account_sid: AccountSid, sid: str, *, ledger: Ledger, clock: Clock) -> Touched:
    """What removing a class would touch. Raises `NotFound`."""
    removed = await ledger.retention_classes.fetch(account_sid, sid)
    before = await ledger.retention_classes.of_account(account_sid)
    after = [each for each in before if each.sid != removed.sid]
    return await ledger.retention_classes.touched(account_sid, before, after, now=clock.now())


async def remove_retention_class(
    account_sid: AccountSid, sid: str, *, confirmed: int, ledger: Ledger, clock: Clock, by: Actor = CALLREEL
) -> None:
    """Forget a class: its recordings fall to the next one that fits. Raises `NotFound` and `NotConfirmed`."""
    touched = await dry_run_removal(account_sid, sid, ledger=ledger, clock=clock)
    _check(touched, confirmed)
    removed = await ledger.retention_classes.fetch(account_sid, sid)
    told = _told(removed) | {"deleted_at_once": touched.deleted_at_once}
    deed = by.deed(Action.RETENTION_CLASS_DELETED, account_sid, sid, **told)
    await ledger.retention_classes.remove(account_sid, sid, deed=deed)


def _told(kept: RetentionClass) -> dict[str, Any]:
    """What the audit keeps of a class."""
    names = ("friendly_name", "position", "kind", "source", "campaign", "keep_days", "lock_mode", "lock_days")
    return {name: getattr(kept, name) for name in names}


def _check(touched: Touched, confirmed: int) -> None:
    count = touched.deleted_at_once
    if count and count != confirmed:
        raise NotConfirmed(
            f"{count} recordings would be over at once and be deleted. Look at them with DryRun=true, "
            f"then send Confirm={count}"
        )
