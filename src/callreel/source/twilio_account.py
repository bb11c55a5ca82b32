"""A Twilio account, or anything that speaks its API at a base URL: list, fetch media, delete, and nothing else.

It asks for `Recordings.json`, `Recordings/{RE}.json`, `Recordings/{RE}.wav`, `Calls.json`, `Calls/{CA}.json` and
`Accounts.json`, and deletes `Recordings/{RE}.json`. It never writes to the account otherwise. Every foreign error ends
here, as a leaf of ours.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from callreel.clock import Clock
from callreel.errors import (
    CallreelError,
    MediaGone,
    MediaMismatch,
    MediaNotReady,
    NotNow,
    SourceRefused,
    SourceUnauthorized,
    SourceUnreachable,
)
from callreel.model.sid import mint_sid
from callreel.model.source import (
    NEVER_MEDIA,
    Ability,
    AbilityOutcome,
    DeleteAnswer,
    DeleteOutcome,
    SourceCall,
    SourceCallPage,
    SourceCredential,
    SourcePage,
    SourceRecording,
)
from callreel.source.pace import Pace
from callreel.source.twilio_words import (
    MONO_ASKED_FOR_DUAL,
    NOT_YET_AVAILABLE,
    is_media,
    not_twilio,
    read_call,
    read_error,
    read_object,
    read_recording,
    refusal,
)
from callreel.source.wire import (
    IDLE_S,
    TRANSPORT_ERRORS,
    Reply,
    Wire,
    origin_of,
    read_error_body,
    retry_after_s,
)

VERSION = "/2010-04-01"
PAGE_SIZE = 1000  # Twilio's most
SLOWEST_BYTES_PER_S = 4 << 10  # an eighth of what a telephone call fills; slower than this is a stall
CHUNK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """A subaccount over there."""

    sid: str
    friendly_name: str
    status: str


@dataclass(slots=True)
class SourceMedia:
    """Media on its way. `length` is what the source announced, None when it did not."""

    length: int | None
    content_type: str
    _response: aiohttp.ClientResponse = field(repr=False)
    _clock: Clock = field(repr=False)
    _wire: Wire = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, once, exactly as long as announced.

        Raises `MediaMismatch` when it ends early, and `SourceUnreachable` when it stalls or breaks; then what came
        so far is worth nothing.
        """
        came, began = 0, self._clock.monotonic()
        try:
            async for chunk in self._response.content.iter_chunked(CHUNK_BYTES):
                came += len(chunk)
                yield chunk
                if self._clock.monotonic() - began > IDLE_S + came / SLOWEST_BYTES_PER_S:
                    raise SourceUnreachable(f"{self._wire.host} sends slower than {SLOWEST_BYTES_PER_S} bytes a second")
        except aiohttp.ClientPayloadError as why:
            raise MediaMismatch(f"The media ended after {came} of {self._announced()} bytes") from why
        except TRANSPORT_ERRORS as why:
            raise self._wire.broken(why) from why
        if self.length is not None and came != self.length:
            raise MediaMismatch(f"The media had {came} bytes where {self.length} were announced")

    def _announced(self) -> str:
        return "an unknown number of" if self.length is None else str(self.length)


