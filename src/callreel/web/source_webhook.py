"""What Twilio tells of a new recording: believed when the source's auth token signed it, and only that far.

The media is always fetched from the source's own base URL, whatever the body says.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from callreel.errors import InvalidParameter, NotAllowed, NotFound
from callreel.migration.offer import offer
from callreel.model.intake import SOURCES, TRACKS
from callreel.model.sid import AccountSid
from callreel.model.source import VOICEMAIL, Source, SourceRecording, SourceStatus
from callreel.outbound.signature import is_signed_by
from callreel.source.twilio_words import read_details, read_moment
from callreel.web.auth import Opened, path_sid
from callreel.web.description import answers, asks
from callreel.web.forms import Parameters, read_body_pairs, read_query
from callreel.web.routes import on
from callreel.web.sources import PATH

router = APIRouter()
TWILIOS_SECOND = timedelta(seconds=2)  # its times and durations are whole seconds, each cut off
LONGEST_CALL = timedelta(hours=24)  # Twilio's; no recording lasts longer


@on(
    router,
    "POST",
    PATH + "/{sid}/Webhook",
    responses=answers(204, "Taken, or nothing to take; 403 when the source's auth token did not sign it"),
    openapi_extra=asks(Source="text") | {"security": []},
)
async def take_webhook(request: Request, account_sid: str, sid: str, parts: Opened) -> Response:
    """Take a recording status callback of a source"""
    account, source_sid = AccountSid(path_sid("AC", account_sid)), path_sid("SR", sid)
    source = await parts.ledger.sources.fetch(account, source_sid)
    if not source.has_webhook:
        raise NotFound()
    pairs = await read_body_pairs(request)
    # As Twilio signed it: the public URL, whatever a proxy made of it on its way here.
    url = f"{parts.public_url}/callreel{PATH.format(account_sid=account_sid)}/{sid}/Webhook"
    if query := request.scope["query_string"].decode("ascii", "replace"):
        url += f"?{query}"
    token = await parts.sources.secret(source)
    if not is_signed_by(token, url, pairs, request.headers.get("x-twilio-signature", "")):
        raise NotAllowed(
            "The X-Twilio-Signature is not the source's. Check the auth token of the source, and that PUBLIC_URL is "
            "the address Twilio calls"
        )
    one = read_callback(Parameters(pairs), source, now=parts.clock.now())
    if one is not None:
        marked = read_query(request).choice("Source", SOURCES) == VOICEMAIL
        await offer(source, [one], ledger=parts.ledger, spool=parts.spool, marked_voicemail=marked)
    return Response(status_code=204)


def read_callback(form: Parameters, source: Source, *, now: datetime) -> SourceRecording | None:
    """The recording a signed callback tells of; None for one that is not finished or older than its source.

    Raises `InvalidParameter` for what is no recording callback, and `NotAllowed` for one of another account.
    """
    if form.text("AccountSid") != source.twilio_account_sid:
        raise NotAllowed("The callback is about another account than the source's")
    if SourceStatus.read(form.text("RecordingStatus") or "completed") is not SourceStatus.COMPLETED:
        return None
    sid = form.sid("RecordingSid", "RE")
    if sid is None:
        raise InvalidParameter("The callback names no RecordingSid", parameter="RecordingSid")
    started, lasted_s = _moment(form), form.number("RecordingDuration", least=0)
    ended = now if started is None else started + timedelta(seconds=lasted_s or 0)
    if ended + TWILIOS_SECOND < source.date_created:
        return None  # an old callback, sent again: what is older moves by a migration
    if ended > now + LONGEST_CALL:
        raise InvalidParameter("RecordingStartTime lies in the future", parameter="RecordingStartTime")
    return SourceRecording(
        sid=sid,
        account_sid=source.twilio_account_sid,
        call_sid=form.sid("CallSid", "CA"),
        conference_sid=form.sid("ConferenceSid", "CF"),
        date_created=started or now,
        start_time=started,
        duration_s=lasted_s,
        channels=2 if form.text("RecordingChannels") == "2" else 1,
        source=_word(form, "RecordingSource", SOURCES) or "OutboundAPI",
        track=_word(form, "RecordingTrack", TRACKS),
        status=SourceStatus.COMPLETED,
        encryption_details=_details(form),
    )


def _moment(form: Parameters) -> datetime | None:
    try:
        found = read_moment(form.text("RecordingStartTime"))
    except ValueError as why:
        raise InvalidParameter("RecordingStartTime is no date", parameter="RecordingStartTime") from why
    return None if found is None else found.astimezone(UTC)


def _details(form: Parameters) -> dict[str, str] | None:
    try:
        return read_details(form.text("EncryptionDetails"))
    except ValueError as why:
        raise InvalidParameter("EncryptionDetails is no JSON", parameter="EncryptionDetails") from why


def _word(form: Parameters, name: str, among: tuple[str, ...]) -> str | None:
    """One of the words that are known; another is no reason to leave a recording where it is."""
    value = form.text(name)
    return value if value in among else None
