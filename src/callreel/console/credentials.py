"""Credentials: the keys of buckets and the public keys to encrypt with. What they hold is never shown again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.visit import ROOT, Visit, back, screen
from callreel.errors import InvalidParameter, NotFound, Refused
from callreel.model.credential import Credential, CredentialKind
from callreel.model.deed import Action, changes
from callreel.model.person import Right
from callreel.model.sid import is_sid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.steps.keep_credential import check_name, keep_access_key, keep_public_key

LIST = f"{ROOT}/credentials"
MOST = 1000  # shown of each kind; nobody has as many
_USERS = {RecordingKind.VOICE: "Voice recordings", RecordingKind.VIDEO: "Video recordings"}


@screen(Right.CREDENTIALS)
async def credentials(visit: Visit) -> Response:
    """Both kinds, and the forms for new ones."""
    fault = ""
    if visit.is_post:
        try:
            made = await _keep(visit)
            return back(visit, made=made.sid)
        except Refused as why:
            fault = why.message
    used = await _used(visit)
    return page(
        visit,
        "credentials.html",
        status=400 if fault else 200,
        access_keys=await _all(visit, CredentialKind.AWS),
        public_keys=await _all(visit, CredentialKind.PUBLIC_KEY),
        used=used,
        fault=fault,
        made=visit.query.text("made") if is_sid("CR", visit.query.text("made")) else "",
        gone="removed" in visit.query,
    )


@screen(Right.CREDENTIALS)
async def credential(visit: Visit) -> Response:
    """One credential: its name, who uses it, and what removing it would mean."""
    found = await _find(visit, visit.sid("CR"))
    if visit.is_post and visit.form["do"] == "remove":
        return await _remove(visit, found)
    if visit.is_post:
        return await _rename(visit, found)
    return await _page(visit, found)


async def _keep(visit: Visit) -> Credential:
    parts, form = visit.parts, visit.form
    if form["do"] == "add-public-key":
        return await keep_public_key(
            visit.account.sid,
            form["public_key"],
            form.text("key_name"),
            credentials=parts.ledger.credentials,
            keyring=parts.keyring,
            clock=parts.clock,
            by=visit.actor,
        )
    if form["do"] != "add-access-key":
        raise InvalidParameter("This form is unknown")
    return await keep_access_key(
        visit.account.sid,
        f"{form.text('key_id')}:{form.text('secret')}",
        form.text("name"),
        credentials=parts.ledger.credentials,
        keyring=parts.keyring,
        clock=parts.clock,
        by=visit.actor,
    )


async def _remove(visit: Visit, found: Credential) -> Response:
    if visit.form.text("confirm") != found.sid[-4:]:
        return await _page(visit, found, f"To remove it, type {found.sid[-4:]}, the last four characters of its SID")
    await visit.parts.ledger.credentials.remove(
        visit.account.sid,
        found.kind,
        found.sid,
        now=visit.parts.clock.now(),
        deed=visit.actor.deed(
            Action.CREDENTIAL_DELETED, visit.account.sid, found.sid, kind=str(found.kind), name=found.friendly_name
        ),
    )
    return back(visit, LIST, removed="1")


async def _rename(visit: Visit, found: Credential) -> Response:
    try:
        name = check_name(visit.form.text("name"))
    except Refused as why:
        return await _page(visit, found, why.message)
    told = changes({"friendly_name": found.friendly_name}, {"friendly_name": name})
    deed = visit.actor.deed(Action.CREDENTIAL_CHANGED, visit.account.sid, found.sid, changes=told)
    now = visit.parts.clock.now()
    await visit.parts.ledger.credentials.rename(visit.account.sid, found.kind, found.sid, name, now=now, deed=deed)
    return back(visit)


async def _page(visit: Visit, found: Credential, fault: str = "") -> Response:
    return page(
        visit,
        "credential.html",
        status=400 if fault else 200,
        found=found,
        is_public=found.kind is CredentialKind.PUBLIC_KEY,
        users=(await _used(visit)).get(found.sid, []),
        waiting=await visit.parts.ledger.recordings.count_naming(visit.account.sid, found.sid),
        fault=fault,
    )


async def _find(visit: Visit, sid: str) -> Credential:
    for kind in CredentialKind:
        found = await visit.parts.ledger.credentials.find(visit.account.sid, kind, sid)
        if found is not None:
            return found
    raise NotFound()


async def _all(visit: Visit, kind: CredentialKind) -> Sequence[Credential]:
    page_ = await visit.parts.ledger.credentials.list(visit.account.sid, kind, place=None, size=MOST)
    return page_.rows


async def _used(visit: Visit) -> Mapping[str, list[str]]:
    """Which settings, as they are now, name which credential."""
    used: dict[str, list[str]] = {}
    for kind, word in _USERS.items():
        _, settings = await visit.parts.ledger.settings.current(visit.account.sid, kind)
        for sid in _named(settings):
            used.setdefault(sid, []).append(word)
    return used


def _named(settings: StorageSettings) -> list[str]:
    return [sid for sid in (settings.aws_credentials_sid, settings.encryption_key_sid) if sid]


ROUTES = (
    Route("/credentials", credentials, methods=["GET", "POST"]),
    Route("/credentials/{sid}", credential, methods=["GET", "POST"]),
)
