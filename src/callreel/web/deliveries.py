"""Deliveries: what has not reached its bucket, and the restart of what was given up."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Response

from callreel.errors import InvalidParameter, MissingParameter
from callreel.ledger.paging import Page, Place, make_page
from callreel.ledger.recordings import RecordingFilter
from callreel.model.account import Account
from callreel.model.deed import Actor
from callreel.model.recording import UNFINISHED, Recording, State
from callreel.model.sid import RecordingSid, parse_sid
from callreel.parts import Parts
from callreel.steps.restart import Pace, restart_all
from callreel.web.answers import delivery_json, json_answer
from callreel.web.auth import Acting, By, Opened
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Deliveries"
HELD = "held"
STATES = (*State, HELD)
RESTARTABLE = (State.PARKED, HELD)
AT_ONCE = 200  # restarts that may share commits
DELIVERY = shape(
    recording_sid="text",
    account_sid="text",
    state="text",
    attempts="integer",
    retry_spent_seconds="number",
    next_attempt_at="text?",
    error_code="integer?",
    error="text?",
    bucket="text?",
    object_key="text?",
)


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "Newest first; without State all that are not finished", page_of("deliveries", DELIVERY)),
    openapi_extra=asks(State="text", **PAGING),
)
async def list_deliveries(account: Acting, parts: Opened, query: Query) -> Response:
    """List deliveries"""
    wish = PageWish.read(query)
    state = query.choice("State", STATES)
    page = await _page(account, state, wish.place, wish.size, parts)
    path = f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
    links = links_of(path, [("State", state)] if state else [], wish, page)
    rows = [delivery_json(recording) for recording in page.rows]
    return json_answer(envelope_v1("deliveries", rows, wish, links))


@on(
    router,
    "POST",
    PATH + "/Restart",
    responses=answers(200, "How many were restarted", shape(restarted="integer")),
    openapi_extra=takes({"RecordingSid": "texts", "State": "text", "All": "flag"}, json=True),
)
async def restart_deliveries(account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Restart parked and held deliveries under the settings as they are now"""
    if sids := form.all("RecordingSid"):
        found = await _named(account, sids, parts)
        return json_answer({"restarted": await _restart(found, parts, by, Pace())})
    state = form.choice("State", RESTARTABLE)
    if state is None and not form.flag("All"):
        raise MissingParameter("RecordingSid, State or All=true")
    restarted, pace = 0, Pace()
    for wanted in [state] if state else RESTARTABLE:
        restarted += await _restart_all(account, wanted, parts, by, pace)
    return json_answer({"restarted": restarted})


async def _page(account: Account, state: str | None, place: Place | None, size: int, parts: Parts) -> Page[Recording]:
    if state is not None and state != HELD and State(state) not in UNFINISHED:
        wanted = RecordingFilter(states=frozenset({State(state)}), include_deleted=True)
        return await parts.ledger.recordings.list(account.sid, wanted, place=place, size=size)
    states = UNFINISHED if state is None else frozenset({State.FATAL if state == HELD else State(state)})
    found = await parts.ledger.recordings.list_unfinished(
        account_sid=account.sid, states=states, after=place, limit=size + 1
    )
    page = make_page(found, place=place, size=size)
    if state != HELD:
        return page
    return Page([r for r in page.rows if r.is_held], has_next=page.has_next, has_previous=page.has_previous)


async def _named(account: Account, sids: Sequence[str], parts: Parts) -> list[Recording]:
    """The recordings of these SIDs. One that is unknown, or another account's, is `NotFound`, and none restarts."""
    unique = list(dict.fromkeys(RecordingSid(parse_sid("RT" if sid.startswith("RT") else "RE", sid)) for sid in sids))
    if len(unique) > AT_ONCE:
        raise InvalidParameter(f"Name at most {AT_ONCE} recordings, or use State or All=true", parameter="RecordingSid")
    return [await parts.ledger.recordings.fetch(account.sid, sid) for sid in unique]


async def _restart_all(account: Account, state: str, parts: Parts, by: Actor, pace: Pace) -> int:
    place: Place | None = None
    restarted = 0
    while True:
        page = await _page(account, state, place, AT_ONCE, parts)
        restarted += await _restart(page.rows, parts, by, pace)
        if not page.has_next or not page.rows:
            return restarted
        place = Place(page.rows[-1].date_created, page.rows[-1].sid)


async def _restart(found: Sequence[Recording], parts: Parts, by: Actor, pace: Pace) -> int:
    return await restart_all(found, ledger=parts.ledger, buckets=parts.buckets, clock=parts.clock, pace=pace, by=by)
