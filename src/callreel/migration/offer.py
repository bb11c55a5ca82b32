"""Hear of recordings at a source: what the poller finds and what a webhook reports."""

from __future__ import annotations

from collections.abc import Sequence

from callreel.ledger.ledger import Ledger
from callreel.model.source import Source, SourceRecording
from callreel.spool.spool import Spool


async def offer(
    source: Source,
    found: Sequence[SourceRecording],
    *,
    ledger: Ledger,
    spool: Spool,
    marked_voicemail: bool = False,
) -> int:
    """Take these recordings up to be moved, each once, whoever reports it and how often. Returns how many were new.

    Durable when it returns: the items and the reminder to move them are one transaction. Raises `DatabaseAway`.
    """
    kept_sources = {one.sid: source.kept_as(one, marked_voicemail=marked_voicemail) for one in found}
    return await ledger.items.offer(source, found, host_id=spool.host_id, kept_sources=kept_sources)
