"""Read a source's list into items, page by page. Each page is one transaction with the place where the list goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callreel.errors import Outrun, SourceRefused, SourceUnreachable
from callreel.failpoints import reach
from callreel.ledger.ledger import Ledger
from callreel.model.migration import Migration, MigrationStatus
from callreel.model.source import Source, SourcePage
from callreel.source.twilio_account import TwilioAccount

PAGE_SIZE = 1000
MOST_BEGINNINGS = 5  # of one pass: a source that loses its own pages again and again cannot be listed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: the account whose recordings come next, its page, and the accounts after it."""

    account_sid: str
    page: str | None
    then: tuple[str, ...]

    def as_text(self) -> str:
        return json.dumps([self.account_sid, self.page, self.then])

    @classmethod
    def from_text(cls, text: str) -> Place:
        account_sid, page, then = json.loads(text)
        return cls(account_sid, page, tuple(then))


async def take_inventory(
    migration: Migration, source: Source, client: TwilioAccount, *, ledger: Ledger, is_stopping: Callable[[], bool]
) -> Migration:
    """Read on where the list was left, until it stands still, or the migration is paused, or we are to stop.

    Killed anywhere it goes on with the page that was not written. A page that can no longer be had, since the
    recordings it began behind were deleted, begins the list anew: what is known by then is counted once. Raises what
    `TwilioAccount.list_page` raises.
    """
    beginnings = 0
    while migration.status is MigrationStatus.RUNNING and not migration.is_listed and not is_stopping():
        place = await _place_of(migration, source, client)
        try:
            page = await client.list_page(
                place.account_sid,
                created_after=migration.created_after,
                created_before=migration.created_before,
                next_page=place.page,
                page_size=PAGE_SIZE,
            )
        except SourceRefused:
            beginnings += 1
            if place.page is None or beginnings > MOST_BEGINNINGS:
                raise
            migration = await ledger.migrations.begin_list_anew(migration)
            continue
        reach("M4")
        try:
            migration = await ledger.migrations.keep_page(migration, source, _onward(page, place))
        except Outrun:
            found = await ledger.migrations.find_for_work(migration.sid)
            if found is None:
                return migration
            migration = found
        reach("M5")
    return migration


async def list_all(
    source: Source,
    client: TwilioAccount,
    *,
    created_after: datetime | None,
    created_before: datetime | None,
) -> AsyncIterator[SourcePage]:
    """Every page of a source's list, subaccounts too where they belong to it. Keeps nothing. Raises as above."""
    for account_sid in await _accounts_of(source, client):
        next_page: str | None = None
        while True:
            page = await client.list_page(
                account_sid,
                created_after=created_after,
                created_before=created_before,
                next_page=next_page,
                page_size=PAGE_SIZE,
            )
            yield page
            if page.next_page is None:
                break
            next_page = page.next_page


async def _place_of(migration: Migration, source: Source, client: TwilioAccount) -> Place:
    if migration.cursor is not None:
        try:
            return Place.from_text(migration.cursor)
        except (ValueError, TypeError) as why:
            raise SourceUnreachable("The place in the list cannot be read") from why
    first, *then = await _accounts_of(source, client)
    return Place(first, None, tuple(then))


async def _accounts_of(source: Source, client: TwilioAccount) -> list[str]:
    found = [source.twilio_account_sid]
    if source.include_subaccounts:
        found += sorted(account.sid for account in await client.list_subaccounts())
    return found


def _onward(page: SourcePage, place: Place) -> SourcePage:
    """The page, with the place after it as text; None when it was the last of the last account."""
    onward: Place | None = None
    if page.next_page is not None:
        onward = Place(place.account_sid, page.next_page, place.then)
    elif place.then:
        onward = Place(place.then[0], None, place.then[1:])
    return SourcePage(page.recordings, None if onward is None else onward.as_text())


Facts = dict[str, Any]
