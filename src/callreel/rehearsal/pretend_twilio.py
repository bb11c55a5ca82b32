"""A pretend Twilio, to rehearse a move out of the real one: lists, media, deletes, limits, webhooks, and bad days.

It holds what is put there, or makes up as many recordings as are asked for. It is no evidence for Twilio itself.

    python -m callreel.rehearsal.pretend_twilio --port 9100 --recordings 2000 --faults 0.2 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import signal
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Any, Self
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from callreel.clock import Clock, SystemClock
from callreel.rehearsal import twilio_faults
from callreel.rehearsal.s3_faults import STALL_S, Fault, Faults, Moment
from callreel.rehearsal.speech import speech
from callreel.rehearsal.twilio_calls import call_of, calls_of_day
from callreel.rehearsal.twilio_encryption import encrypted
from callreel.rehearsal.twilio_faults import ACCOUNTS, CALLS, DELETE, FETCH, LIST, MEDIA, RandomSourceFaults
from callreel.rehearsal.twilio_media import rendered
from callreel.rehearsal.twilio_shelf import Days, TwilioRecording, TwilioShelf
from callreel.rehearsal.twilio_sign_in import KeyKind, PretendAccount, SignedIn, not_authenticated, sign_in
from callreel.rehearsal.twilio_words import (
    VERSION,
    TwilioRefusal,
    callback_form,
    error_document,
    moment,
    page_json,
    recording_json,
)

_ACCOUNT = re.compile(rf"{VERSION}/Accounts/(AC[0-9a-f]{{32}})/Recordings(?:/(RE[0-9a-f]{{32}}))?(\.json|\.wav|\.mp3|)")
_CALL = re.compile(rf"{VERSION}/Accounts/(AC[0-9a-f]{{32}})/Calls(?:/(CA[0-9a-f]{{32}}))?\.json")
_TOKEN = re.compile(r"PA(RE[0-9a-f]{32})")
WRITE_BYTES = 256 << 10


class PretendTwilio:
    """The server, as a context: `async with PretendTwilio() as twilio`. Loopback only; `port` 0 takes a free one.

    `at_once` and `per_second` are the limits above which it answers 429 (None: never), `retry_after_s` what that
    answer asks for. `list_deletes` is called before each page of a list is made: a listing that changes under its
    reader.
    """

    def __init__(self, port: int = 0, *, clock: Clock | None = None) -> None:
        self._port, self._clock = port, clock or SystemClock()
        self.accounts: dict[str, PretendAccount] = {}
        self.faults = Faults()
        self.at_once: int | None = None
        self.per_second: float | None = None
        self.retry_after_s: float | None = None
        self.answers_after_s = 0.0
        """How far away it is: what passes before each answer."""
        self.deletes_between_pages: list[str] = []
        """SIDs of recordings that vanish one by one, each before a page of a list is made."""
        self.calls: dict[str, dict[str, Any] | None] = {}
        """What is told of some calls instead of what is made up; None for one it does not know."""
        self.seen: Counter[str] = Counter()
        """How often each operation came, whatever became of it."""
        self.deleted: list[str] = []
        """SIDs of the recordings that were deleted here, in order."""
        self.fetched: Counter[str] = Counter()
        """How often the media of each recording was handed out whole."""
        self.refused = 0
        """How many requests were answered 429."""
        self.most_at_once = 0
        self._changed = asyncio.Condition()
        self._now_under_way, self._tokens, self._filled_at = 0, 0.0, 0.0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._filled_at = self._clock.monotonic()
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.clear()
        await self._runner.cleanup()

    # --- What it holds -----------------------------------------------------------------------------------------------

    def add_account(
        self, *, sid: str | None = None, auth_token: str | None = None, name: str = "Pretend", owner: str | None = None
    ) -> PretendAccount:
        """An account, or with `owner` a subaccount of that one."""
        sid = sid or "AC" + secrets.token_hex(16)
        account = PretendAccount(sid, auth_token or secrets.token_hex(16), name, owner or sid)
        self.accounts[sid] = account
        return account

    def add_key(self, account: PretendAccount, *, kind: KeyKind = "main") -> tuple[str, str]:
        """An API key of an account: its SID and secret."""
        sid, secret = "SK" + secrets.token_hex(16), secrets.token_hex(16)
        account.keys[sid] = (secret, kind)
        return sid, secret

    def add_recording(
        self,
        account: PretendAccount,
        media: bytes | None = None,
        *,
        created: datetime | None = None,
        public_key: tuple[str, str] | None = None,
        **facts: Any,
    ) -> TwilioRecording:
        """A recording, finished unless `facts` say otherwise. `public_key` (PEM, SID) encrypts it as Twilio would."""
        sid = facts.pop("sid", None) or "RE" + secrets.token_hex(16)
        channels = facts.pop("channels", 1)
        media = speech(1, seed=len(account.shelf), channels=channels) if media is None else media
        details = None
        duration_s = facts.pop("duration_s", round((len(media) - 44) / (16_000 * channels)))
        if public_key is not None:
            media, details = encrypted(media, *public_key)
        one = TwilioRecording(
            sid=sid,
            account_sid=account.sid,
            date_created=(created or self._clock.now()).replace(microsecond=0),
            duration_s=duration_s,
            media=media,
            channels=channels,
            encryption_details=details,
            **{"call_sid": "CA" + sid[2:]} | facts,
        )
        account.shelf.put(one)
        return one

    def simulate(
        self,
        account: PretendAccount,
        count: int,
        *,
        newest: datetime | None = None,
        size_bytes: int = 300_000,
        seed: int = 0,
    ) -> None:
        """Hold this many more recordings without storing one: a minute apart, back from `newest` (an hour ago)."""
        newest = newest or self._clock.now() - timedelta(hours=1)
        account.shelf.simulate(account.sid, count, newest=newest, size_bytes=size_bytes, seed=seed)

    async def send_webhook(
        self, one: TwilioRecording, url: str, *, token: str | None = None, status: str = "completed"
    ) -> int:
        """Tell a receiver of a recording, signed with the account's token (or another). Returns its answer's status."""
        account = self.accounts[one.account_sid]
        form = callback_form(one, host="api.twilio.com", status=status)
        signed = url.partition("#")[0] + "".join(name + value for name, value in sorted(form.items()))
        key = (token if token is not None else account.auth_token).encode()
        signature = base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha1).digest()).decode()
        headers = {
            "X-Twilio-Signature": signature,
            "I-Twilio-Idempotency-Token": secrets.token_hex(16),
            "User-Agent": "TwilioProxy/1.1",
        }
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.post(url, data=form, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status

    async def until_deleted(self, sid: str) -> None:
        """Wait until a recording was deleted here. Bound it with `asyncio.timeout`."""
        async with self._changed:
            await self._changed.wait_for(lambda: sid in self.deleted)

    # --- One request -------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/_rehearsal":
            return web.json_response(self.state())
        operation = _operation(request)
        self.seen[operation] += 1
        self._now_under_way += 1
        try:
            return await self._attempt(request, operation)
        except TwilioRefusal as no:
            return no.answer(as_json=request.path.endswith(".json"))
        finally:
            self._now_under_way -= 1

    async def _attempt(self, request: web.BaseRequest, operation: str) -> web.StreamResponse:
        self._refuse_above_the_limits()
        self.most_at_once = max(self.most_at_once, self._now_under_way)
        if self.answers_after_s:
            await asyncio.sleep(self.answers_after_s)
        fault = self.faults.take(operation)
        if fault is not None and fault.moment is Moment.INSTEAD:
            instead = await self._misbehave(request, fault)
            if instead is not None:
                return instead
        caller = sign_in(request.headers.get("Authorization", ""), self.accounts)
        afterwards = fault if fault is not None and fault.moment is Moment.AFTERWARDS else None
        answer = await self._answer(request, operation, caller, afterwards)
        if afterwards is not None and afterwards.kind == "lost-answer":
            _break_connection(request)
        return answer

    async def _answer(
        self, request: web.BaseRequest, operation: str, caller: SignedIn, fault: Fault | None
    ) -> web.StreamResponse:
        if operation == ACCOUNTS:
            return web.json_response(self._accounts_of(caller))
        if operation == CALLS:
            return web.json_response(self._calls(request, caller))
        found = _ACCOUNT.fullmatch(request.path)
        if found is None or (operation == LIST and found[3] != ".json"):
            raise _not_found(request)
        account = caller.act_for(self.accounts.get(found[1]))
        if operation == LIST:
            return web.json_response(await self._page(request, account.shelf))
        if operation == DELETE and caller.kind == "read-only":
            raise TwilioRefusal(403, 20403, "Forbidden")
        now = self._clock.now()
        one = account.shelf.find(found[2])
        if one is None or one.status_at(now) == "deleted":
            raise _not_found(request)
        if operation == FETCH:
            return web.json_response(recording_json(one, host=request.host, now=now))
        if operation == DELETE:
            async with self._changed:
                self._changed.notify_all()
                return self._delete(one, account)
        return await self._media(request, one, found[3], fault)

    def _accounts_of(self, caller: SignedIn) -> dict[str, Any]:
        if caller.kind != "main":
            raise not_authenticated()
        mine = caller.account.sid
        rows = [
            {
                "sid": account.sid,
                "friendly_name": account.friendly_name,
                "owner_account_sid": account.owner_sid,
                "status": account.status,
                "type": "Full",
                "date_created": moment(self._clock.now()),
            }
            for account in self.accounts.values()
            if mine in (account.sid, account.owner_sid)
        ]
        return page_json("accounts", rows, f"{VERSION}/Accounts.json", {}, size=1000, next_token=None)

    async def _page(self, request: web.BaseRequest, shelf: TwilioShelf) -> dict[str, Any]:
        query = dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True))
        if self.deletes_between_pages:
            gone = shelf.find(self.deletes_between_pages.pop(0))
            if gone is not None:
                shelf.remove(gone)
        size = int(query.get("PageSize", "50") or 50)
        if size > 1000:
            raise TwilioRefusal(400, 20007, "Page size is too large")
        token = _TOKEN.fullmatch(query.get("PageToken", ""))
        last = shelf.find(token[1]) if token is not None else None
        wanted, rows = Days.read(query), list[TwilioRecording]()
        now, has_more = self._clock.now(), False
        for passed, one in enumerate(shelf.after(last.place if last is not None else None)):
            if passed % 1000 == 999:
                await asyncio.sleep(0)
            if one.status_at(now) == "deleted" and query.get("IncludeSoftDeleted") != "true":
                continue
            if wanted.is_before(one):
                break
            if wanted.holds(one):
                if len(rows) == size:
                    has_more = True
                    break
                rows.append(one)
        told = [recording_json(one, host=request.host, now=now) for one in rows]
        next_token = f"PA{rows[-1].sid}" if has_more else None
        return page_json("recordings", told, request.path, query, size=size, next_token=next_token)

    def _calls(self, request: web.BaseRequest, caller: SignedIn) -> dict[str, Any]:
        """One call, or a page of the calls that began on a day."""
        found = _CALL.fullmatch(request.path)
        assert found is not None
        shelf = caller.act_for(self.accounts.get(found[1])).shelf
        if found[2] is not None:
            one = shelf.find_call(found[2])
            facts = self.calls.get(found[2], {})
            if one is None or facts is None:
                raise _not_found(request)
            return call_of(one, facts)
        query = dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True))
        size, number = min(1000, int(query.get("PageSize", "50") or 50)), int(query.get("Page", "0") or 0)
        known = [one for one in calls_of_day(shelf, query.get("StartTime", "")[:10]) if self._is_told(one)]
        rows = [call_of(one, self.calls.get(str(one.call_sid)) or {}) for one in known[number * size :][:size]]
        token = f"PA{rows[-1]['sid']}" if len(known) > (number + 1) * size else None
        return page_json("calls", rows, request.path, query, size=size, next_token=token)

    def _is_told(self, one: TwilioRecording) -> bool:
        return self.calls.get(str(one.call_sid), {}) is not None

    def _delete(self, one: TwilioRecording, account: PretendAccount) -> web.Response:
        if one.status_at(self._clock.now()) == "processing":
            raise TwilioRefusal(409, 20009, "Cannot delete this resource before it is complete")
        account.shelf.remove(one)
        self.deleted.append(one.sid)
        return web.Response(status=204)

    async def _media(
        self, request: web.BaseRequest, one: TwilioRecording, extension: str, fault: Fault | None
    ) -> web.StreamResponse:
        kind = fault.kind if fault is not None else ""
        if one.status_at(self._clock.now()) != "completed" or kind == "not-ready":
            raise _not_found(request)
        body, content_type = rendered(one, extension, request.query.get("RequestedChannels"))
        if kind in ("error-page", "error-page-as-audio"):
            content_type = "application/xml" if kind == "error-page" else content_type
            page = error_document(500, 20500, "Internal Server Error").encode()
            return web.Response(body=page, headers={"Content-Type": content_type})
        if kind == "short-media":
            body = body[: len(body) * 3 // 4]
        if kind == "long-media":
            body += body[len(body) // 2 :]
        return await self._stream(request, one, body, content_type, tear=kind == "torn-media")

    async def _stream(
        self, request: web.BaseRequest, one: TwilioRecording, body: bytes, content_type: str, *, tear: bool
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": str(len(body))})
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        whole = memoryview(body)[: len(body) // 2] if tear else memoryview(body)
        for start in range(0, len(whole), WRITE_BYTES):
            await answer.write(whole[start : start + WRITE_BYTES])
        if tear:
            await asyncio.sleep(0)
            _break_connection(request)
            return answer
        await answer.write_eof()
        self.fetched[one.sid] += 1
        return answer

    # --- Limits and bad days -----------------------------------------------------------------------------------------

    def _refuse_above_the_limits(self) -> None:
        is_many = self.at_once is not None and self._now_under_way > self.at_once
        if self.per_second is not None:
            now = self._clock.monotonic()
            filled = self._tokens + (now - self._filled_at) * self.per_second
            self._tokens, self._filled_at = min(self.per_second, filled), now
            is_many = is_many or self._tokens < 1
            self._tokens -= 0 if is_many else 1
        if is_many:
            raise self._too_many()

    def _too_many(self) -> TwilioRefusal:
        self.refused += 1
        return TwilioRefusal(429, 20429, "Too Many Requests", retry_after_s=self.retry_after_s)

    async def _misbehave(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse | None:
        """The answer a fault gives instead of the right one; None when the right one may follow after all."""
        if fault.kind == "too-many":
            self.refused += 1
            raise TwilioRefusal(429, 20429, "Too Many Requests", retry_after_s=fault.retry_after_s)
        if fault.kind == "internal-error":
            raise TwilioRefusal(500, 20500, "An internal server error has occurred")
        if fault.kind == "delete-not-done":
            return web.Response(status=204)
        if fault.kind in ("html-200", "html-403"):
            page = "<html><body>Sign in to the network<hr></body></html>"
            return web.Response(status=int(fault.kind[-3:]), text=page, content_type="text/html")
        if fault.kind == "bare-503":
            return web.Response(status=503)
        if fault.kind == "redirect":
            return web.Response(status=302, headers={"Location": "http://127.0.0.2:1/elsewhere"})
        if fault.kind == "stall" and await self.faults.hold(fault.lasts_s):
            return None
        if fault.kind == "garbage" and request.transport is not None:
            request.transport.write(b"\x16\x03\x01 220 mail.example ready\r\n\r\n")
            request.transport.close()
            return web.Response()
        _break_connection(request)
        return web.Response()

    def state(self) -> dict[str, Any]:
        """What was seen so far, for whoever asks `/_rehearsal`."""
        return {
            "recordings": {sid: len(account.shelf) for sid, account in self.accounts.items()},
            "requests": dict(self.seen),
            "refused": self.refused,
            "most_at_once": self.most_at_once,
            "faults": dict(self.faults.met),
            "deleted": list(self.deleted),
        }


def _operation(request: web.BaseRequest) -> str:
    if request.path == f"{VERSION}/Accounts.json":
        return ACCOUNTS
    if request.method == "DELETE":
        return DELETE
    if _CALL.fullmatch(request.path):
        return CALLS
    found = _ACCOUNT.fullmatch(request.path)
    if found is None or found[2] is None:
        return LIST
    return FETCH if found[3] == ".json" else MEDIA


def _not_found(request: web.BaseRequest) -> TwilioRefusal:
    return TwilioRefusal(404, 20404, f"The requested resource {request.path} was not found")


def _break_connection(request: web.BaseRequest) -> None:
    # Not asked by its class: uvloop's transports are no asyncio.Transport.
    abort = getattr(request.transport, "abort", None)
    if abort is not None:
        abort()


def main(arguments: Iterable[str] | None = None) -> None:
    """Serve until told to stop, and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m callreel.rehearsal.pretend_twilio", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--account-sid", help="AC…; made up unless given")
    parser.add_argument("--auth-token", help="made up unless given")
    parser.add_argument("--recordings", type=int, default=100, help="how many it holds; a million is no trouble")
    parser.add_argument("--size-bytes", type=int, default=300_000, help="of each WAV")
    parser.add_argument("--subaccounts", type=int, default=0, help="each with as many recordings")
    parser.add_argument("--at-once", type=int, help="more requests at once are answered 429")
    parser.add_argument("--per-second", type=float, help="more requests a second are answered 429")
    parser.add_argument("--retry-after", type=float, help="what a 429 asks for, in seconds")
    parser.add_argument("--answer-after", type=float, default=0.0, help="seconds before each answer, as from far away")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that meet a fault")
    parser.add_argument("--kinds", help=f"comma-separated, of: {', '.join(twilio_faults.KINDS)}")
    parser.add_argument("--seed", type=int, default=0, help="which ones, and which sounds")
    parser.add_argument("--stall-seconds", type=float, default=STALL_S, help="how long a stall lasts")
    parser.add_argument("--webhook", help="where to tell of a new recording")
    parser.add_argument("--new-every", type=float, help="make a new recording every so many seconds")
    asked = parser.parse_args(None if arguments is None else list(arguments))
    asyncio.run(_serve(asked))


