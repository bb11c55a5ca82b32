"""Forget the renditions of what is no longer there."""

from __future__ import annotations

from callreel.ledger.recordings import Recordings
from callreel.media.rendition_cache import RenditionCache
from callreel.model.recording import COMPLETED

TOGETHER = 500


async def forget_renditions(*, recordings: Recordings, renditions: RenditionCache) -> int:
    """Remove what is kept of recordings that are not completed any more. Returns of how many; may be repeated.

    A deletion forgets its renditions itself; this finds what was encoded while it happened, or deleted by
    another process.
    """
    kept = sorted(renditions.kept_sids())
    forgotten = 0
    for i in range(0, len(kept), TOGETHER):
        there = await recordings.find_all_for_recovery(kept[i : i + TOGETHER])
        for sid in kept[i : i + TOGETHER]:
            if sid not in there or there[sid].state not in COMPLETED:
                await renditions.forget(sid)
                forgotten += 1
    return forgotten
