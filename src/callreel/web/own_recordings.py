"""A recording as callreel sees it: where its object is, what proves that, and who may not delete it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from callreel.ledger.recordings import RecordingFilter
from callreel.model.callback import iso
from callreel.model.recording import Recording
from callreel.model.sid import RecordingSid
from callreel.model.twilio_status import twilio_status, video_status
from callreel.parts import Parts
from callreel.steps.hold import lift_hold, set_hold
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened, path_sid
from callreel.web.description import PAGING, answers, asks, page_of, shape, takes
from callreel.web.forms import FormOrJson, Query
from callreel.web.pages import PageWish, envelope_v1, links_of
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/Recordings"
RECORDING = shape(
    sid="text",
    account_sid="text",
    kind="text",
    status="text",
    state="text",
    call_sid="text?",
    call_log_deleted="flag",
    size_bytes="integer",
    duration_ms="integer",
    is_external="flag",
    bucket="text?",
    object_key="text?",
    object_url="text?",
    version_id="text?",
    etag="text?",
    verify_method="text?",
    verified_at="text?",
    object_fate="text?",
    error="text?",
    legal_hold="flag",
    legal_hold_reason="text?",
    legal_hold_by="text?",
    legal_hold_at="text?",
    date_created="text",
    date_deleted="text?",
    purge_after="text?",
    url="text",
)


@on(
    router,
    "GET",
    PATH,
    responses=answers(200, "Newest first; LegalHold=true: those that are held", page_of("recordings", RECORDING)),
    openapi_extra=asks(LegalHold="flag", CallSid="text", IncludeSoftDeleted="flag", **PAGING),
)
async def list_recordings(account: Acting, parts: Opened, query: Query) -> Response:
    """List recordings as callreel sees them"""
    wish = PageWish.read(query)
    wanted = RecordingFilter(
        call_sid=query.sid("CallSid", "CA"),
        include_deleted=query.flag("IncludeSoftDeleted") or False,
        has_legal_hold=query.flag("LegalHold"),
    )
    page = await parts.ledger.recordings.list(account.sid, wanted, place=wish.place, size=wish.size)
    there = await parts.ledger.calls.which_exist(account.sid, [r.call_sid for r in page.rows if r.call_sid])
    names = ("LegalHold", "CallSid", "IncludeSoftDeleted")
    filters = [(name, value) for name in names if (value := query.text(name)) is not None]
    links = links_of(f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}", filters, wish, page)
    rows = [_json(recording, there, parts) for recording in page.rows]
    return json_answer(envelope_v1("recordings", rows, wish, links))


@on(
    router,
    "GET",
    PATH + "/{sid}",
    responses=answers(200, "The recording; a deleted one until its metadata is forgotten", RECORDING),
)
async def fetch(sid: str, account: Acting, parts: Opened) -> Response:
    """Fetch a recording as callreel sees it"""
    return await _answer(await parts.ledger.recordings.fetch(account.sid, _sid(sid)), parts)


@on(
    router,
    "POST",
    PATH + "/{sid}/LegalHold",
    responses=answers(200, "The recording, held or free", RECORDING),
    openapi_extra=takes({"Status": "text", "Reason": "text"}, required=["Status", "Reason"], json=True),
)
async def hold(sid: str, account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Set a legal hold (Status=on) or lift it (Status=off), with a reason"""
    form.required("Status")
    change = set_hold if form.choice("Status", ("on", "off")) == "on" else lift_hold
    changed = await change(
        account.sid,
        _sid(sid),
        reason=form.required("Reason"),
        ledger=parts.ledger,
        buckets=parts.buckets,
        clock=parts.clock,
        by=by,
    )
    return await _answer(changed, parts)


def _sid(sid: str) -> RecordingSid:
    """Voice or video."""
    if sid.startswith("RT"):
        return RecordingSid(path_sid("RT", sid))
    return RecordingSid(path_sid("RE", sid))


async def _answer(recording: Recording, parts: Parts) -> Response:
    sids = [recording.call_sid] if recording.call_sid else []
    return json_answer(_json(recording, await parts.ledger.calls.which_exist(recording.account_sid, sids), parts))


def _json(recording: Recording, calls: set[str], parts: Parts) -> dict[str, Any]:
    r = recording
    status = video_status(r.state) if r.video is not None else twilio_status(r.state)
    return {
        "sid": r.sid,
        "account_sid": r.account_sid,
        "kind": str(r.kind),
        "status": status,
        "state": "held" if r.is_held else str(r.state),
        "call_sid": r.call_sid,
        "call_log_deleted": r.call_sid is not None and r.call_sid not in calls,
        "size_bytes": r.blob_size_bytes or r.media_size_bytes,
        "duration_ms": r.duration_ms,
        "is_external": r.is_external,
        "bucket": r.bucket,
        "object_key": r.object_key,
        "object_url": r.object_url,
        "version_id": r.version_id,
        "etag": r.etag,
        "verify_method": r.verify_method,
        "verified_at": iso(r.verified_at) if r.verified_at else None,
        "object_fate": r.object_fate,
        "error": r.last_error,
        "legal_hold": r.has_legal_hold,
        "legal_hold_reason": r.legal_hold_reason,
        "legal_hold_by": r.legal_hold_by,
        "legal_hold_at": iso(r.legal_hold_at) if r.legal_hold_at else None,
        "date_created": iso(r.date_created),
        "date_deleted": iso(r.deleted_at) if r.deleted_at else None,
        "purge_after": iso(r.purge_after) if r.purge_after else None,
        "url": f"{parts.public_url}/callreel{PATH.format(account_sid=r.account_sid)}/{r.sid}",
    }
