"""Deliveries: what has not reached its bucket, why, when it is tried next; and the restart of what was given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.fields import Fields
from callreel.console.pages import page
from callreel.console.recording_filters import place_of, place_text
from callreel.console.visit import Visit, back, own_path, screen
from callreel.errors import InvalidDestination, InvalidParameter
from callreel.ledger.paging import Page, Place, make_page
from callreel.model.person import Right
from callreel.model.recording import UNFINISHED, Recording, State
from callreel.model.sid import RecordingSid, is_sid
from callreel.model.storage_settings import RecordingKind
from callreel.steps.restart import Pace, can_be_restarted, restart_all

SIZE = 50
MOST_LIVE = SIZE
COUNTED = 1000  # more than these are not counted
AT_ONCE = 200  # restarts that share commits
MOST_AT_ONCE = 2000  # restarted by one press of the button, so that the answer comes soon
_ON_THEIR_WAY = frozenset({State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING})


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of the list: its name in the address, its words, the states it shows."""

    name: str
    words: str
    states: frozenset[State]
    is_stuck: bool = False


TABS = (
    Tab("", "Everything not delivered", UNFINISHED),
    Tab("waiting", "On their way", _ON_THEIR_WAY),
    Tab("parked", "Parked", frozenset({State.PARKED}), is_stuck=True),
    Tab("held", "Held", frozenset({State.FATAL}), is_stuck=True),
)
KINDS = {"voice": RecordingKind.VOICE, "video": RecordingKind.VIDEO}


@screen(Right.LIST)
async def deliveries(visit: Visit) -> Response:
    """The list, as its address asks for it; posted to, recordings are restarted."""
    if visit.is_post:
        return await _restart(visit)
    query, faults = visit.query, list[str]()
    tab, kind = _tab(query.text("status")), KINDS.get(query.text("kind"))
    found = await _page(visit, tab, kind, _place(query, faults))
    rows = found.rows
    destinations = await _destinations(visit)
    return page(
        visit,
        "deliveries.html",
        rows=rows,
        query=query,
        faults=faults,
        tab=tab,
        tabs=TABS,
        counts={each.name: await _count(visit, each, kind) for each in TABS if each.is_stuck},
        counted=COUNTED,
        live=[r.sid for r in rows if r.state in _ON_THEIR_WAY],
        can_restart=can_be_restarted,
        destinations=destinations,
        restarted=_number(query.text("restarted")),
        newer=query.changed(after=None, restarted=None, before=_at(rows[0])) if rows and found.has_previous else "",
        older=query.changed(before=None, restarted=None, after=_at(rows[-1])) if rows and found.has_next else "",
    )


@screen(Right.LIST)
async def live(visit: Visit) -> Response:
    """Some rows as they are now; each is put where it stands, and nothing moves."""
    sids = [sid for sid in visit.query.all("sid") if is_sid("RE", sid) or is_sid("RT", sid)][:MOST_LIVE]
    found = await visit.parts.ledger.recordings.find_many(visit.account.sid, sids)
    return page(visit, "deliveries_live.html", rows=found, live=[r.sid for r in found if r.state in _ON_THEIR_WAY])


async def _restart(visit: Visit) -> Response:
    visit.require(Right.RESTART)
    form, tab = visit.form, _tab(visit.query.text("status"))
    if form["do"] == "restart-all":
        if not tab.is_stuck:
            raise InvalidParameter("Choose the parked or the held ones first, then restart all of them")
        restarted = await _restart_all(visit, tab, KINDS.get(visit.query.text("kind")))
    elif form["do"] == "restart":
        restarted = await _restart_these(visit, await _named(visit), Pace())
    else:
        raise InvalidParameter("This form is unknown")
    if form.text("next"):
        return back(visit, own_path(form.text("next")))
    kept = {name: visit.query.text(name) for name in ("status", "kind") if visit.query.text(name)}
    return back(visit, restarted=str(restarted), **kept)


async def _named(visit: Visit) -> list[Recording]:
    """The recordings of the form, all of this account. Raises `NotFound` for one that is not, and none restarts."""
    sids = list(dict.fromkeys(sid for sid in visit.form.all("sid") if is_sid("RE", sid) or is_sid("RT", sid)))
    if not sids:
        raise InvalidParameter("Select at least one recording first")
    if len(sids) > AT_ONCE:
        raise InvalidParameter(f"Select at most {AT_ONCE} recordings, or restart all of them")
    return [await visit.parts.ledger.recordings.fetch(visit.account.sid, RecordingSid(sid)) for sid in sids]


async def _restart_all(visit: Visit, tab: Tab, kind: RecordingKind | None) -> int:
    """Page by page from the newest on, each recording in a transaction of its own; those that remain are said."""
    restarted, place, pace = 0, None, Pace()
    for _ in range(MOST_AT_ONCE // AT_ONCE):
        found = await _page(visit, tab, kind, place, size=AT_ONCE)
        restarted += await _restart_these(visit, found.rows, pace)
        if not found.has_next or not found.rows:
            break
        place = Place(found.rows[-1].date_created, found.rows[-1].sid)
    return restarted


async def _restart_these(visit: Visit, found: Sequence[Recording], pace: Pace) -> int:
    parts = visit.parts
    return await restart_all(
        found, ledger=parts.ledger, buckets=parts.buckets, clock=parts.clock, pace=pace, by=visit.actor
    )


async def _page(
    visit: Visit, tab: Tab, kind: RecordingKind | None, place: Place | None, *, size: int = SIZE
) -> Page[Recording]:
    found = await visit.parts.ledger.recordings.list_unfinished(
        account_sid=visit.account.sid, states=tab.states, kind=kind, after=place, limit=size + 1
    )
    return make_page(found, place=place, size=size)


async def _count(visit: Visit, tab: Tab, kind: RecordingKind | None) -> int:
    return await visit.parts.ledger.recordings.count_unfinished(
        visit.account.sid, states=tab.states, kind=kind, most=COUNTED
    )


async def _destinations(visit: Visit) -> dict[str, str]:
    """Where a restart would send recordings now, by their kind; empty where no bucket is set up."""
    named = {}
    for name, kind in KINDS.items():
        _, settings = await visit.parts.ledger.settings.current(visit.account.sid, kind)
        try:
            there = visit.parts.buckets.destination_of(settings)
        except InvalidDestination:
            there = None
        named[name] = there.bucket if there else ""
    return named


def _tab(name: str) -> Tab:
    return next((tab for tab in TABS if tab.name == name), TABS[0])


def _place(query: Fields, faults: list[str]) -> Place | None:
    prefix = "RT" if "-RT" in query.text("after") + query.text("before") else "RE"
    try:
        return place_of(query, prefix)
    except InvalidParameter as why:
        faults.append(why.message)
        return None


def _at(recording: Recording) -> str:
    return place_text(recording.date_created, recording.sid)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() and text.isascii() and len(text) < 8 else None


ROUTES = (
    Route("/deliveries", deliveries, methods=["GET", "POST"]),
    Route("/deliveries/live", live, methods=["GET"]),
)
