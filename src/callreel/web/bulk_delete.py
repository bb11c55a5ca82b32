"""Deleting many recordings: counted and frozen, then worked off by a job that anybody may look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from callreel.errors import InvalidParameter, MissingParameter, SettingsIncomplete
from callreel.ledger.recordings import RecordingFilter
from callreel.model.callback import iso
from callreel.model.deletion import Deletion, DeletionItem, DeletionStatus
from callreel.model.mail_address import parse_mail_address
from callreel.model.sid import parse_sid
from callreel.parts import Parts
from callreel.steps.delete_in_bulk import confirm_bulk, delete_in_bulk
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.create_keys import create_key
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Parameters, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on
from callreel.web.spans import read_span, span_parameters

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Recordings/BulkDelete"
MOST_NAMED = 900
MOST_FAILURES = 1000
_FILTERS = {"CallSid": "text", "ConferenceSid": "text", **span_parameters("DateCreated")}
DELETION = shape(
    sid="text",
    account_sid="text",
    kind="text",
    campaign_sid="text?",
    status="text",
    matched="integer",
    deleted="integer",
    failed="integer",
    removes_objects="flag",
    receipt="text?",
    receipt_error="text?",
    failures="list",
    date_created="text",
    date_updated="text",
    date_completed="text?",
    url="text",
)


@on(
    router,
    "POST",
    PATH,
    responses=answers(201, "What matched is frozen; a job deletes it, unless it is a dry run", DELETION),
    openapi_extra=takes(
        {"RecordingSid": "texts", **_FILTERS, "All": "flag", "DryRun": "flag", "ReceiptEmail": "text"}, json=True
    ),
)
async def create(request: Request, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Delete many recordings, by a list of SIDs or by the filters of the list"""
    deletion = await delete_in_bulk(
        account.sid,
        _wanted(form),
        status=DeletionStatus.DRY_RUN if form.flag("DryRun") else DeletionStatus.RUNNING,
        receipt_email=_receipt_email(form, parts),
        ledger=parts.ledger,
        clock=parts.clock,
        key=create_key(request, form),
        by=by,
    )
    return json_answer(deletion_json(deletion, (), parts.public_url), 201)


@on(
    router,
    "GET",
    PATH,
    responses=answers(
        200, "Newest first; those of campaigns and of a closed account too", page_of("deletions", DELETION)
    ),
    openapi_extra=asks(**PAGING),
)
async def list_deletions(account: Acting, parts: Opened, query: Query) -> Response:
    """List deletions of many things"""
    wish = PageWish.read(query)
    page = await parts.ledger.deletions.list(account.sid, place=wish.place, size=wish.size)
    links = links_of(f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}", [], wish, page)
    rows = [deletion_json(found, (), parts.public_url) for found in page.rows]
    return json_answer(envelope_v1("deletions", rows, wish, links))


@on(
    router,
    "GET",
    PATH + "/{sid}",
    responses=answers(200, "How far it has come, and what could not be deleted and why (the first 1000)", DELETION),
)
async def fetch(sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a deletion of many things"""
    deletion = await parts.ledger.deletions.fetch(account.sid, path_sid("BD", sid))
    failures = await parts.ledger.deletions.list_failed(deletion.sid, limit=MOST_FAILURES)
    return json_answer(deletion_json(deletion, failures, parts.public_url))


@on(
    router,
    "POST",
    PATH + "/{sid}",
    responses=answers(200, "It runs: exactly what the dry run counted is deleted", DELETION),
    openapi_extra=takes({"Status": "text", "ReceiptEmail": "text"}, required=["Status"], json=True),
)
async def confirm(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Confirm a dry run with Status=running"""
    form.required("Status")
    form.choice("Status", (DeletionStatus.RUNNING,))
    deletion = await confirm_bulk(
        account.sid, path_sid("BD", sid), receipt_email=_receipt_email(form, parts), ledger=parts.ledger, by=by
    )
    return json_answer(deletion_json(deletion, (), parts.public_url))


def deletion_json(deletion: Deletion, failures: Sequence[DeletionItem], public_url: str) -> dict[str, Any]:
    """A deletion of many things. `receipt` is due, sent or failed, null where none was asked for."""
    path = f"{PATH.format(account_sid=deletion.account_sid)}/{deletion.sid}"
    return {
        "sid": deletion.sid,
        "account_sid": deletion.account_sid,
        "kind": str(deletion.kind),
        "campaign_sid": deletion.campaign_sid,
        "status": str(deletion.status),
        "matched": deletion.matched,
        "deleted": deletion.deleted,
        "failed": deletion.failed,
        "removes_objects": deletion.removes_objects,
        "receipt": deletion.receipt_state,
        "receipt_error": deletion.receipt_error,
        "failures": [{"sid": item.subject_sid, "reason": item.reason} for item in failures],
        "date_created": iso(deletion.date_created),
        "date_updated": iso(deletion.date_updated),
        "date_completed": iso(deletion.date_completed) if deletion.date_completed else None,
        "url": f"{public_url}/callreel{path}",
    }


def _wanted(form: Parameters) -> RecordingFilter | list[str]:
    """Which recordings: a list, a filter, or all of them when that is said. Raises `MissingParameter`."""
    if sids := form.all("RecordingSid"):
        unique = list(dict.fromkeys(parse_sid("RT" if sid.startswith("RT") else "RE", sid) for sid in sids))
        if len(unique) > MOST_NAMED:
            raise InvalidParameter(f"Name at most {MOST_NAMED} recordings, or use a filter", parameter="RecordingSid")
        return unique
    created = read_span(form, "DateCreated")
    wanted = RecordingFilter(
        call_sid=form.sid("CallSid", "CA"),
        conference_sid=form.sid("ConferenceSid", "CF"),
        created_from=created.start,
        created_before=created.stop,
    )
    if wanted == RecordingFilter() and not form.flag("All"):
        raise MissingParameter("RecordingSid, CallSid, ConferenceSid, DateCreated or All=true")
    return wanted


def _receipt_email(form: Parameters, parts: Parts) -> str | None:
    text = form.text("ReceiptEmail")
    if text is None:
        return None
    address = parse_mail_address("ReceiptEmail", text)
    if parts.mailer is None:
        raise SettingsIncomplete(
            "This installation sends no mail: CALLREEL_SMTP_URL is not set. Leave ReceiptEmail out."
        )
    return address
