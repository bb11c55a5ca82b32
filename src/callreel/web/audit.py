"""The audit of an account: who did what, and who listened. Its own rows alone."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from callreel.ledger.audit import AuditFilter, AuditRow
from callreel.model.callback import iso
from callreel.model.deed import ACTIONS
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, Opened
from callreel.web.description import PAGING, answers, asks, page_of, shape
from callreel.web.forms import Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Audit"
ROW = shape(
    sid="text",
    account_sid="text",
    number="integer",
    date_created="text",
    actor="text",
    address="text?",
    request_id="text?",
    action="text",
    subject="text?",
    details="object",
    hash="text",
)
_FILTERS = ("Action", "Subject", "Actor", "DateCreatedAfter", "DateCreatedBefore")


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "Newest first: who did what, when and from where", page_of("audit", ROW)),
    openapi_extra=asks(**dict.fromkeys(_FILTERS, "text"), **PAGING),
)
async def list_audit(account: Acting, parts: Opened, query: Query) -> Response:
    """List who did what, and who listened"""
    wish = PageWish.read(query)
    wanted = AuditFilter(
        action=query.choice("Action", ACTIONS),
        subject=query.text("Subject"),
        actor=query.text("Actor"),
        created_from=query.moment("DateCreatedAfter"),
        created_before=query.moment("DateCreatedBefore"),
    )
    page = await parts.ledger.audit.page(account.sid, wanted, place=wish.place, size=wish.size)
    filters = [(name, value) for name in _FILTERS if (value := query.text(name)) is not None]
    path = f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
    rows = [audit_json(row) for row in page.rows]
    return json_answer(envelope_v1("audit", rows, wish, links_of(path, filters, wish, page)))


def audit_json(row: AuditRow) -> dict[str, Any]:
    """A row as the tenant sees it, and as the operator exports it."""
    return {
        "sid": row.sid,
        "account_sid": row.account_sid,
        "number": row.number,
        "date_created": iso(row.date_created),
        "actor": row.actor,
        "address": row.address,
        "request_id": row.request_id,
        "action": row.action,
        "subject": row.subject,
        "details": dict(row.details),
        "hash": row.hash,
    }
