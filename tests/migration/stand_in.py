"""A source without a wire: what `TwilioAccount` answers, put there by a test. HTTP is tried in `tests/source`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from callreel.errors import CallreelError, MediaGone, MediaMismatch
from callreel.model.source import DeleteAnswer, DeleteOutcome, SourcePage, SourceRecording
from tests.stage import a_wav

ACCOUNT = "AC" + "e" * 32
MADE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Sent:
    """Media on its way."""

    length: int | None
    content_type: str
    body: bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 4096):
            yield self.body[start : start + 4096]
        if self.length is not None and len(self.body) < self.length:
            raise MediaMismatch(f"The media ended after {len(self.body)} of {self.length} bytes")


class StandIn:
    """Recordings by SID with their media, what was asked of them in order, and trouble to come."""

    def __init__(self) -> None:
        self.shelf: dict[str, tuple[SourceRecording, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.trouble: dict[str, list[CallreelError | DeleteAnswer | Callable[[Sent], Sent]]] = {}
        self.page_size = 1000
        self.while_listing: Callable[[], None] | None = None

    def put(self, number: int, *, body: bytes | None = None, seconds: int = 1, **facts: Any) -> SourceRecording:
        channels = facts.get("channels", 1)
        usual = {"duration_s": seconds, "price": "-0.0025", "price_unit": "USD", "call_sid": f"CA{number:032x}"}
        one = SourceRecording(
            sid=f"RE{number:032x}", account_sid=ACCOUNT, date_created=MADE + timedelta(minutes=number), **usual | facts
        )
        media = body if body is not None else a_wav(seconds=seconds, channels=channels, seed=number)
        self.shelf[one.sid] = (one, media)
        return one

    def change(self, sid: str, **facts: Any) -> None:
        one, body = self.shelf[sid]
        self.shelf[sid] = (replace(one, **facts), body)

    def meets(self, verb: str, *trouble: CallreelError | DeleteAnswer | Callable[[Sent], Sent]) -> None:
        """The next requests of this kind meet these, one each."""
        self.trouble.setdefault(verb, []).extend(trouble)

    def _met(self, verb: str) -> Any:
        waiting = self.trouble.get(verb)
        met = waiting.pop(0) if waiting else None  # None in between: this one is spared
        if isinstance(met, CallreelError):
            raise met
        return met

    async def list_subaccounts(self) -> list[Any]:
        return []

    async def list_page(
        self, account_sid: str, *, created_after=None, created_before=None, next_page=None, page_size=1000
    ) -> SourcePage:
        self.asked.append(("list", str(next_page)))
        self._met("list")
        size = min(page_size, self.page_size)
        found = sorted((one for one, _ in self.shelf.values()), key=lambda one: (one.date_created, one.sid))[::-1]
        if next_page is not None:
            after = next_page.rpartition("/")[2]
            found = [one for one in found if (one.date_created.isoformat() + one.sid) < after]
        page = found[:size]
        more = len(found) > size
        if self.while_listing is not None:
            self.while_listing()
        mark = page[-1].date_created.isoformat() + page[-1].sid if page else ""
        return SourcePage(tuple(page), f"/{mark}" if more else None)

    async def find(self, account_sid: str, sid: str) -> SourceRecording | None:
        self.asked.append(("find", sid))
        self._met("find")
        return self.shelf[sid][0] if sid in self.shelf else None

    @asynccontextmanager
    async def media(self, account_sid: str, sid: str, *, channels: int = 1) -> AsyncIterator[Sent]:
        self.asked.append(("media", sid))
        met = self._met("media")
        if sid not in self.shelf:
            raise MediaGone(f"{sid} is not at the source any more")
        body = self.shelf[sid][1]
        sent = Sent(len(body), "audio/x-wav", body)
        yield met(sent) if met else sent

    async def delete(self, account_sid: str, sid: str) -> DeleteAnswer:
        self.asked.append(("delete", sid))
        met = self._met("delete")
        if met is not None:
            return met
        if self.shelf.pop(sid, None) is None:
            return DeleteAnswer(DeleteOutcome.NOT_THERE, 404)
        return DeleteAnswer(DeleteOutcome.DELETED, 204)

    def deletions(self) -> int:
        return sum(1 for verb, _ in self.asked if verb == "delete")