async def _serve(asked: argparse.Namespace) -> None:
    async with PretendTwilio(asked.port) as twilio:
        made = Random(asked.seed)
        account = twilio.add_account(
            sid=asked.account_sid or f"AC{made.getrandbits(128):032x}",
            auth_token=asked.auth_token or f"{made.getrandbits(128):032x}",
        )
        below = [twilio.add_account(name=f"Sub {n + 1}", owner=account.sid) for n in range(asked.subaccounts)]
        for number, holder in enumerate([account, *below]):
            twilio.simulate(holder, asked.recordings, size_bytes=asked.size_bytes, seed=asked.seed + number)
        twilio.at_once, twilio.per_second, twilio.retry_after_s = asked.at_once, asked.per_second, asked.retry_after
        twilio.answers_after_s = asked.answer_after
        if asked.faults:
            kinds = asked.kinds.split(",") if asked.kinds else None
            twilio.faults.at_random = RandomSourceFaults(
                asked.faults, seed=asked.seed, kinds=kinds, stall_s=asked.stall_seconds
            )
        said = {"url": twilio.url, "account_sid": account.sid, "auth_token": account.auth_token}
        print(json.dumps(said), flush=True)
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await _make_new_ones(twilio, account, asked, stopping)
        print(json.dumps(twilio.state() | {"deleted": len(twilio.deleted)}), flush=True)


async def _make_new_ones(
    twilio: PretendTwilio, account: PretendAccount, asked: argparse.Namespace, stopping: asyncio.Event
) -> None:
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), asked.new_every)
        except TimeoutError:
            one = twilio.add_recording(account)
            if asked.webhook:
                try:
                    print(json.dumps({"sid": one.sid, "answered": await twilio.send_webhook(one, asked.webhook)}))
                except aiohttp.ClientError as why:
                    print(json.dumps({"sid": one.sid, "answered": type(why).__name__}))


if __name__ == "__main__":
    main()
