"""Retention classes: how long which recordings are kept. What a change would touch is shown before it is confirmed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.visit import ROOT, Visit, back, screen
from callreel.console.words import SOURCES
from callreel.errors import InvalidParameter, NotFound, Refused
from callreel.model.object_lock import LockMode
from callreel.model.person import Right
from callreel.model.retention_class import RetentionClass, Touched
from callreel.model.sid import RetentionClassSid, is_sid, mint_sid
from callreel.model.storage_settings import RecordingKind
from callreel.steps.keep_retention_class import (
    dry_run,
    dry_run_removal,
    keep_retention_class,
    remove_retention_class,
)

LIST = f"{ROOT}/retention"
KINDS = {"voice": RecordingKind.VOICE, "video": RecordingKind.VIDEO}
MOST_CAMPAIGNS = 200
MOST_POSITION = 1_000_000
_FIELDS = ("name", "position", "kind", "source", "campaign", "keep_days", "lock_mode", "lock_days")


@screen(Right.STORAGE)
async def retention(visit: Visit) -> Response:
    """The classes in the order they are tried; posted to, a change is tried dry, or made when it was confirmed."""
    fault, asked, touched = "", None, None
    if visit.is_post:
        try:
            asked = await _asked(visit)
            removes = visit.form["do"] in ("remove", "confirm-remove")
            if visit.form["do"] in ("confirm", "confirm-remove"):
                return await _confirm(visit, asked, removes=removes)
            touched = await _try(visit, asked, removes=removes)
        except Refused as why:
            if isinstance(why, NotFound):
                raise
            fault = why.message
            touched = await _touched_again(visit, asked)
    return await _page(visit, asked, touched, fault)


async def _confirm(visit: Visit, asked: RetentionClass, *, removes: bool) -> Response:
    ledger, clock = visit.parts.ledger, visit.parts.clock
    confirmed = _count(visit.form.text("confirm"))
    if removes:
        await remove_retention_class(
            visit.account.sid, asked.sid, confirmed=confirmed, ledger=ledger, clock=clock, by=visit.actor
        )
    else:
        await keep_retention_class(asked, confirmed=confirmed, ledger=ledger, clock=clock, by=visit.actor)
    return back(visit, LIST, saved="1")


async def _try(visit: Visit, asked: RetentionClass, *, removes: bool) -> Touched:
    ledger, clock = visit.parts.ledger, visit.parts.clock
    if removes:
        return await dry_run_removal(visit.account.sid, asked.sid, ledger=ledger, clock=clock)
    return await dry_run(asked, ledger=ledger, clock=clock)


async def _touched_again(visit: Visit, asked: RetentionClass | None) -> Touched | None:
    """What it would touch as of now, for a change whose confirmation was not the right one; else None."""
    if asked is None or visit.form["do"] not in ("confirm", "confirm-remove"):
        return None
    try:
        return await _try(visit, asked, removes=visit.form["do"] == "confirm-remove")
    except Refused:
        return None


async def _asked(visit: Visit) -> RetentionClass:
    """The class of the form: new, or one of this account with its new values. Raises `NotFound`."""
    form, now = visit.form, visit.parts.clock.now()
    if form["do"] not in ("try", "confirm", "remove", "confirm-remove"):
        raise InvalidParameter("This form is unknown")
    sid = form["sid"]
    if sid and not is_sid("RC", sid):
        raise InvalidParameter("This class is not known")
    if sid:
        found = await visit.parts.ledger.retention_classes.fetch(visit.account.sid, sid)
        if form["do"] in ("remove", "confirm-remove"):
            return found
        return replace(found, **_sent(visit), date_updated=now)
    born = RetentionClass(
        sid=RetentionClassSid(mint_sid("RC")),
        account_sid=visit.account.sid,
        friendly_name="",
        position=0,
        date_created=now,
        date_updated=now,
    )
    return replace(born, **_sent(visit))


def _sent(visit: Visit) -> dict[str, Any]:
    form = visit.form
    mode, source, kind = form.text("lock_mode"), form.text("source"), form.text("kind")
    if mode and mode not in tuple(LockMode):
        raise InvalidParameter("Choose how objects are locked")
    if (source and source not in SOURCES) or (kind and kind not in KINDS):
        raise InvalidParameter("Choose which recordings it fits")
    if len(form.text("campaign")) > 255:
        raise InvalidParameter("A campaign's name has at most 255 characters")
    return {
        "friendly_name": form.text("name"),
        "position": min(_number(form.text("position"), "The position") or 0, MOST_POSITION),
        "kind": KINDS.get(kind),
        "source": source or None,
        "campaign": form.text("campaign") or None,
        "keep_days": _number(form.text("keep_days"), "The days to keep"),
        "lock_mode": LockMode(mode) if mode else None,
        "lock_days": _number(form.text("lock_days"), "The days to lock"),
    }


def _number(text: str, what: str) -> int | None:
    if not text:
        return None
    if not (text.isdigit() and text.isascii() and len(text) < 8):
        raise InvalidParameter(f"{what}: a whole number")
    return int(text)


def _count(text: str) -> int:
    plain = text.replace(",", "")
    return int(plain) if plain.isdigit() and plain.isascii() and len(plain) < 12 else 0


async def _page(visit: Visit, asked: RetentionClass | None, touched: Touched | None, fault: str) -> Response:
    ledger = visit.parts.ledger
    found = await ledger.retention_classes.of_account(visit.account.sid)
    campaigns = await ledger.campaigns.list(visit.account.sid, place=None, size=MOST_CAMPAIGNS)
    changed = next((each for each in found if each.sid == visit.query.text("change")), None)
    if visit.is_post:
        changed = next((each for each in found if asked is not None and each.sid == asked.sid), None)
    return page(
        visit,
        "retention.html",
        status=400 if fault else 200,
        classes=found,
        campaigns=sorted({each.friendly_name for each in campaigns.rows}),
        sources=SOURCES,
        changed=changed,
        shown=asked or changed,
        removes=visit.form["do"] in ("remove", "confirm-remove"),
        touched=touched,
        fields=[(name, visit.form[name]) for name in _FIELDS],
        fault=fault,
        was_saved="saved" in visit.query,
    )


ROUTES = (Route("/retention", retention, methods=["GET", "POST"]),)
