"""Somebody signed in asks for a screen: who, for which account, with which right. Every screen is declared here."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from callreel.console.fields import Fields, read_form, read_query
from callreel.console.form_token import came_from_here, is_token, issue_token
from callreel.errors import InvalidParameter, InvalidSid, NotAllowed, NotFound, SealBroken
from callreel.model.account import Account
from callreel.model.deed import Actor
from callreel.model.person import Person, Right, Session
from callreel.model.sid import RecordingSid, parse_sid
from callreel.parts import Parts
from callreel.steps.sign_in import session_digest

COOKIE = "callreel_session"
VISITOR = "callreel_visitor"
THEME = "callreel_theme"
ROOT = "/console"
HOME = f"{ROOT}/recordings"
SEEN_EVERY = timedelta(minutes=1)  # noting every request would be a commit each
POLLERS = frozenset({"live", "arrivals", "progress", "glance"})  # what a page asks by itself is no sign of a person
FORGED = "This form was not sent from a page of this Console, or the page was open for too long. Try again."


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request of a person who is signed in, and allowed what the screen asks for.

    `account` is the one the session looks at. `form` is what was posted, its token already checked; `typed` is what
    a form shows: what was posted, or what had been typed when the last session ended.
    """

    request: Request
    parts: Parts
    person: Person
    account: Account
    session: Session
    secret: str
    query: Fields
    form: Fields = field(default_factory=Fields)
    typed: Fields = field(default_factory=Fields)

    @property
    def token(self) -> str:
        """The hidden field `_token` of every form."""
        return issue_token(self.secret, self.parts.digest)

    @property
    def actor(self) -> Actor:
        """The person, as the audit names who did it."""
        client = self.request.client
        return Actor(self.person.sid, client.host if client else None, self.request.scope.get("callreel.request_id"))

    @property
    def path(self) -> str:
        """Where this page lives, without its query."""
        return ROOT + str(self.request.scope["path"])

    @property
    def is_post(self) -> bool:
        return self.request.method == "POST"

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks, for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def by(self) -> Actor:
        """Who acts, as the audit names them."""
        return actor_of(self.request, self.person)

    def may(self, right: Right | str) -> bool:
        """Whether the person has a right."""
        return self.person.may(Right(right))

    def require(self, right: Right) -> None:
        """Raises `NotAllowed` when the person lacks the right."""
        if not self.may(right):
            raise NotAllowed(f"Your role ({self.person.role}) may not do that. Ask an owner of this account.")

    def recording_sid(self) -> RecordingSid:
        """The recording in the path. Raises `NotFound`."""
        return RecordingSid(self.sid("RE"))

    def sid(self, prefix: str, name: str = "sid") -> str:
        """A SID in the path. Raises `NotFound` for what is none, as for one that nobody has."""
        try:
            return parse_sid(prefix, self.request.path_params[name])
        except InvalidSid as why:
            raise NotFound() from why


Screen = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def screen(right: Right) -> Callable[[Screen], Endpoint]:
    """Make an endpoint of a screen: sign-in, right and form token are checked before it is called.

    Who is not signed in is sent to the sign-in page and comes back; a form that was sent when the session had
    ended is kept, and shown again as it was typed.
    """

    def declare(shown: Screen) -> Endpoint:
        @functools.wraps(shown)
        async def endpoint(request: Request) -> Response:
            known = await _find_visit(request)
            if known is None or known[0].is_over(_parts(request).clock.now()):
                return await _sign_in_first(request, known and known[:2])
            visit = await _visit(request, *known)
            request.scope["callreel.visit"] = visit
            visit.require(right)
            if visit.is_post:
                visit.form = visit.typed = await read_form(request)
                if not _is_ours(request, visit.form, visit.secret):
                    raise NotAllowed(FORGED)
            elif "kept" in visit.query:
                visit.typed = await _take_kept(visit)
            return await shown(visit)

        return endpoint

    return declare


async def find_session(request: Request) -> tuple[Session, Person] | None:
    """The session of the browser's cookie, over or not, with its person."""
    secret = request.cookies.get(COOKIE, "")
    if not secret:
        return None
    parts = _parts(request)
    return await parts.ledger.people.find_session(session_digest(secret, parts.digest))


async def _find_visit(request: Request) -> tuple[Session, Person, Account] | None:
    secret = request.cookies.get(COOKIE, "")
    if not secret:
        return None
    parts = _parts(request)
    return await parts.ledger.people.find_visit(session_digest(secret, parts.digest))


