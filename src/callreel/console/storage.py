"""Storage settings: where recordings go, tried before anything depends on it, and what deleting takes along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import Route

from callreel.bucket.policy import Purpose, as_cloudformation, as_terraform, policy
from callreel.console.fields import Fields
from callreel.console.pages import page
from callreel.console.snippets import coloured
from callreel.console.visit import Visit, back, screen
from callreel.errors import InvalidDestination, InvalidParameter, Refused
from callreel.model.credential import Credential, CredentialKind
from callreel.model.destination import Destination, parse_destination
from callreel.model.object_lock import LockMode
from callreel.model.person import Right
from callreel.model.storage_settings import ExternalMedia, FatalErrorPolicy, RecordingKind, StorageSettings
from callreel.steps.check_destination import Examination, check_destination
from callreel.steps.choose_deletion import choose_deletion
from callreel.steps.choose_storage import SSE_ALGORITHMS, choose_storage

KINDS = {"voice": RecordingKind.VOICE, "video": RecordingKind.VIDEO}
SHAPES = ("json", "terraform", "cloudformation")
MOST = 1000
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR")
"""Those that play at once: an archive class would have to be restored before anybody could listen."""
_TEXTS = ("friendly_name", "aws_s3_url", "aws_credentials_sid", "encryption_key_sid")
_VOICE_TEXTS = (
    "aws_s3_region",
    "sse_algorithm",
    "sse_kms_key_id",
    "storage_class",
    "key_template",
    "aws_role_arn",
    "aws_external_id",
    "object_lock_mode",
)
_LONGEST = 2048


@screen(Right.STORAGE)
async def storage(visit: Visit) -> Response:
    """The form; posted to, it is saved or tried as it stands."""
    kind = KINDS.get(visit.query.text("kind") or "voice", RecordingKind.VOICE)
    _, saved = await visit.parts.ledger.settings.current(visit.account.sid, kind)
    if not visit.is_post:
        return await _page(visit, kind, saved if not visit.typed else _typed(saved, visit.typed, kind))
    if visit.form["do"] == "deletion":
        return await _choose_deletion(visit)
    wanted = saved
    try:
        wanted = _typed(saved, visit.form, kind)
        if visit.form["do"] in ("test", "test-cors"):
            return await _page(visit, kind, wanted, found=await _try(visit, wanted))
        return await _save(visit, kind, wanted)
    except Refused as why:
        return await _page(visit, kind, wanted, fault=why.message)


async def _save(visit: Visit, kind: RecordingKind, wanted: StorageSettings) -> Response:
    await choose_storage(
        visit.account.sid,
        kind,
        wanted,
        ledger=visit.parts.ledger,
        private_networks=visit.parts.chosen.private_networks,
        clock=visit.parts.clock,
        by=visit.actor,
    )
    return back(visit, kind=str(kind), saved="1")


async def _try(visit: Visit, wanted: StorageSettings) -> Examination:
    here = urlsplit(visit.parts.public_url)
    return await check_destination(
        visit.account.sid,
        wanted,
        origin=f"{here.scheme}://{here.netloc}",
        configure_cors=visit.form["do"] == "test-cors",
        buckets=visit.parts.buckets,
        clock=visit.parts.clock,
    )


async def _choose_deletion(visit: Visit) -> Response:
    sent: dict[str, bool | None] = {
        name: bool(visit.form[name]) for name in ("delete_source_after_migration", "delete_objects_with_call_logs")
    }
    await choose_deletion(visit.account.sid, sent, ledger=visit.parts.ledger, clock=visit.parts.clock, by=visit.actor)
    return back(visit, kind=visit.query.text("kind") or "voice", deletion="1")


async def _page(
    visit: Visit,
    kind: RecordingKind,
    settings: StorageSettings,
    *,
    found: Examination | None = None,
    fault: str = "",
) -> Response:
    if visit.is_fragment and found is not None:
        return page(visit, "storage_test.html", found=found)
    access_keys = await _all(visit, CredentialKind.AWS)
    place = _place(visit, settings)
    return page(
        visit,
        "storage.html",
        status=400 if fault else 200,
        kind=str(kind),
        is_voice=kind is RecordingKind.VOICE,
        settings=settings,
        place=place,
        access_keys=access_keys,
        public_keys=await _all(visit, CredentialKind.PUBLIC_KEY),
        sse_algorithms=SSE_ALGORITHMS,
        storage_classes=STORAGE_CLASSES,
        lock_modes=tuple(LockMode),
        deletion=await visit.parts.ledger.deletion_settings.of(visit.account.sid),
        policies=_policies(visit, settings, place),
        found=found,
        fault=fault,
        was_saved="saved" in visit.query,
        deletion_saved="deletion" in visit.query,
    )


def _place(visit: Visit, settings: StorageSettings) -> Destination | None:
    """The destination as callreel reads it; None where there is none, or none that can be read."""
    if settings.aws_s3_url is None:
        return None
    try:
        return parse_destination(
            settings.aws_s3_url,
            region=settings.aws_s3_region,
            private_networks=visit.parts.chosen.private_networks,
        )
    except InvalidDestination:
        return None


def _policies(visit: Visit, settings: StorageSettings, place: Destination | None) -> Mapping[str, Any]:
    """The policy for this set-up, in the shape and for the purpose the address names."""
    purpose: Purpose = "write" if visit.query.text("for") == "write" else "manage"
    shape = visit.query.text("shape") if visit.query.text("shape") in SHAPES else SHAPES[0]
    if place is None:
        return {"purpose": purpose, "shape": shape, "text": "", "shapes": SHAPES}
    key = settings.sse_kms_key_id if (settings.sse_kms_key_id or "").startswith("arn:") else None
    document = policy(place.bucket, place.prefix, purpose=purpose, kms_key_arn=key)
    if shape == "terraform":
        text = as_terraform(document).rstrip()
    else:
        text = coloured(as_cloudformation(document) if shape == "cloudformation" else document)
    return {"purpose": purpose, "shape": shape, "text": text, "shapes": SHAPES}


async def _all(visit: Visit, kind: CredentialKind) -> Sequence[Credential]:
    return (await visit.parts.ledger.credentials.list(visit.account.sid, kind, place=None, size=MOST)).rows


def _typed(saved: StorageSettings, form: Fields, kind: RecordingKind) -> StorageSettings:
    """The settings as the form has them. Raises `InvalidParameter` for what no setting can be."""
    values: dict[str, Any] = {}
    for name in _TEXTS + (_VOICE_TEXTS if kind is RecordingKind.VOICE else ()):
        text = form.text(name)
        if len(text) > _LONGEST:
            raise InvalidParameter(f"This is longer than {_LONGEST} characters: {text[:40]}…")
        values[name] = text or None
    values["aws_storage_enabled"] = bool(form["aws_storage_enabled"])
    values["encryption_enabled"] = bool(form["encryption_enabled"])
    if kind is RecordingKind.VOICE:
        values |= _voice_choices(form)
    return saved.changed(**values)


def _voice_choices(form: Fields) -> dict[str, Any]:
    try:
        days = form.text("object_lock_days")
        return {
            "fatal_error_policy": FatalErrorPolicy(form["fatal_error_policy"] or FatalErrorPolicy.HOLD),
            "external_media": ExternalMedia(form["external_media"] or ExternalMedia.REDIRECT),
            "object_lock_days": int(days) if days else None,
            "object_lock_legal_hold": bool(form["object_lock_legal_hold"]),
        }
    except ValueError as why:
        raise InvalidParameter("One of the choices is none that there is") from why


ROUTES = (Route("/storage", storage, methods=["GET", "POST"]),)
