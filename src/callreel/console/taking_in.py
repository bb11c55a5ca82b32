"""A recording handed in from the browser: the file itself as the body, acknowledged when it is durable."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from callreel.console.fields import Fields
from callreel.console.visit import FORGED, ROOT, Visit, is_ours, screen
from callreel.errors import CallreelError, InvalidParameter, NotAllowed, NotNow, Refused
from callreel.model.intake import SOURCES, Intake
from callreel.model.person import Right
from callreel.model.sid import mint_sid
from callreel.steps.ingest import ingest

LONGEST = 100
DEFAULT_SOURCE = "OutboundAPI"


@screen(Right.TAKE_IN)
async def take_in(visit: Visit) -> Response:
    """The script of the recordings' page sends the file by PUT, with the form's token in a header."""
    if not is_ours(visit.request, Fields(), visit.secret):
        raise NotAllowed(FORGED)
    try:
        intake = _intake(visit)
        announced = visit.request.headers.get("content-length", "")
        recording = await ingest(
            visit.request.stream(),
            intake,
            announced_bytes=int(announced) if announced.isdigit() else None,
            limit_bytes=visit.parts.chosen.max_upload_bytes,
            births=visit.parts.births,
            keyring=visit.parts.keyring,
            index=visit.parts.index,
        )
    except (Refused, NotNow) as why:
        return _said(why)
    return JSONResponse({"path": f"{ROOT}/recordings/{recording.sid}"}, 201, {"cache-control": "no-store"})


def _said(why: CallreelError) -> Response:
    status = 503 if isinstance(why, NotNow) else 400
    return JSONResponse({"why": why.message}, status, {"cache-control": "no-store"})


def _intake(visit: Visit) -> Intake:
    query = visit.query
    numbers = {name: query.text(name)[:LONGEST] or None for name in ("from", "to")}
    source = query.text("source") or DEFAULT_SOURCE
    if source not in SOURCES:
        raise InvalidParameter("This source is none that there is")
    return Intake(
        account_sid=visit.account.sid,
        call_sid=mint_sid("CA") if any(numbers.values()) else None,
        from_number=numbers["from"],
        to_number=numbers["to"],
        source=source,
    )


ROUTES = (Route("/recordings/take-in", take_in, methods=["PUT"]),)
