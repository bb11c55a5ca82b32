"""I1, I4, I9, I14, I15, I17, I18: what is asked of tables and directories as a whole, not of one recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from callreel.examine.finding import Finding, Note, Violation
from callreel.examine.scene import Scene
from callreel.ledger import examination

KEY_MAY_STAY = timedelta(minutes=20)  # twice the time between two rounds of the clockwork, which destroys it


async def nothing_lost(scene: Scene) -> AsyncIterator[Finding]:
    """I1: whoever was born, or promised under an idempotency key, has a row or a tombstone, and a key to its media."""
    async for finding in scene.ledger.examination.missing(scene.account_sid):
        yield _violation("I1", finding)
    async for finding in scene.ledger.examination.without_account_key(scene.account_sid):
        yield _violation("I1", finding)


async def keys_destroyed(scene: Scene) -> AsyncIterator[Finding]:
    """I14: nothing opens a forgotten copy of what was deleted, nor of an account that is closed and done with."""
    before = scene.clock.now() - KEY_MAY_STAY
    async for finding in scene.ledger.examination.keys_left(scene.account_sid, before=before):
        yield _violation("I14", finding)


async def keys_of_their_own(scene: Scene) -> AsyncIterator[Finding]:
    """I4: no two recordings share an object key."""
    async for finding in scene.ledger.examination.shared_keys(scene.account_sid):
        yield _violation("I4", finding)


async def kept_long_enough(scene: Scene) -> AsyncIterator[Finding]:
    """I9: nothing was purged before its time."""
    async for finding in scene.ledger.examination.early_purges(scene.account_sid):
        yield _violation("I9", finding)


async def one_account_each(scene: Scene) -> AsyncIterator[Finding]:
    """I15: whatever belongs to a recording belongs to its account."""
    async for finding in scene.ledger.examination.strange_accounts(scene.account_sid):
        yield _violation("I15", finding)


async def audit_holds(scene: Scene) -> AsyncIterator[Finding]:
    """I17: the audit's chains of hashes hold, from their first row to their heads."""
    for broken in await scene.ledger.audit.find_broken(scene.account_sid):
        yield Violation(invariant="I17", subject=f"{broken.chain} row {broken.number}", text=broken.what)


async def quarantine_kept(scene: Scene) -> AsyncIterator[Finding]:
    """I18: what went to quarantine is there, or somebody said why it went."""
    if scene.account_sid is not None:
        return
    async for kept in scene.ledger.examination.quarantined(scene.spool.host_id):
        is_there = await asyncio.to_thread((scene.spool.quarantine / kept.name).exists)
        if kept.date_removed is None and not is_there:
            text = f"went to quarantine on {kept.date_created:%Y-%m-%d} and is gone; nobody said why"
            yield Violation(invariant="I18", subject=kept.name, text=text)
        elif kept.date_removed is None:
            text = "files nobody can explain are in quarantine; look at them with: callreel quarantine list"
            yield Note(invariant="I18", subject=scene.spool.host_id, text=text)


def _violation(invariant: str, finding: examination.Finding) -> Violation:
    return Violation(invariant=invariant, subject=finding.subject, text=finding.text)
