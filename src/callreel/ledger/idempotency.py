"""Idempotency keys of creates: the first request makes the thing, a repetition is answered with it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from callreel.errors import IdempotencyConflict
from callreel.ledger.tables import idempotency_keys
from callreel.model.sid import AccountSid


async def claim_key(
    transaction: AsyncConnection,
    account_sid: AccountSid,
    key: str | None,
    *,
    request_hash: str,
    resource_sid: str,
    now: datetime,
) -> str | None:
    """Claim a key for the thing this transaction makes. None when it is ours, or when there is no key.

    Returns the SID of the thing an earlier request with the same parameters made; then nothing is to be made. A
    concurrent request with the same key waits here until this transaction ends. Raises `IdempotencyConflict`.
    """
    if key is None:
        return None
    claimed = await transaction.execute(
        upsert(idempotency_keys)
        .on_conflict_do_nothing()
        .values(
            account_sid=account_sid, key=key, request_hash=request_hash, resource_sid=resource_sid, date_created=now
        )
    )
    if claimed.rowcount:
        return None
    c = idempotency_keys.c
    first = (
        await transaction.execute(
            select(c.request_hash, c.resource_sid).where(c.account_sid == account_sid, c.key == key)
        )
    ).one()
    if first.request_hash != request_hash:
        raise IdempotencyConflict()
    return str(first.resource_sid)
