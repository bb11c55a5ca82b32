"""What happened to a recording, in order: its moves, its alerts and its callbacks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from callreel.ledger.paging import Page
from callreel.model.account import Account
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.web.answers import alert_json, callback_json, json_answer, move_json
from callreel.web.auth import Acting, Opened
from callreel.web.description import answers, asks, page_of, shape
from callreel.web.forms import Parameters, Query
from callreel.web.pages import MOST, PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Events"
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
    openapi_extra=asks(RecordingSid="text", PageSize="integer"),
)
async def list_events(account: Acting, parts: Opened, query: Query) -> Response:
    """List what happened"""
    wish = PageWish.read(query)
    sid = _recording_sid(query)
    if sid is None:
        found = await parts.ledger.alerts.list(account.sid, limit=wish.size)
        rows = [alert_json(alert) for alert in found]
    else:
        rows = await _of_recording(account, RecordingSid(sid), parts)
    path = f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
    only: Page[Any] = Page(rows, has_next=False, has_previous=False)
    links = links_of(path, [("RecordingSid", sid)] if sid else [], wish, only)
    return json_answer(envelope_v1("events", rows, wish, links))


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
