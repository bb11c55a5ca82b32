"""Video recordings, by room: where each stands, and its media by a URL that ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.recording_filters import place_of, place_text
from callreel.console.visit import Visit, screen
from callreel.errors import Final, InvalidDestination, InvalidParameter, NotFound, NotNow, SealBroken
from callreel.ledger.paging import Place
from callreel.ledger.video_tracks import VideoFilter
from callreel.model.deed import Action
from callreel.model.person import Right
from callreel.model.recording import COMPLETED, Recording, State
from callreel.model.sid import RecordingSid, is_sid
from callreel.model.video_track import TrackType
from callreel.sealing.media_ticket import Disposition
from callreel.steps.serve import serve_video

SIZE = 50
URL_S = 600  # a temporary URL lives so long, as at Twilio
TYPES = {"audio": TrackType.AUDIO, "video": TrackType.VIDEO}
_SHOWN = frozenset(State) - {State.PURGED, State.DELETED, State.DELETING}


@screen(Right.LIST)
async def video(visit: Visit) -> Response:
    """The list, newest first; those of one room under its name."""
    query, faults = visit.query, list[str]()
    place: Place | None = None
    try:
        place = place_of(query, "RT")
    except InvalidParameter as why:
        faults.append(why.message)
    room_sid = await _room(visit, query.text("room"), faults)
    wanted = VideoFilter(
        states=_SHOWN, grouping_sids=(room_sid,) if room_sid else (), type=TYPES.get(query.text("type"))
    )
    found = await visit.parts.ledger.recordings.list_video(visit.account.sid, wanted, place=place, size=SIZE)
    rows = found.rows
    return page(
        visit,
        "video.html",
        rooms=_by_room(rows),
        rows=rows,
        query=query,
        faults=faults,
        filtered=any(query.text(name) for name in ("room", "type")),
        completed=COMPLETED,
        newer=query.changed(after=None, before=_at(rows[0])) if rows and found.has_previous else "",
        older=query.changed(before=None, after=_at(rows[-1])) if rows and found.has_next else "",
    )


@screen(Right.DOWNLOAD)
async def media(visit: Visit) -> Response:
    """To a URL that gives the media for some minutes. Whoever is given one is in the audit."""
    found = await visit.parts.ledger.recordings.fetch(visit.account.sid, RecordingSid(visit.sid("RT")))
    try:
        url = await serve_video(
            found,
            ttl_s=URL_S,
            disposition=Disposition.ATTACHMENT,
            public_url=visit.parts.public_url,
            buckets=visit.parts.buckets,
            tickets=visit.parts.tickets,
            clock=visit.parts.clock,
        )
    except (Final, InvalidDestination, SealBroken) as why:
        raise NotNow(f"The bucket of this recording cannot be asked for it now: {why.message}") from why
    deed = visit.actor.deed(Action.RECORDING_DOWNLOADED, visit.account.sid, found.sid, seconds=URL_S)
    await visit.parts.ledger.audit.write(deed)
    return RedirectResponse(url, 303, {"cache-control": "no-store"})


async def _room(visit: Visit, text: str, faults: list[str]) -> str:
    """The SID of the room that was asked for, by its SID or its name; empty for all."""
    if not text:
        return ""
    if is_sid("RM", text):
        return text
    try:
        return (await visit.parts.ledger.rooms.fetch(visit.account.sid, text[:256])).sid
    except NotFound:
        faults.append(f"No room is called '{text[:80]}'")
        return "RM" + "0" * 32


def _by_room(rows: Sequence[Recording]) -> list[tuple[str, str, list[Recording]]]:
    """Rows that stand together, under the SID and name of their room."""
    return [
        (sid, name, list(group))
        for (sid, name), group in groupby(
            rows, lambda r: (r.video.room_sid, r.video.room_name) if r.video is not None else ("", "")
        )
    ]


def _at(recording: Recording) -> str:
    return place_text(recording.date_created, recording.sid)


ROUTES = (
    Route("/video", video, methods=["GET"]),
    Route("/video/{sid}/media", media, methods=["GET"]),
)