def actor_of(request: Request, person: Person) -> Actor:
    """A person as the audit names them, and where they are."""
    return Actor(person.sid, *whence(request))


def whence(request: Request) -> tuple[str | None, str | None]:
    """The address a request came from, and its id."""
    return request.client.host if request.client else None, request.scope.get("callreel.request_id")


def back(visit: Visit, path: str = "", **query: str) -> Response:
    """After a form was done: to a page of ours, by GET."""
    asked = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return RedirectResponse((path or visit.path) + (f"?{asked}" if asked else ""), 303)


def own_path(text: str) -> str:
    """The path if it leads to a page of the Console, else the first page. Nothing leads anywhere else."""
    parsed = urlsplit(text)
    is_ours = not parsed.scheme and not parsed.netloc and parsed.path.startswith(f"{ROOT}/")
    odd = any(c in text for c in "\\\r\n\t") or "//" in parsed.path or "/../" in parsed.path or len(text) > 4000
    return text if is_ours and not odd else HOME


async def keep_form(request: Request, known: tuple[Session, Person], form: Fields) -> str:
    """What was typed, sealed for the person whose session ended, as text for a hidden field."""
    query = Fields([(name, value) for name, value in read_query(request).pairs if name != "kept"]).changed()
    kept = {"path": ROOT + request.scope["path"], "query": query, "pairs": form.pairs}
    sealed = _parts(request).keyring.seal(
        json.dumps(kept).encode(), table="sessions", row=known[1].sid, account=known[1].account_sid
    )
    return sealed.hex()


def open_form(sealed: bytes, person: Person, parts: Parts) -> tuple[str, str, Fields]:
    """The page, its query and the fields of `keep_form`. Raises `InvalidParameter` when it is not this person's."""
    try:
        opened = parts.keyring.open(sealed, table="sessions", row=person.sid, account=person.account_sid)
    except SealBroken as why:
        raise InvalidParameter("What was typed belongs to somebody else") from why
    kept = json.loads(opened)
    return own_path(kept["path"]), kept["query"], Fields([(name, value) for name, value in kept["pairs"]])


def is_ours(request: Request, form: Fields, secret: str) -> bool:
    """Whether a posted form is one of ours."""
    return _is_ours(request, form, secret)


def _is_ours(request: Request, form: Fields, secret: str) -> bool:
    parts = _parts(request)
    token = form.token or request.headers.get("x-callreel-token", "")
    return came_from_here(request, parts.public_url) and is_token(token, secret, parts.digest)


async def _visit(request: Request, session: Session, person: Person, account: Account) -> Visit:
    parts = _parts(request)
    now = parts.clock.now()
    if now - session.seen_at > SEEN_EVERY and request.headers.get("hx-trigger") not in POLLERS:
        await parts.ledger.people.see_session(session.digest, now=now)
    if not (account.is_active or person.account_sid != account.sid):
        raise NotAllowed("This account is suspended. Ask the operator of the installation.")
    return Visit(
        request=request,
        parts=parts,
        person=person,
        account=account,
        session=session,
        secret=request.cookies.get(COOKIE, ""),
        query=read_query(request),
    )


async def _take_kept(visit: Visit) -> Fields:
    sealed = await visit.parts.ledger.people.take_kept_form(visit.session.digest)
    if sealed is None:
        return Fields()
    path, _, typed = open_form(sealed, visit.person, visit.parts)
    return typed if path == visit.path else Fields()


async def _sign_in_first(request: Request, known: tuple[Session, Person] | None) -> Response:
    here = ROOT + request.scope["path"]
    query = request.scope["query_string"].decode("ascii", "replace")
    wanted = here + (f"?{query}" if query else "")
    if request.headers.get("hx-request") == "true":
        page = urlsplit(request.headers.get("hx-current-url", ""))
        came = own_path(page.path + (f"?{page.query}" if page.query else ""))
        return Response(status_code=204, headers={"HX-Redirect": f"{ROOT}/?next={quote(came)}"})
    if request.method != "POST":
        return RedirectResponse(f"{ROOT}/?next={quote(wanted)}" if wanted != HOME else f"{ROOT}/", 303)
    form = await read_form(request)
    kept = ""
    if known is not None and _is_ours(request, form, request.cookies.get(COOKIE, "")):
        kept = await keep_form(request, known, form)
    show: Callable[..., Awaitable[Response]] = request.app.state.sign_in_page
    return await show(request, wanted=here, kept=kept, ended=True)


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts
