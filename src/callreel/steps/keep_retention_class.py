"""Change an account's retention classes, once it was said what that touches."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import InvalidParameter, NotConfirmed
from callreel.ledger.ledger import Ledger
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


async def keep_retention_class(kept: RetentionClass, *, confirmed: int, ledger: Ledger, clock: Clock) -> Touched:
    """Save a class. Its times hold at once, for recordings that are there too; its lock for deliveries from now on.

    Raises `NotConfirmed` when recordings would be deleted at once and their number is not the confirmed one.
    """
    touched = await dry_run(kept, ledger=ledger, clock=clock)
    _check(touched, confirmed)
    await ledger.retention_classes.keep(kept)
    return touched


async def dry_run_removal(account_sid: AccountSid, sid: str, *, ledger: Ledger, clock: Clock) -> Touched:
    """What removing a class would touch. Raises `NotFound`."""
    removed = await ledger.retention_classes.fetch(account_sid, sid)
    before = await ledger.retention_classes.of_account(account_sid)
    after = [each for each in before if each.sid != removed.sid]
    return await ledger.retention_classes.touched(account_sid, before, after, now=clock.now())


async def remove_retention_class(
    account_sid: AccountSid, sid: str, *, confirmed: int, ledger: Ledger, clock: Clock
) -> None:
    """Forget a class: its recordings fall to the next one that fits. Raises `NotFound` and `NotConfirmed`."""
    _check(await dry_run_removal(account_sid, sid, ledger=ledger, clock=clock), confirmed)
    await ledger.retention_classes.remove(account_sid, sid)


def _check(touched: Touched, confirmed: int) -> None:
    count = touched.deleted_at_once
    if count and count != confirmed:
        raise NotConfirmed(
            f"{count} recordings would be over at once and be deleted. Look at them with DryRun=true, "
            f"then send Confirm={count}"
        )
