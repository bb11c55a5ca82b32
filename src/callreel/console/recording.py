"""One recording: hear it, see how it got where it is, and what the API says of it."""

from __future__ import annotations

import json

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.playing import bucket_origin, obstacle_of, offers_mp3
from callreel.console.recordings import is_moving
from callreel.console.snippets import snippets_of
from callreel.console.timeline import PROOFS, timeline_of
from callreel.console.visit import Visit, back, screen
from callreel.errors import InvalidParameter, NotFound, StateConflict
from callreel.ledger.holds import NOTHING_TO_HOLD
from callreel.model.credential import CredentialKind
from callreel.model.person import Right
from callreel.model.recording import COMPLETED, Recording
from callreel.model.storage_settings import RecordingKind
from callreel.steps.hold import lift_hold, set_hold
from callreel.steps.read_calls import find_calls
from callreel.steps.restart import can_be_restarted, restart


@screen(Right.LIST)
async def recording(visit: Visit) -> Response:
    """The page; posted to, its delivery begins again, or a legal hold is set or lifted."""
    found = await visit.parts.ledger.recordings.fetch(visit.account.sid, visit.recording_sid())
    if found.kind is not RecordingKind.VOICE:
        raise NotFound()
    fault = ""
    if visit.is_post:
        try:
            return await _do(visit, found)
        except (InvalidParameter, StateConflict) as why:
            fault = why.message
    ledger = visit.parts.ledger
    calls = await find_calls(visit.account.sid, [found.call_sid] if found.call_sid else [], logs=visit.parts.logs)
    moves = await ledger.recordings.history(visit.account.sid, found.sid)
    events = await ledger.outbox.list_of(visit.account.sid, found.sid)
    return page(
        visit,
        "recording.html",
        status=400 if fault else 200,
        fault=fault,
        can_hold=found.state not in NOTHING_TO_HOLD,
        bucket_origin=bucket_origin(found),
        r=found,
        call=calls.get(found.call_sid or ""),
        obstacle=obstacle_of(found),
        moving=is_moving(found),
        lines=timeline_of(found, moves, events),
        proof=PROOFS.get(found.verify_method or ""),
        snippets=snippets_of(found, visit.parts.public_url),
        credential=await credential_of(visit, found),
        completed=found.state in COMPLETED,
        can_restart=can_be_restarted(found),
        has_mp3=offers_mp3(found),
        opening=json.dumps(_opening(found)),
        deletion=await ledger.deletion_settings.of(visit.account.sid),
    )


async def _do(visit: Visit, found: Recording) -> Response:
    ledger, buckets, do = visit.parts.ledger, visit.parts.buckets, visit.form["do"]
    if do == "restart":
        visit.require(Right.RESTART)
        await restart(found, ledger=ledger, buckets=buckets, by=visit.by)
        return back(visit)
    if do not in ("hold", "lift"):
        raise NotFound()
    visit.require(Right.HOLD)
    change = set_hold if do == "hold" else lift_hold
    await change(
        visit.account.sid,
        found.sid,
        reason=visit.form.text("reason"),
        ledger=ledger,
        buckets=buckets,
        clock=visit.parts.clock,
        by=visit.by,
    )
    return back(visit)


async def credential_of(visit: Visit, found: Recording) -> str:
    """The name of the credential its settings name; empty where there is none any more."""
    sid = found.settings.aws_credentials_sid
    if not found.is_external or sid is None:
        return ""
    try:
        kept = await visit.parts.ledger.credentials.fetch(visit.account.sid, CredentialKind.AWS, sid)
    except NotFound:
        return ""
    return kept.friendly_name or sid


_DETAILS = {"cek": "encrypted_cek", "iv": "iv", "key": "public_key_sid"}


def _opening(found: Recording) -> dict[str, str] | None:
    """What the page needs to open an encrypted recording, beside the private key that only its owner has."""
    details = found.encryption_details
    if details is None:
        return None
    return {name: details.get(kept, "") for name, kept in _DETAILS.items()}


ROUTES = (Route("/recordings/{sid}", recording, methods=["GET", "POST"]),)
