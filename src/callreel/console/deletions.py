"""Deleting recordings: what was selected is frozen, looked at, confirmed with a typed word, and then watched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.fields import Fields
from callreel.console.pages import page
from callreel.console.recording_filters import NAMES, place_of, place_text, searched, wanted_by
from callreel.console.visit import ROOT, Visit, back, screen
from callreel.errors import InvalidParameter, Refused
from callreel.model.deletion import Deletion, DeletionStatus, FrozenGroup
from callreel.model.mail_address import parse_mail_address
from callreel.model.person import Right
from callreel.model.sid import is_sid
from callreel.steps.delete_in_bulk import confirm_bulk, delete_in_bulk

LIST = f"{ROOT}/deletions"
SIZE = 50
MOST_SELECTED = 1000
MOST_FAILURES = 200
REFRESH_S = 2


@screen(Right.DELETE)
async def deletions(visit: Visit) -> Response:
    """What was deleted in bulk so far; posted to, what is selected is frozen, and nothing is deleted yet."""
    if visit.is_post:
        return await _freeze(visit)
    place = place_of(visit.query, "BD")
    found = await visit.parts.ledger.deletions.list(visit.account.sid, place=place, size=SIZE)
    rows = found.rows
    older = place_text(rows[-1].date_created, rows[-1].sid) if rows and found.has_next else ""
    newer = place_text(rows[0].date_created, rows[0].sid) if rows and found.has_previous else ""
    return page(visit, "deletions.html", rows=rows, older=older, newer=newer)


@screen(Right.DELETE)
async def deletion(visit: Visit) -> Response:
    """One deletion: to be confirmed, under way with its progress, or done with what could not be deleted."""
    found = await visit.parts.ledger.deletions.fetch(visit.account.sid, visit.sid("BD"))
    fault = ""
    if visit.is_post:
        try:
            await _confirm(visit, found)
            return back(visit)
        except Refused as why:
            fault = why.message
    return await _page(visit, found, fault)


async def _freeze(visit: Visit) -> Response:
    form = visit.form
    wanted: Any
    if form["all"]:
        query = Fields([(name, value) for name, value in visit.query.pairs if name in NAMES])
        asked, _, faults = wanted_by(query)
        if faults:
            raise InvalidParameter(". ".join(faults))
        wanted = await searched(asked, query.text("q"), visit.account.sid, visit.parts.logs)
    else:
        wanted = list(dict.fromkeys(sid for sid in form.all("sid") if is_sid("RE", sid) or is_sid("RT", sid)))
        if not wanted:
            raise InvalidParameter("Select at least one recording first")
        if len(wanted) > MOST_SELECTED:
            raise InvalidParameter(f"Select at most {MOST_SELECTED} recordings, or all that match")
    made = await delete_in_bulk(
        visit.account.sid,
        wanted,
        status=DeletionStatus.DRY_RUN,
        receipt_email=None,
        ledger=visit.parts.ledger,
        clock=visit.parts.clock,
        by=visit.actor,
    )
    return back(visit, f"{LIST}/{made.sid}")


async def _confirm(visit: Visit, found: Deletion) -> None:
    wanted = word(await _deletable(visit, found))
    if " ".join(visit.form.text("confirm").lower().split()) != wanted:
        raise InvalidParameter(f"Type “{wanted}” to confirm")
    email = visit.form.text("receipt") or None
    if email is not None:
        if visit.parts.mailer is None:
            raise InvalidParameter("This installation sends no mail: leave the receipt empty")
        parse_mail_address("The receipt's address", email)
    await confirm_bulk(visit.account.sid, found.sid, receipt_email=email, ledger=visit.parts.ledger, by=visit.actor)


def word(count: int) -> str:
    """What is typed to confirm."""
    return f"delete {count}"


async def _page(visit: Visit, found: Deletion, fault: str) -> Response:
    ledger = visit.parts.ledger
    is_draft = found.status is DeletionStatus.DRY_RUN
    groups = await ledger.deletions.standings(visit.account.sid, found.sid) if is_draft else []
    failures = [] if is_draft else await ledger.deletions.list_failed(found.sid, limit=MOST_FAILURES)
    days = visit.parts.chosen.retention.voice_days
    return page(
        visit,
        "deletion_progress.html" if visit.is_fragment else "deletion.html",
        status=400 if fault else 200,
        found=found,
        groups=sorted((g for g in groups if _goes(g)), key=lambda g: g.bucket or ""),
        left=[g for g in groups if not _goes(g)],
        deletable=_count(groups),
        failures=failures,
        fault=fault,
        word=word(_count(groups)),
        days=days,
        until=visit.parts.clock.now() + timedelta(days=days),
        sends_mail=visit.parts.mailer is not None,
        refresh_s=REFRESH_S,
    )


async def _deletable(visit: Visit, found: Deletion) -> int:
    return _count(await visit.parts.ledger.deletions.standings(visit.account.sid, found.sid))


def _count(groups: Sequence[FrozenGroup]) -> int:
    return sum(group.count for group in groups if _goes(group))


def _goes(group: FrozenGroup) -> bool:
    return group.is_done and not group.is_held


ROUTES = (
    Route("/deletions", deletions, methods=["GET", "POST"]),
    Route("/deletions/{sid}", deletion, methods=["GET", "POST"]),
)
