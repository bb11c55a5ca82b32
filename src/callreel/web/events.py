"""What happened to a recording, in order: its moves, its alerts and its callbacks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from callreel.errors import InvalidParameter
from callreel.ledger.alerts import AlertFilter
from callreel.ledger.paging import Page
from callreel.model.account import Account
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.web.answers import alert_json, callback_json, json_answer, move_json
from callreel.web.auth import Acting, Opened
from callreel.web.description import PAGING, answers, asks, page_of, shape
from callreel.web.forms import Parameters, Query
from callreel.web.pages import MOST, PageWish, envelope_v1, links_of
from callreel.web.routes import on
from callreel.web.spans import read_span, span_parameters

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Events"
LEVELS = ("notice", "warning", "error")
_DATES = span_parameters("DateCreated")
_FILTERS = ("Level", "Code", *_DATES)
EVENT = shape(
    kind="text",
    at="text",
    account_sid="text",
    recording_sid="text?",
    name="text",
    from_state="text?",
    code="integer?",
    text="text?",
    callback_state="text?",
    callback_attempts="integer?",
    callback_sent_at="text?",
)


@on(
    router,
    "GET",
    PATH,
    responses=answers(
        200,
        "With RecordingSid: everything about it, oldest first. Without: the account's newest alerts",
        page_of("events", EVENT),
    ),
    openapi_extra=asks(RecordingSid="text", Level="text", Code="integer", **_DATES, **PAGING),
)
async def list_events(account: Acting, parts: Opened, query: Query) -> Response:
    """List what happened"""
    wish = PageWish.read(query)
    sid = _recording_sid(query)
    path = f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
    if sid is not None:
        rows = await _of_recording(account, RecordingSid(sid), parts)
        only: Page[Any] = Page(rows, has_next=False, has_previous=False)
        return json_answer(envelope_v1("events", rows, wish, links_of(path, [("RecordingSid", sid)], wish, only)))
    page = await parts.ledger.alerts.page(account.sid, _wanted(query), place=wish.place, size=wish.size)
    filters = [(name, value) for name in _FILTERS if (value := query.text(name)) is not None]
    rows = [alert_json(found.alert) for found in page.rows]
    return json_answer(envelope_v1("events", rows, wish, links_of(path, filters, wish, page)))


def _wanted(query: Parameters) -> AlertFilter:
    span = read_span(query, "DateCreated")
    code = query.number("Code", least=0)
    if code is not None and code > 99_999:
        raise InvalidParameter("Code has at most five digits", parameter="Code")
    return AlertFilter(level=query.choice("Level", LEVELS), code=code, since=span.start, before=span.stop)


def _recording_sid(query: Parameters) -> str | None:
    """Voice or video."""
    return query.sid("RecordingSid", "RT" if (query.text("RecordingSid") or "").startswith("RT") else "RE")


async def _of_recording(account: Account, sid: RecordingSid, parts: Parts) -> list[dict[str, Any]]:
    """One page always: a recording's whole life is a few dozen lines. Raises `NotFound`."""
    await parts.ledger.recordings.fetch(account.sid, sid)
    rows = [move_json(account.sid, sid, line) for line in await parts.ledger.recordings.history(account.sid, sid)]
    alerts = await parts.ledger.alerts.list(account.sid, recording_sid=sid, limit=MOST)
    rows += [alert_json(alert) for alert in reversed(alerts)]
    rows += [callback_json(event) for event in await parts.ledger.outbox.list_of(account.sid, sid)]
    return sorted(rows, key=lambda row: row["at"])
