"""Moving out of Twilio: the sources of an account, what each allows, what a move would come to, and its start."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import date as Day
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.recording_filters import place_of, place_text
from callreel.console.visit import ROOT, Visit, back, screen
from callreel.errors import Final, InvalidDestination, InvalidParameter, MissingParameter, NotNow, Refused
from callreel.migration.plan import Plan, plan
from callreel.model.migration import LIVE
from callreel.model.person import Right
from callreel.model.sid import is_sid
from callreel.model.source import TWILIO_URL, Ability, Source, webhook_trouble
from callreel.model.storage_settings import RecordingKind
from callreel.steps.keep_source import SourceWish, add_source, change_source, check_source, remove_source

LIST = f"{ROOT}/migration"
SIZE = 20
MOST_SOURCES = 200
PLAN_S = 60.0  # a browser waits so long; the command line waits longer
POLLS = (("0", "Never"), ("60", "Each minute"), ("300", "Every 5 minutes"), ("3600", "Each hour"))
ABILITIES = {
    "list": "Read the list of recordings",
    "media": "Fetch media",
    "delete": "Delete originals",
    "subaccounts": "Read subaccounts",
    "calls": "Read who called whom",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was asked of a source, for the page that answers it."""

    checks: Sequence[Ability] = ()
    ok: bool | None = None
    plan: Plan | None = None
    fault: str = ""


@screen(Right.MIGRATE)
async def migration(visit: Visit) -> Response:
    """Sources, the form for a new one, and every migration so far."""
    fault = ""
    if visit.is_post:
        try:
            return back(visit, f"{LIST}/sources/{(await _add(visit)).sid}")
        except Refused as why:
            fault = why.message
    ledger, account_sid = visit.parts.ledger, visit.account.sid
    found = await ledger.migrations.list(account_sid, place=place_of(visit.query, "MG"), size=SIZE)
    rows = found.rows
    kept = await ledger.sources.list(account_sid, place=None, size=MOST_SOURCES)
    return page(
        visit,
        "migration.html",
        status=400 if fault else 200,
        sources=kept.rows,
        names={source.sid: source.friendly_name for source in kept.rows},
        rows=rows,
        now=visit.parts.clock.now(),
        fault=fault,
        polls=POLLS,
        base_url=TWILIO_URL,
        gone="removed" in visit.query,
        older=place_text(rows[-1].date_created, rows[-1].sid) if rows and found.has_next else "",
        newer=place_text(rows[0].date_created, rows[0].sid) if rows and found.has_previous else "",
    )


@screen(Right.MIGRATE)
async def source(visit: Visit) -> Response:
    """One source: what it allows, its credential, what a move would come to; a move begins here."""
    found = await visit.parts.ledger.sources.fetch(visit.account.sid, visit.sid("SR"))
    outcome = Outcome()
    if visit.is_post:
        try:
            done = await _do(visit, found)
        except (Refused, NotNow, Final) as why:
            outcome = Outcome(fault=why.message)
        else:
            if isinstance(done, Response):
                return done
            outcome = done
    ledger = visit.parts.ledger
    moves = await ledger.migrations.list(visit.account.sid, place=None, size=MOST_SOURCES)
    chosen = await ledger.deletion_settings.of(visit.account.sid)
    return page(
        visit,
        "source.html",
        status=400 if outcome.fault else 200,
        found=found,
        outcome=outcome,
        abilities=ABILITIES,
        polls=POLLS,
        live=next((m for m in moves.rows if m.source_sid == found.sid and m.status in LIVE), None),
        webhook_url=f"{visit.parts.public_url}/callreel/v1/Accounts/{found.account_sid}/Sources/{found.sid}/Webhook",
        webhook_trouble=webhook_trouble(visit.parts.public_url),
        deletes=chosen.delete_source_after_migration,
        bucket=await bucket_now(visit),
        prices=visit.parts.chosen.prices,
    )


async def bucket_now(visit: Visit) -> str:
    """Where voice recordings go by the settings of now; empty for service storage."""
    _, settings = await visit.parts.ledger.settings.current(visit.account.sid, RecordingKind.VOICE)
    try:
        there = visit.parts.buckets.destination_of(settings)
    except InvalidDestination:
        return ""
    return there.bucket if there else ""


