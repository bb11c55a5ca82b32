"""Ask a source who called whom, for calls whose recordings came from there. No move ever waits for it.

A list of recordings names a call and no more. Asked for while it is fetched, a call would cost a move one request more
for each recording; so the call log is born without numbers, and they are asked for behind the move, a thousand to a
request where a day's calls were recorded by and large, one by one where only some were.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from callreel.clock import Clock
from callreel.errors import CallreelError, Final, NotNow, SourceStumbled, SourceUnreachable
from callreel.ledger.calls import UnnamedCall
from callreel.model.sid import AccountSid
from callreel.model.source import Source, SourceCall
from callreel.sealing.parties import seal_parties
from callreel.source.twilio_account import TwilioAccount
from callreel.steps.read_calls import SealedLogs

AT_ONCE = 500  # calls taken together
WORTH_A_PAGE = 25  # a page of a list may cost as much as so many calls asked for one by one
SHARE_OF_PACE = 8  # one request in so many that the source takes at once: the rest is the move's
LATER_S, LATER_CAP_S = 30.0, 3600.0
MOST_TIMES = 6
SEAL_AT_ONCE = 50  # then others get their turn on the event loop


async def name_calls(
    source: Source, *, client: TwilioAccount, logs: SealedLogs, clock: Clock, is_stopping: Callable[[], bool]
) -> int:
    """Ask for the calls that are due, in one round, and keep what is told: sealed, with marks for exact search.

    A call the source does not know, or does not tell in six rounds, keeps its empty numbers. Returns how many were
    taken up; never raises what the source did. Raises `DatabaseAway`.
    """
    taken = await logs.calls.claim_unnamed(source.sid, limit=AT_ONCE)
    groups: dict[tuple[str, date], list[UnnamedCall]] = defaultdict(list)
    for one in taken:
        groups[one.source_account_sid, one.start_time.date()].append(one)
    asking = _Asking(source, client, logs)
    for (account_sid, day), group in sorted(groups.items(), key=lambda entry: -len(entry[1])):
        left = {one.sid: one for one in group}
        try:
            if asking.refused is None and not is_stopping():
                await asking.by_list(account_sid, day, left)
                await asking.one_by_one(left)
        except (NotNow, Final) as why:
            asking.refused = why
        if left:
            await _ask_later(source.account_sid, list(left.values()), logs, clock, asking.refused)
    return len(taken)


class _Asking:
    """One round's questions to one source. `refused` is why no more are asked."""

    def __init__(self, source: Source, client: TwilioAccount, logs: SealedLogs) -> None:
        self._source, self._client, self._logs = source, client, logs
        self.refused: CallreelError | None = None

    async def by_list(self, account_sid: str, day: date, left: dict[str, UnnamedCall]) -> None:
        """Read the list of a day while that may be cheaper, and keep whatever of it waits. Takes from `left`."""
        next_page: str | None = None
        for _ in range(len(left) // WORTH_A_PAGE):
            page = await self._client.list_calls(account_sid, day, next_page=next_page)
            told = {call.sid: call for call in page.calls}
            waiting = await self._logs.calls.which_are_unnamed(self._source.account_sid, self._source.sid, list(told))
            await self._keep([told[one.sid] for one in waiting], {one.sid: one for one in waiting})
            for sid in told:
                left.pop(sid, None)
            next_page = page.next_page
            if next_page is None or len(left) < WORTH_A_PAGE or not waiting:
                return

    async def one_by_one(self, left: dict[str, UnnamedCall]) -> None:
        """Ask for each that is left. Takes from `left` what was answered, also with a 404."""
        hands = max(1, self._client.pace.window // SHARE_OF_PACE)
        queue = list(left.values())
        for start in range(0, len(queue), hands):
            some = queue[start : start + hands]
            answers = await asyncio.gather(*(self._ask(one) for one in some), return_exceptions=True)
            told = [answer for answer in answers if isinstance(answer, SourceCall)]
            gone = [one.sid for one, answer in zip(some, answers, strict=True) if answer is None]
            await self._keep(told, left)
            await self._logs.calls.ask_later(self._source.account_sid, gone, None)
            for sid in (*gone, *(call.sid for call in told)):
                del left[sid]
            for answer in answers:
                if isinstance(answer, BaseException) and not _is_this_ones(answer):
                    raise answer

    async def _ask(self, one: UnnamedCall) -> SourceCall | None:
        return await self._client.find_call(one.source_account_sid, one.sid)

    async def _keep(self, told: Sequence[SourceCall], known: dict[str, UnnamedCall]) -> None:
        for start in range(0, len(told), SEAL_AT_ONCE):
            some = told[start : start + SEAL_AT_ONCE]
            rows = [self._row(call, known[call.sid].start_time) for call in some]
            await self._logs.calls.tell(self._source.account_sid, rows)

    def _row(self, call: SourceCall, recorded_at: datetime) -> dict[str, Any]:
        start = call.start_time or recorded_at
        lasted_s = call.duration_s
        end = call.end_time or (start + timedelta(seconds=lasted_s) if lasted_s is not None else None)
        if lasted_s is None and end is not None:
            lasted_s = max(0, round((end - start).total_seconds()))
        return {
            "sid": call.sid,
            **seal_parties(
                {"from": call.from_number, "to": call.to_number},
                call_sid=call.sid,
                account_sid=self._source.account_sid,
                keyring=self._logs.keyring,
                index=self._logs.index,
            ),
            "direction": call.direction,
            "status": call.status,
            "start_time": start,
            "end_time": end,
            "duration_ms": None if lasted_s is None else lasted_s * 1000,
        }


def _is_this_ones(trouble: BaseException) -> bool:
    """Whether the others may fare better."""
    return isinstance(trouble, SourceStumbled | SourceUnreachable)


async def _ask_later(
    account_sid: AccountSid, left: Sequence[UnnamedCall], logs: SealedLogs, clock: Clock, why: CallreelError | None
) -> None:
    """Each time later than before; after the last time never again."""
    by_times: dict[int, list[str]] = defaultdict(list)
    for one in left:
        by_times[one.asked].append(one.sid)
    least_s = getattr(why, "retry_after_s", None) or 0.0
    for times, sids in by_times.items():
        wait_s = max(least_s, min(LATER_CAP_S, LATER_S * 3.0**times))
        at = None if times + 1 >= MOST_TIMES else clock.now() + timedelta(seconds=wait_s)
        await logs.calls.ask_later(account_sid, sids, at)
