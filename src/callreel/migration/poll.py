"""Look for new recordings at a source: callbacks get lost, and some recordings never have one."""

from __future__ import annotations

from datetime import datetime, timedelta

from callreel.clock import Clock
from callreel.errors import Final, NotNow
from callreel.ledger.ledger import Ledger
from callreel.migration.offer import offer
from callreel.model.source import NEVER_MEDIA, Source, SourceRecording
from callreel.sources import Sources
from callreel.spool.spool import Spool

OVERLAP = timedelta(minutes=15)  # a listing may show a recording later than its date says, and clocks differ
UNFINISHED_MOST = timedelta(hours=48)  # a call lasts a day at most; what is unfinished after two holds nobody up
REFUSED_S = 900.0  # a source that refuses is asked again this late, or at its own pace where that is slower


async def poll(source: Source, *, ledger: Ledger, sources: Sources, spool: Spool, clock: Clock) -> int:
    """Offer what became ready since the last round, and write down how far that was. Returns how many were new.

    New is what was created at or after the source was added. Each round reads a little of the one before again, and
    the mark does not pass a recording that was not ready: so nothing is missed, also over a restart, and what is seen
    twice is taken once. What the source did not answer is written in its row, and the mark stays. Raises
    `DatabaseAway`.
    """
    began = clock.now()
    since = max(source.date_created.replace(microsecond=0), (source.polled_to or source.date_created) - OVERLAP)
    try:
        new, unfinished = await _read(source, since, ledger=ledger, sources=sources, spool=spool)
    except (NotNow, Final) as why:
        rest_s = max(source.poll_seconds, REFUSED_S) if isinstance(why, Final) else source.poll_seconds
        later = clock.now() + timedelta(seconds=rest_s)
        await ledger.sources.note_poll(source, polled_to=None, last_error=why.message, next_poll_at=later)
        return 0
    await ledger.sources.note_poll(
        source,
        polled_to=_mark(began, unfinished),
        last_error=None,
        next_poll_at=began + timedelta(seconds=source.poll_seconds),
    )
    return new


async def _read(
    source: Source, since: datetime, *, ledger: Ledger, sources: Sources, spool: Spool
) -> tuple[int, datetime | None]:
    """How many were new, and when the oldest was created that is not ready yet."""
    account = await sources.open(source)
    accounts = [source.twilio_account_sid]
    if source.include_subaccounts:
        accounts += [below.sid for below in await account.list_subaccounts()]
    new, waiting = 0, list[datetime]()
    for account_sid in accounts:
        next_page: str | None = None
        while True:
            page = await account.list_page(account_sid, created_after=since, next_page=next_page)
            ready = [one for one in page.recordings if one.is_ready]
            if ready:
                new += await offer(source, ready, ledger=ledger, spool=spool)
            waiting += [one.date_created for one in page.recordings if _may_become_ready(one)]
            next_page = page.next_page
            if next_page is None or page.is_past:
                break
    return new, min(waiting, default=None)


def _may_become_ready(one: SourceRecording) -> bool:
    return not one.is_ready and one.status not in NEVER_MEDIA


def _mark(began: datetime, unfinished: datetime | None) -> datetime:
    """How far everything has been seen to its end."""
    if unfinished is None:
        return began
    return max(min(began, unfinished), began - UNFINISHED_MOST)
