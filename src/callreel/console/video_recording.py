"""One video recording: what it is of, how it got where it is, and what the API says of it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.playing import obstacle_of
from callreel.console.recording import credential_of
from callreel.console.recordings import is_moving
from callreel.console.snippets import video_snippets_of
from callreel.console.timeline import PROOFS, timeline_of
from callreel.console.visit import Visit, back, screen
from callreel.errors import InvalidParameter, LegalHold, NotFound, RecordingNotFinished
from callreel.model.person import Right
from callreel.model.recording import COMPLETED, Recording
from callreel.model.sid import RecordingSid
from callreel.steps.request_deletion import request_deletion
from callreel.steps.restart import can_be_restarted, restart

WORD = "delete 1"


@screen(Right.LIST)
async def video_recording(visit: Visit) -> Response:
    """The page; posted to, its delivery begins again, or it is deleted after the typed word."""
    found = await visit.parts.ledger.recordings.fetch(visit.account.sid, RecordingSid(visit.sid("RT")))
    if found.video is None:
        raise NotFound()
    fault = ""
    if visit.is_post:
        try:
            return await _do(visit, found)
        except (InvalidParameter, LegalHold, RecordingNotFinished) as why:
            fault = why.message
    ledger = visit.parts.ledger
    completed = found.state in COMPLETED
    return page(
        visit,
        "video_recording.html",
        status=400 if fault else 200,
        fault=fault,
        r=found,
        obstacle=obstacle_of(found),
        moving=is_moving(found),
        lines=timeline_of(
            found,
            await ledger.recordings.history(visit.account.sid, found.sid),
            await ledger.outbox.list_of(visit.account.sid, found.sid),
        ),
        proof=PROOFS.get(found.verify_method or ""),
        snippets=video_snippets_of(found, visit.parts.public_url),
        credential=await credential_of(visit, found),
        completed=completed,
        can_restart=can_be_restarted(found),
        may_delete=visit.may(Right.DELETE) and completed and not found.has_legal_hold,
    )


async def _do(visit: Visit, found: Recording) -> Response:
    parts, do = visit.parts, visit.form["do"]
    if do == "restart":
        visit.require(Right.RESTART)
        await restart(found, ledger=parts.ledger, buckets=parts.buckets, by=visit.by)
    elif do == "delete":
        visit.require(Right.DELETE)
        if visit.form.text("confirm").lower().split() != WORD.split():
            raise InvalidParameter(f"Type '{WORD}' to confirm. Nothing was deleted")
        await request_deletion(visit.account.sid, found.sid, ledger=parts.ledger, by=visit.by)
    else:
        raise NotFound()
    return back(visit)


ROUTES = (Route("/video/{sid}", video_recording, methods=["GET", "POST"]),)
