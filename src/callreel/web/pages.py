"""Pages as Twilio gives them: two envelopes over one keyset, whose tokens are opaque to callers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from callreel.errors import InvalidParameter, PageTooLarge
from callreel.ledger.paging import Page, Place, from_microseconds, microseconds
from callreel.web.forms import Parameters

DEFAULT_SIZE, MOST = 50, 1000  # Twilio's
# 16 digits of microseconds reach to the year 2286.
_TOKEN = re.compile(r"P([AB])([A-Z]{2}[0-9a-f]{32})\.([0-9]{1,16})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageWish:
    """Which page was asked for. `token` is the place as it was sent."""

    size: int
    number: int
    place: Place | None
    token: str | None

    @classmethod
    def read(cls, query: Parameters, *, most: int = MOST) -> PageWish:
        """Raises `PageTooLarge` above 1000 rows and `InvalidParameter` for what is no page.

        Some lists give at most `most` rows a page. Twilio's SDKs ask for up to 1000 whatever the list, and go on to
        the next page by themselves, so those lists give what they give.
        """
        size = query.number("PageSize", least=1) or DEFAULT_SIZE
        if size > MOST:
            raise PageTooLarge(f"Page size must be less than or equal to {MOST}")
        size = min(size, most)
        token = query.text("PageToken")
        return cls(size, query.number("Page", least=0) or 0, _place(token), token)


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of a page and its neighbours; None at the ends."""

    here: str
    first: str
    next: str | None
    previous: str | None


def links_of(path: str, filters: Sequence[tuple[str, str]], wish: PageWish, page: Page[Any]) -> Links:
    """Filters first, then `PageSize`, `Page` and `PageToken`, all percent-encoded."""

    def address(number: int, token: str | None) -> str:
        query = [*filters, ("PageSize", str(wish.size)), ("Page", str(number))]
        if token is not None:
            query.append(("PageToken", token))
        return f"{path}?{urlencode(query)}"

    rows = page.rows
    return Links(
        here=address(wish.number, wish.token),
        first=address(0, None),
        next=address(wish.number + 1, _token("A", rows[-1])) if rows and page.has_next else None,
        previous=address(max(0, wish.number - 1), _token("B", rows[0])) if rows and page.has_previous else None,
    )


def envelope_2010(wish: PageWish, links: Links, count: int) -> dict[str, Any]:
    """The outer values of a 2010 list, without its rows."""
    start = wish.number * wish.size if count else 0
    return {
        "first_page_uri": links.first,
        "next_page_uri": links.next,
        "previous_page_uri": links.previous,
        "uri": links.here,
        "page": wish.number,
        "page_size": wish.size,
        "start": start,
        "end": start + count - 1 if count else 0,
    }


def envelope_v1(key: str, rows: Sequence[Mapping[str, Any]], wish: PageWish, links: Links) -> dict[str, Any]:
    """A v1 list with its rows."""
    return {
        key: list(rows),
        "meta": {
            "page": wish.number,
            "page_size": wish.size,
            "first_page_url": links.first,
            "previous_page_url": links.previous,
            "url": links.here,
            "next_page_url": links.next,
            "key": key,
        },
    }


def _token(direction: str, row: Any) -> str:
    return f"P{direction}{row.sid}.{microseconds(row.date_created)}"


def _place(token: str | None) -> Place | None:
    if token is None:
        return None
    found = _TOKEN.fullmatch(token)
    if found is not None:
        return Place(from_microseconds(int(found[3])), found[2], backward=found[1] == "B")
    raise InvalidParameter("PageToken is not one that this list gave", parameter="PageToken")
