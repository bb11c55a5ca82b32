"""The recordings of an account: filters, search, saved views, pages, and their status as it changes."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.fields import Fields
from callreel.console.pages import page
from callreel.console.recording_filters import (
    LENGTHS,
    NAMES,
    SIZES,
    STATUSES,
    place_of,
    place_text,
    searched,
    size_of,
    wanted_by,
)
from callreel.console.visit import Visit, back, screen
from callreel.console.words import SOURCES
from callreel.errors import InvalidParameter, StateConflict
from callreel.ledger.paging import Page
from callreel.model.person import Right
from callreel.model.recording import Recording
from callreel.model.sid import is_sid
from callreel.steps.read_calls import find_calls

PAGE = "recordings"
MOST_VIEWS = 20
MOST_LIVE = 250  # rows of the longest page
MOST_ARRIVALS = 100  # more are not counted
COUNTED = 10_000  # more matches than these are not counted
TABS = (("", "All recordings"), ("attention", "Needs attention"), ("uploading", "Uploading"), ("held", "Held"),
        ("deleted", "Deleted, metadata kept"))  # fmt: skip


@screen(Right.LIST)
async def recordings(visit: Visit) -> Response:
    """The list, as its address asks for it; posted to, a view is kept or removed."""
    if visit.is_post:
        return await _change_views(visit)
    query = visit.query
    wanted, chips, faults = wanted_by(query)
    shown = await searched(wanted, query.text("q"), visit.account.sid, visit.parts.logs)
    place, size = _place(query, faults), size_of(query)
    found, views = await asyncio.gather(
        visit.parts.ledger.recordings.list(visit.account.sid, shown, place=place, size=size),
        visit.parts.ledger.people.list_views(visit.person.sid, PAGE),
    )
    calls = await find_calls(visit.account.sid, [r.call_sid for r in found.rows if r.call_sid], logs=visit.parts.logs)
    return page(
        visit,
        "recordings.html",
        rows=found.rows,
        calls=calls,
        live=[r.sid for r in found.rows if is_moving(r)],
        query=query,
        chips=chips,
        faults=faults,
        size=size,
        sizes=SIZES,
        statuses=STATUSES,
        sources=SOURCES,
        lengths=LENGTHS,
        tabs=TABS,
        views=views,
        filtered=any(query.text(name) for name in NAMES),
        newer=_newer(found, query),
        older=_older(found, query),
        watching=place is None,
        shown=query.changed(after=None, before=None),
        first=_first(found),
        arrived=0,
    )


@screen(Right.LIST)
async def live(visit: Visit) -> Response:
    """The status of some rows as it is now; each is put where it stands, and nothing moves.

    The page of one recording (`whole`) is fetched anew when it is done: then there is something to play.
    """
    sids = [sid for sid in visit.query.all("sid") if is_sid("RE", sid) or is_sid("RT", sid)][:MOST_LIVE]
    found = await visit.parts.ledger.recordings.find_many(visit.account.sid, sids)
    live, whole = [r.sid for r in found if is_moving(r)], bool(visit.query.text("whole"))
    answer = page(visit, "recordings_live.html", rows=found, live=live, whole=whole)
    if whole and not live:
        answer.headers["hx-refresh"] = "true"
    return answer


@screen(Right.LIST)
async def arrivals(visit: Visit) -> Response:
    """How many recordings came since a list was made; an empty list then fetches itself anew."""
    query = visit.query
    wanted, _, _ = wanted_by(query)
    shown = await searched(wanted, query.text("q"), visit.account.sid, visit.parts.logs)
    size = MOST_ARRIVALS if query.text("before") else 1
    found = await visit.parts.ledger.recordings.list(visit.account.sid, shown, place=place_of(query), size=size)
    return page(
        visit,
        "recordings_arrivals.html",
        watching=True,
        shown=query.changed(after=None, before=None),
        first=query.text("before"),
        arrived=len(found.rows),
        more=found.has_previous,
    )


@screen(Right.LIST)
async def count(visit: Visit) -> Response:
    """How many match. Asked for after the page, which does not wait for it."""
    wanted, _, _ = wanted_by(visit.query)
    shown = await searched(wanted, visit.query.text("q"), visit.account.sid, visit.parts.logs)
    matching = await visit.parts.ledger.recordings.count(visit.account.sid, shown, most=COUNTED)
    return page(visit, "recordings_count.html", matching=matching, most=COUNTED)


def is_moving(recording: Recording) -> bool:
    """Whether its status may change while somebody looks."""
    return recording.state in STATUSES["uploading"][1]


def _place(query: Fields, faults: list[str]) -> Any:
    try:
        return place_of(query)
    except InvalidParameter as why:
        faults.append(why.message)
        return None


def _first(found: Page[Recording]) -> str:
    """The place of the newest row; empty where there is none."""
    return place_text(found.rows[0].date_created, found.rows[0].sid) if found.rows else ""


def _newer(found: Page[Recording], query: Fields) -> str:
    """The query of the page before this one; empty where there is none."""
    if not (found.rows and found.has_previous):
        return ""
    return query.changed(after=None, before=_first(found))


def _older(found: Page[Recording], query: Fields) -> str:
    """The query of the page behind this one; empty where there is none."""
    if not (found.rows and found.has_next):
        return ""
    last = found.rows[-1]
    return query.changed(before=None, after=place_text(last.date_created, last.sid))


async def _change_views(visit: Visit) -> Response:
    form, people = visit.form, visit.parts.ledger.people
    filters = Fields([(name, value) for name, value in visit.query.pairs if name in NAMES])
    if form["do"] == "remove-view":
        if form["view"].isdigit():
            await people.remove_view(visit.person.sid, PAGE, int(form["view"][:15]))
        return back(visit)
    name = form.text("name")
    if not 1 <= len(name) <= 40 or not name.isprintable():
        raise InvalidParameter("A view's name has 1 to 40 characters")
    if not filters:
        raise StateConflict("Choose a filter first, then save the view")
    await people.keep_view(
        visit.person.sid, PAGE, name, filters.changed(), now=visit.parts.clock.now(), most=MOST_VIEWS
    )
    return back(visit, f"{visit.path}?{filters.changed()}")


ROUTES = (
    Route("/recordings", recordings, methods=["GET", "POST"]),
    Route("/recordings/live", live, methods=["GET"]),
    Route("/recordings/arrivals", arrivals, methods=["GET"]),
    Route("/recordings/count", count, methods=["GET"]),
)
