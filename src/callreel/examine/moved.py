"""I6, I7: what was moved out of a source. An original is gone only after its copy was proved; and the source agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from callreel.errors import Final, NotNow
from callreel.examine.finding import Finding, Note, Violation
from callreel.examine.scene import Scene
from callreel.ledger.examination import Case
from callreel.model.evidence import VerifyMethod
from callreel.model.moved_item import ItemState, MovedItem
from callreel.model.recording import Recording
from callreel.model.source import Source
from callreel.source.twilio_account import TwilioAccount

_PROOF = frozenset(method for method in VerifyMethod if method.is_proof)
_STILL_THERE = frozenset(set(ItemState) - {ItemState.LINK_CLEARED, ItemState.DELETE_INTENT, ItemState.SKIPPED})


async def moved(case: Case, scene: Scene) -> list[Finding]:
    """I6 and I7 of one recording, where it came from a source."""
    recording = case.recording
    if recording.source_sid is None:
        return []
    item = await scene.ledger.items.find(recording.sid)
    if item is None:
        return [Violation(invariant="I7", subject=recording.sid, text="came from a source and nothing tells how")]
    found: list[Finding] = []
    for text in _deleted_too_early(item, recording):
        found.append(Violation(invariant="I6", subject=recording.sid, text=text))
    if (item.source_link is None) != (item.delete_confirmed_at is not None):
        text = f"has the source link {item.source_link} and its deletion is confirmed at {item.delete_confirmed_at}"
        found.append(Violation(invariant="I7", subject=recording.sid, text=text))
    return found


def _deleted_too_early(item: MovedItem, recording: Recording) -> list[str]:
    if item.state is not ItemState.LINK_CLEARED:
        return []
    found = []
    if recording.verify_method not in _PROOF:
        found.append(f"was deleted at its source on the evidence {recording.verify_method}")
    if item.media_sha256 != recording.media_sha256:
        found.append("was deleted at its source, and what was fetched is not what was kept")
    times = (recording.verified_at, item.intent_at, item.delete_sent_at)
    if None in times or not (times[0] < times[1] <= times[2]):  # type: ignore[operator]
        found.append(f"was proved at {times[0]}, meant to be deleted at {times[1]} and deleted at {times[2]}")
    return found


async def sources_agree(scene: Scene) -> AsyncIterator[Finding]:
    """What the sources list, against what is known here. When deep: it reads whole lists, and changes nothing."""
    if not scene.deep or scene.sources is None:
        return
    for source in await scene.ledger.sources.list_all():
        if scene.account_sid not in (None, source.account_sid):
            continue
        try:
            async for finding in _compared(source, await scene.sources.open(source), scene):
                yield finding
        except (NotNow, Final) as why:
            yield Note(invariant="I6", subject=source.sid, text=f"could not be listed: {why.message}")


async def _compared(source: Source, client: TwilioAccount, scene: Scene) -> AsyncIterator[Finding]:
    seen: Counter[str] = Counter()
    accounts = [source.twilio_account_sid]
    if source.include_subaccounts:
        accounts += [account.sid for account in await client.list_subaccounts()]
    for account_sid in accounts:
        next_page: str | None = None
        while True:
            page = await client.list_page(account_sid, next_page=next_page)
            known = await scene.ledger.items.states_of(source.sid, [one.sid for one in page.recordings])
            for one in page.recordings:
                state = known.get(one.sid)
                seen["known" if state in _STILL_THERE else "other"] += state is not None
                seen["unknown"] += state is None
                if state is ItemState.LINK_CLEARED and one.is_ready:
                    text = "was confirmed as deleted by its source, which lists it still"
                    yield Violation(invariant="I6", subject=one.sid, text=text)
            next_page = page.next_page
            if next_page is None:
                break
    if seen["unknown"]:
        yield Note(invariant="I6", subject=source.sid, text=f"{seen['unknown']} recordings there are not known here")
    counts = await scene.ledger.items.count_by_state(source.sid)
    missing = sum(count for state, count in counts.items() if state in _STILL_THERE) - seen["known"]
    if missing > 0:
        text = f"{missing} originals that were not deleted from here are not listed there"
        yield Note(invariant="I6", subject=source.sid, text=text)