async def _add(visit: Visit) -> Source:
    form, parts = visit.form, visit.parts
    sid = form.text("twilio_account_sid")
    if form["do"] != "add":
        raise InvalidParameter("This form is unknown")
    if not is_sid("AC", sid):
        raise InvalidParameter("The account SID at Twilio is AC and 32 hexadecimal digits")
    if not form.text("secret"):
        raise InvalidParameter("A source needs the auth token, or an API key with its secret")
    return await add_source(
        visit.account.sid,
        sid,
        _wish(visit),
        base_url=form.text("base_url") or None,
        ledger=parts.ledger,
        sources=parts.sources,
        guard=parts.guard,
        clock=parts.clock,
        by=visit.actor,
    )


async def _do(visit: Visit, found: Source) -> Response | Outcome:
    parts, form = visit.parts, visit.form
    shelves: dict[str, Any] = {"ledger": parts.ledger, "sources": parts.sources}
    if form["do"] == "check":
        ok, checks = await check_source(found, **shelves)
        return Outcome(checks=checks, ok=ok)
    if form["do"] == "change":
        await change_source(found, _wish(visit), **shelves, clock=parts.clock, by=visit.actor)
        return back(visit)
    if form["do"] == "remove":
        if form.text("confirm") != found.sid[-4:]:
            raise InvalidParameter(f"To remove it, type {found.sid[-4:]}, the last four characters of its SID")
        await remove_source(found, ledger=parts.ledger, clock=parts.clock, by=visit.actor)
        return back(visit, LIST, removed="1")
    after, before = _span(visit)
    if form["do"] == "plan":
        return Outcome(plan=await _plan(visit, found, after, before))
    if form["do"] != "start":
        raise InvalidParameter("This form is unknown")
    started = await parts.ledger.migrations.start(
        found, host_id=parts.spool.host_id, created_after=after, created_before=before, by=visit.actor
    )
    return back(visit, f"{LIST}/{started.sid}")


async def _plan(visit: Visit, found: Source, after: datetime | None, before: datetime | None) -> Plan:
    client = await visit.parts.sources.open(found)
    try:
        async with asyncio.timeout(PLAN_S):
            return await plan(
                found, client, created_after=after, created_before=before, prices=visit.parts.chosen.prices
            )
    except TimeoutError as why:
        raise InvalidParameter(
            "Its list is too long to be added up while a browser waits: `callreel migrate plan` takes its time"
        ) from why


def _wish(visit: Visit) -> SourceWish:
    form = visit.form
    key, secret, name, poll = (form.text(each) for each in ("key_sid", "secret", "name", "poll"))
    if key and not is_sid("SK", key):
        raise InvalidParameter("An API key's SID is SK and 32 hexadecimal digits")
    if key and not secret:
        raise MissingParameter("ApiKeySecret")
    if poll and not (poll.isdigit() and poll.isascii() and len(poll) < 7):
        raise InvalidParameter("How often to look is a number of seconds")
    return SourceWish(
        friendly_name=name or None,
        auth_token=secret if secret and not key else None,
        api_key_sid=key or None,
        api_key_secret=secret if key else None,
        poll_seconds=int(poll) if poll else None,
        include_subaccounts=bool(form["subaccounts"]),
        record_verb_is_voicemail=bool(form["voicemail"]),
        include_calls=not form["without_calls"],
    )


def _span(visit: Visit) -> tuple[datetime | None, datetime | None]:
    after, before = _day(visit.form.text("from")), _day(visit.form.text("to"))
    if before is not None:
        before += timedelta(days=1)
    if after is not None and before is not None and after >= before:
        raise InvalidParameter("The first day must not be after the last")
    return after, before


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = Day.fromisoformat(text)
    except ValueError as why:
        raise InvalidParameter(f"'{text[:40]}' is not a date like 2026-11-21") from why
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


ROUTES = (
    Route("/migration", migration, methods=["GET", "POST"]),
    Route("/migration/sources/{sid}", source, methods=["GET", "POST"]),
)