class TwilioAccount:
    """One source, opened with its credential. `pace` is shared by everything that works on this source."""

    def __init__(
        self,
        base_url: str,
        twilio_account_sid: str,
        credential: SourceCredential,
        http: aiohttp.ClientSession,
        *,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self.account_sid, self.pace, self._clock = twilio_account_sid, pace, clock
        self._wire = Wire(base_url, credential, http, pace=pace, clock=clock)
        self._origin = origin_of(base_url)

    async def list_page(
        self,
        account_sid: str,
        *,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        next_page: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> SourcePage:
        """A page of recordings created in [created_after, created_before), newest first as Twilio lists them.

        Twilio filters by whole days in GMT, so it is asked for the days around and the rest is left out here: a page
        may be empty without being the last. `next_page` is that of the page before. Raises `SourceUnauthorized`,
        `SourceRefused`, `SourceStumbled`, `SourceUnreachable`, `SourceRedirects`, `SourceRateLimited`.
        """
        path = next_page or _first_page(account_sid, created_after, created_before, page_size)
        found = self._object(await self._wire.ask("GET", self._listing(account_sid, path)))
        rows = found.get("recordings")
        if not isinstance(rows, list):
            raise SourceUnreachable(f"{self._wire.host} answered a list without recordings in it")
        read = [read_recording(row, account_sid=account_sid, host=self._wire.host) for row in rows]
        wanted = tuple(
            one
            for one in read
            if (created_after is None or one.date_created >= created_after)
            and (created_before is None or one.date_created < created_before)
        )
        follows = found.get("next_page_uri")
        is_past = _is_past(read, created_after)
        if not follows:
            return SourcePage(wanted, None, is_past)
        follows = self._listing(account_sid, str(follows))
        if follows == path:
            raise SourceUnreachable(f"{self._wire.host} names a page of its list as its own next one")
        return SourcePage(wanted, follows, is_past)

    async def find(self, account_sid: str, sid: str) -> SourceRecording | None:
        """One recording as the source sees it now, None when it has none. Raises as `list_page`."""
        reply = await self._wire.ask("GET", f"{_recording(account_sid, sid)}.json")
        if reply.status == 404 and read_error(reply.body)[0] is not None:
            return None
        found = read_recording(self._object(reply), account_sid=account_sid, host=self._wire.host)
        if found.sid != sid:
            raise SourceUnreachable(f"{self._wire.host} answered {found.sid} when it was asked for {sid}")
        return found

    @asynccontextmanager
    async def media(
        self, account_sid: str, sid: str, *, channels: int = 1, extension: str = "wav"
    ) -> AsyncIterator[SourceMedia]:
        """The recording as WAV, or its ciphertext, in as many channels as it was made with; or as MP3.

        Raises `MediaNotReady` (its `retry_after_s` where the source gave one), `MediaGone`, `MediaMismatch` for an
        answer that is no audio, and as `list_page`. Twilio answers 404 for media that is not ready, deleted, or kept
        in somebody's bucket; which of these it is, its metadata tells.
        """
        for wanted in dict.fromkeys((channels, 1)):
            query = f"?RequestedChannels={wanted}" if wanted != 1 else ""
            async with self._wire.open("GET", f"{_recording(account_sid, sid)}.{extension}{query}") as response:
                if response.status == 200:
                    yield self._checked(response)
                    return
                body = await read_error_body(response)
            code, _ = read_error(body)
            if response.status == 400 and code == MONO_ASKED_FOR_DUAL and wanted != 1:
                continue
            raise await self._no_media(account_sid, sid, response, body)

    async def delete(self, account_sid: str, sid: str) -> DeleteAnswer:
        """Delete a recording at the source. May be repeated, and is: aiohttp sends a request again, once, when its
        connection broke before any answer. So `NOT_THERE` may be the echo of this very call, and says who deleted it
        only to a caller who wrote down that it was about to.

        Whatever the source said and meant is an answer; what left it open whether the recording is gone is raised:
        `SourceUnreachable`, `SourceStumbled`, `SourceRateLimited`, and `SourceUnauthorized`.
        """
        reply = await self._wire.ask("DELETE", f"{_recording(account_sid, sid)}.json")
        if reply.status == 204:
            return DeleteAnswer(DeleteOutcome.DELETED, 204)
        code, message = read_error(reply.body)
        if reply.status == 404 and code is not None:
            return DeleteAnswer(DeleteOutcome.NOT_THERE, 404, message)
        if reply.status < 300:
            raise SourceUnreachable(f"{self._wire.host} answered a deletion with {reply.status} instead of 204")
        why = self._refusal(reply)
        if isinstance(why, SourceRefused):
            return DeleteAnswer(DeleteOutcome.REFUSED, reply.status, why.message)
        raise why

    async def find_call(self, account_sid: str, sid: str) -> SourceCall | None:
        """One call, None when the source has none of that SID. Raises as `list_page`."""
        reply = await self._wire.ask("GET", f"{VERSION}/Accounts/{account_sid}/Calls/{sid}.json")
        if reply.status == 404 and read_error(reply.body)[0] is not None:
            return None
        found = read_call(self._object(reply), host=self._wire.host)
        if found.sid != sid:
            raise SourceUnreachable(f"{self._wire.host} answered {found.sid} when it was asked for {sid}")
        return found

    async def list_calls(self, account_sid: str, day: date, *, next_page: str | None = None) -> SourceCallPage:
        """A page of the calls that began on a day in UTC, a thousand at most. Raises as `list_page`."""
        expected = f"{VERSION}/Accounts/{account_sid}/Calls.json"
        path = next_page or f"{expected}?{urlencode({'StartTime': day.isoformat(), 'PageSize': str(PAGE_SIZE)})}"
        found = self._object(await self._wire.ask("GET", self._own_path(path, expected)))
        rows = found.get("calls")
        if not isinstance(rows, list):
            raise SourceUnreachable(f"{self._wire.host} answered a list without calls in it")
        follows = found.get("next_page_uri")
        onward = self._own_path(str(follows), expected) if follows else None
        return SourceCallPage(tuple(read_call(row, host=self._wire.host) for row in rows), onward)

    async def list_subaccounts(self) -> list[SourceAccount]:
        """The subaccounts that can still be read: all but closed ones. Raises as `list_page`."""
        path: str | None = f"{VERSION}/Accounts.json?PageSize={PAGE_SIZE}"
        seen: dict[str, SourceAccount] = {}
        while path is not None:
            found = self._object(await self._wire.ask("GET", path))
            rows = found.get("accounts")
            for row in rows if isinstance(rows, list) else ():
                sid = str(row.get("sid", ""))
                seen[sid] = SourceAccount(sid, str(row.get("friendly_name", "")), str(row.get("status", "")))
            follows = found.get("next_page_uri")
            path = self._own_path(str(follows), f"{VERSION}/Accounts.json") if follows else None
        seen.pop(self.account_sid, None)
        return [one for one in seen.values() if one.status != "closed" and one.sid[:2] == "AC"]

    async def abilities(self) -> list[Ability]:
        """What the credential may do here, tried one by one without changing anything."""
        listing, first = await self._try_listing()
        if listing.outcome is AbilityOutcome.FAILED:
            skipped = "not tried, since the recordings cannot be listed"
            rest = [Ability(name, AbilityOutcome.SKIPPED, skipped) for name in _AFTER_LISTING]
            return [listing, *rest]
        return [
            listing,
            await self._try_media(first),
            await self._try_deletion(),
            await self._try_subaccounts(),
            await self._try_calls(first),
        ]

    # --- Abilities ---------------------------------------------------------------------------------------------------

    async def _try_listing(self) -> tuple[Ability, SourceRecording | None]:
        try:
            page = await self.list_page(self.account_sid, page_size=50)
        except CallreelError as why:
            return _failed("list", why), None
        ready = next((one for one in page.recordings if one.is_ready), None)
        detail = "recordings can be listed" if page.recordings else "there are no recordings yet"
        return Ability("list", AbilityOutcome.PASSED, detail), ready

    async def _try_media(self, recording: SourceRecording | None) -> Ability:
        if recording is None:
            return Ability("media", AbilityOutcome.SKIPPED, "there is no finished recording to try it with")
        try:
            async with self.media(recording.account_sid, recording.sid, channels=recording.channels) as media:
                kind = media.content_type.partition(";")[0]
                return Ability("media", AbilityOutcome.PASSED, f"{recording.sid} can be fetched ({kind})")
        except CallreelError as why:
            return _failed("media", why)

    async def _try_deletion(self) -> Ability:
        """Asked of a recording that nobody has: 404 is the answer to somebody who may."""
        nobodys = mint_sid("RE")
        try:
            answer = await self.delete(self.account_sid, nobodys)
        except SourceUnauthorized as why:
            return Ability("delete", AbilityOutcome.FAILED, why.message, _MAY_NOT_DELETE)
        except CallreelError as why:
            return _failed("delete", why)
        if answer.outcome is DeleteOutcome.NOT_THERE:
            return Ability("delete", AbilityOutcome.PASSED, "a deletion would be taken (tried with a SID nobody has)")
        return Ability("delete", AbilityOutcome.FAILED, answer.message or f"answered {answer.status}", _MAY_NOT_DELETE)

    async def _try_subaccounts(self) -> Ability:
        try:
            found = await self.list_subaccounts()
        except SourceUnauthorized as why:
            return Ability("subaccounts", AbilityOutcome.FAILED, why.message, _NEEDS_MAIN)
        except CallreelError as why:
            return _failed("subaccounts", why)
        return Ability("subaccounts", AbilityOutcome.PASSED, f"{len(found)} subaccounts can be read")

    async def _try_calls(self, recording: SourceRecording | None) -> Ability:
        """Asked of the call of a recording, or of a call that nobody has: 404 is the answer to somebody who may."""
        try:
            known = recording.call_sid if recording is not None else None
            await self.find_call(self.account_sid, known or mint_sid("CA"))
        except CallreelError as why:
            return Ability("calls", AbilityOutcome.FAILED, why.message, _MAY_NOT_READ_CALLS)
        return Ability("calls", AbilityOutcome.PASSED, "who called whom can be read")

    # --- Answers -----------------------------------------------------------------------------------------------------

    def _checked(self, response: aiohttp.ClientResponse) -> SourceMedia:
        kind = response.headers.get("Content-Type", "")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if not is_media(kind):
            response.close()
            raise MediaMismatch(f"{self._wire.host} answered {kind[:60]} where audio was asked for")
        if encoding not in ("identity", ""):
            response.close()
            raise MediaMismatch(f"{self._wire.host} sent the media encoded as {encoding[:20]}, which was not asked for")
        return SourceMedia(response.content_length, kind, response, self._clock, self._wire)

    async def _no_media(
        self, account_sid: str, sid: str, response: aiohttp.ClientResponse, body: bytes
    ) -> CallreelError:
        rest_s = retry_after_s(response.headers, self._clock)
        code, _ = read_error(body)
        if code == NOT_YET_AVAILABLE:
            return MediaNotReady(retry_after_s=rest_s)
        kind = response.headers.get("Content-Type", "")
        if response.status in (404, 410) and code is not None:
            return await self._why_absent(account_sid, sid, rest_s)
        if response.status < 400:
            return not_twilio(response.status, kind, host=self._wire.host)
        return refusal(response.status, kind, body, host=self._wire.host, retry_after_s=rest_s)

    async def _why_absent(self, account_sid: str, sid: str, rest_s: float | None) -> CallreelError:
        found = await self.find(account_sid, sid)
        if found is None:
            return MediaGone(f"{sid} is not at the source any more")
        if found.status in NEVER_MEDIA:
            reason = f", error {found.error_code}" if found.error_code else ""
            return MediaGone(f"{sid} has no media at the source: its status is {found.status}{reason}")
        if found.is_ready:
            return MediaNotReady(
                f"{sid} is completed at the source, but its media is not there. It may come, or it lies in a bucket of "
                "the source's own (external storage)",
                retry_after_s=rest_s,
            )
        return MediaNotReady(f"{sid} is {found.status} at the source still", retry_after_s=rest_s)

    def _object(self, reply: Reply) -> dict[str, object]:
        if reply.status == 200:
            return read_object(reply.status, reply.content_type, reply.body, host=self._wire.host)
        if reply.status < 400:
            raise not_twilio(reply.status, reply.content_type, host=self._wire.host)
        raise self._refusal(reply)

    def _refusal(self, reply: Reply) -> CallreelError:
        rest_s = retry_after_s(reply.headers, self._clock)
        return refusal(reply.status, reply.content_type, reply.body, host=self._wire.host, retry_after_s=rest_s)

    def _listing(self, account_sid: str, uri: str) -> str:
        return self._own_path(uri, f"{VERSION}/Accounts/{account_sid}/Recordings.json")

    def _own_path(self, uri: str, expected: str) -> str:
        """A page's address, if it is one of this list at this source. Raises `SourceUnreachable`."""
        parts = urlsplit(uri)
        if (parts.netloc and origin_of(uri) != self._origin) or not parts.path.endswith(expected):
            raise SourceUnreachable(f"{self._wire.host} says its list goes on elsewhere: {uri[:120]!r}")
        query = quote(parts.query, safe="=&%+-._~:,/<>")
        return f"{expected}?{query}" if query else expected


_MAY_NOT_DELETE = "Use a credential that may delete recordings, or switch DeleteSourceAfterMigration off"
_MAY_NOT_READ_CALLS = (
    "Recordings move all the same, without numbers. Let the credential read calls, or switch IncludeCalls off"
)
_AFTER_LISTING = ("media", "delete", "subaccounts", "calls")
_NEEDS_MAIN = "Subaccounts are listed for the account's auth token and for main API keys only"


def _failed(name: str, why: CallreelError) -> Ability:
    remedy = None
    if isinstance(why, SourceUnauthorized):
        remedy = "Check the account SID and the auth token or API key; a rotated token must be given again"
    elif isinstance(why, NotNow):
        remedy = "Try again; if it stays so, check the base URL and the way there"
    return Ability(name, AbilityOutcome.FAILED, why.message, remedy)


def _is_past(page: Sequence[SourceRecording], after: datetime | None) -> bool:
    """Whether a page, newest first as Twilio's are, has nothing but what is older than asked for."""
    moments = [one.date_created for one in page]
    in_order = all(one >= other for one, other in itertools.pairwise(moments))
    return after is not None and bool(moments) and in_order and moments[0] < after


def _recording(account_sid: str, sid: str) -> str:
    return f"{VERSION}/Accounts/{account_sid}/Recordings/{sid}"


def _first_page(account_sid: str, after: datetime | None, before: datetime | None, size: int) -> str:
    """`DateCreated>=day` and `DateCreated<=day`, the operator being part of the name."""
    query = []
    if after is not None:
        query.append(("DateCreated>", after.astimezone(UTC).date().isoformat()))
    if before is not None:
        # "On or before midnight of the date": the day after is asked for, whichever midnight is meant.
        query.append(("DateCreated<", (before.astimezone(UTC) + timedelta(days=1)).date().isoformat()))
    return f"{VERSION}/Accounts/{account_sid}/Recordings.json?{urlencode([*query, ('PageSize', str(size))])}"
