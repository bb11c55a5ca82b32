"""Recording settings: video's on Twilio's own path, voice's on callreel's, where Twilio has only its Console."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from callreel.errors import InvalidParameter
from callreel.model.account import Account
from callreel.model.deed import Actor
from callreel.model.storage_settings import ExternalMedia, FatalErrorPolicy, RecordingKind, StorageSettings
from callreel.parts import Parts
from callreel.steps.check_destination import check_destination
from callreel.steps.choose_storage import choose_storage
from callreel.web.answers import json_answer, twilio_settings_json, voice_settings_json
from callreel.web.auth import Acting, By, Opened, SignedIn
from callreel.web.description import answers, shape, takes
from callreel.web.forms import Form, FormOrJson, Parameters
from callreel.web.routes import on

video, voice = APIRouter(), APIRouter()

VIDEO_PATH = "/v1/RecordingSettings/Default"
COMPOSITION_PATH = "/v1/CompositionSettings/Default"
VOICE_PATH = "/v1/Accounts/{account_sid}/RecordingSettings/Voice"
# Wire name → field; the first six are Twilio's.
_TEXTS = {"FriendlyName": "friendly_name", "AwsS3Url": "aws_s3_url"}
_SIDS = {"AwsCredentialsSid": "aws_credentials_sid", "EncryptionKeySid": "encryption_key_sid"}
_FLAGS = {"AwsStorageEnabled": "aws_storage_enabled", "EncryptionEnabled": "encryption_enabled"}
_OUR_TEXTS = {
    "AwsS3Region": "aws_s3_region",
    "SseAlgorithm": "sse_algorithm",
    "SseKmsKeyId": "sse_kms_key_id",
    "StorageClass": "storage_class",
    "KeyTemplate": "key_template",
    "AwsRoleArn": "aws_role_arn",
    "AwsExternalId": "aws_external_id",
    "ObjectLockMode": "object_lock_mode",
}
TEST_PATH = "/v1/Accounts/{account_sid}/RecordingSettings/Test"
EXAMINATION = shape(ok="flag", checks="list")
LONGEST = 2048
_TWILIO_FIELDS = {
    "account_sid": "text",
    "friendly_name": "text?",
    "aws_credentials_sid": "text?",
    "aws_s3_url": "text?",
    "aws_storage_enabled": "flag",
    "encryption_key_sid": "text?",
    "encryption_enabled": "flag",
    "url": "text",
}
VIDEO_SETTINGS = shape(**_TWILIO_FIELDS)
VOICE_SETTINGS = shape(
    **_TWILIO_FIELDS,
    fatal_error_policy="text",
    external_media="text",
    **dict.fromkeys(_OUR_TEXTS.values(), "text?"),
    object_lock_days="integer?",
    object_lock_legal_hold="flag",
)
_TAKEN: dict[str, str] = dict.fromkeys((*_TEXTS, *_SIDS), "text") | dict.fromkeys(_FLAGS, "flag")

_TAKEN_FOR_VOICE = (
    _TAKEN
    | dict.fromkeys((*_OUR_TEXTS, "FatalErrorPolicy", "ExternalMedia"), "text")
    | {"ObjectLockDays": "integer", "ObjectLockLegalHold": "flag"}
)


@on(video, "GET", VIDEO_PATH, responses=answers(200, "The settings; empty before any were saved", VIDEO_SETTINGS))
async def fetch_video(caller: SignedIn, parts: Opened) -> Response:
    """Fetch the video recording settings"""
    _, settings = await parts.ledger.settings.current(caller.account.sid, RecordingKind.VIDEO)
    return json_answer(twilio_settings_json(caller.account.sid, settings, f"{parts.public_url}{VIDEO_PATH}"))


@on(
    video,
    "POST",
    VIDEO_PATH,
    responses=answers(200, "The settings for video recordings made from now on", VIDEO_SETTINGS),
    openapi_extra=takes(_TAKEN, required=["FriendlyName"]),
)
async def save_video(caller: SignedIn, by: By, parts: Opened, form: Form) -> Response:
    """Save the video recording settings; what is not sent keeps its value"""
    form.required("FriendlyName")
    settings = await _save(caller.account, RecordingKind.VIDEO, form, parts, by)
    return json_answer(twilio_settings_json(caller.account.sid, settings, f"{parts.public_url}{VIDEO_PATH}"))


@on(
    video,
    "GET",
    COMPOSITION_PATH,
    responses=answers(200, "The settings; empty before any were saved", VIDEO_SETTINGS),
)
async def fetch_composition(caller: SignedIn, parts: Opened) -> Response:
    """Fetch the composition settings"""
    _, settings = await parts.ledger.settings.current(caller.account.sid, RecordingKind.COMPOSITION)
    return json_answer(twilio_settings_json(caller.account.sid, settings, f"{parts.public_url}{COMPOSITION_PATH}"))


@on(
    video,
    "POST",
    COMPOSITION_PATH,
    responses=answers(200, "The settings as they were saved; no compositions are made here", VIDEO_SETTINGS),
    openapi_extra=takes(_TAKEN, required=["FriendlyName"]),
)
async def save_composition(caller: SignedIn, by: By, parts: Opened, form: Form) -> Response:
    """Save the composition settings; what is not sent keeps its value"""
    form.required("FriendlyName")
    settings = await _save(caller.account, RecordingKind.COMPOSITION, form, parts, by)
    return json_answer(twilio_settings_json(caller.account.sid, settings, f"{parts.public_url}{COMPOSITION_PATH}"))


@on(voice, "GET", VOICE_PATH, responses=answers(200, "The settings; empty before any were saved", VOICE_SETTINGS))
async def fetch_voice(account: Acting, parts: Opened) -> Response:
    """Fetch the voice recording settings"""
    _, settings = await parts.ledger.settings.current(account.sid, RecordingKind.VOICE)
    return json_answer(voice_settings_json(account.sid, settings, _voice_url(account, parts)))


@on(
    voice,
    "POST",
    VOICE_PATH,
    responses=answers(200, "The settings for voice recordings made from now on", VOICE_SETTINGS),
    openapi_extra=takes(_TAKEN_FOR_VOICE, json=True),
)
async def save_voice(account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Save the voice recording settings; what is not sent keeps its value"""
    settings = await _save(account, RecordingKind.VOICE, form, parts, by)
    return json_answer(voice_settings_json(account.sid, settings, _voice_url(account, parts)))


@on(
    voice,
    "POST",
    TEST_PATH,
    responses=answers(200, "Every check; ok when recordings can be delivered there", EXAMINATION),
    openapi_extra=takes(_TAKEN_FOR_VOICE | {"ConfigureCors": "flag"}, json=True),
)
async def test_destination(account: Acting, parts: Opened, form: FormOrJson) -> Response:
    """Try the destination that is saved, with what is sent in place of what is saved"""
    _, saved = await parts.ledger.settings.current(account.sid, RecordingKind.VOICE)
    here = urlsplit(parts.public_url)
    found = await check_destination(
        account.sid,
        saved.changed(**_sent(form, RecordingKind.VOICE)),
        origin=f"{here.scheme}://{here.netloc}",
        configure_cors=form.flag("ConfigureCors") or False,
        buckets=parts.buckets,
        clock=parts.clock,
    )
    checks = [
        {"name": c.name, "outcome": str(c.outcome), "detail": c.detail, "remedy": c.remedy or None}
        for c in found.checks
    ]
    return json_answer({"ok": found.ok, "checks": checks})


async def _save(account: Account, kind: RecordingKind, form: Parameters, parts: Parts, by: Actor) -> StorageSettings:
    _, before = await parts.ledger.settings.current(account.sid, kind)
    return await choose_storage(
        account.sid,
        kind,
        before.changed(**_sent(form, kind)),
        ledger=parts.ledger,
        private_networks=parts.chosen.private_networks,
        clock=parts.clock,
        by=by,
    )


def _sent(form: Parameters, kind: RecordingKind) -> dict[str, Any]:
    """The fields that were sent: an empty one clears its value, or sets the default where there is one."""
    texts = _TEXTS | _OUR_TEXTS if kind is RecordingKind.VOICE else _TEXTS
    sent: dict[str, Any] = {}
    for name, field in texts.items():
        if (value := form.sent(name)) is not None:
            if len(value) > LONGEST:
                raise InvalidParameter(f"{name} must have at most {LONGEST} characters", parameter=name)
            sent[field] = value or None
    for name, field in _SIDS.items():
        if form.sent(name) is not None:
            sent[field] = form.sid(name, "CR")
    for name, field in _FLAGS.items():
        if form.sent(name) is not None:
            sent[field] = form.flag(name) or False
    return sent | _ours(form) if kind is RecordingKind.VOICE else sent


def _ours(form: Parameters) -> dict[str, Any]:
    """What only voice settings have, and Twilio does not."""
    sent: dict[str, Any] = {}
    if form.sent("FatalErrorPolicy") is not None:
        policy = form.choice("FatalErrorPolicy", tuple(FatalErrorPolicy))
        sent["fatal_error_policy"] = FatalErrorPolicy(policy or FatalErrorPolicy.HOLD)
    if form.sent("ExternalMedia") is not None:
        media = form.choice("ExternalMedia", tuple(ExternalMedia))
        sent["external_media"] = ExternalMedia(media or ExternalMedia.REDIRECT)
    if form.sent("ObjectLockDays") is not None:
        sent["object_lock_days"] = form.number("ObjectLockDays", least=1)
    if form.sent("ObjectLockLegalHold") is not None:
        sent["object_lock_legal_hold"] = form.flag("ObjectLockLegalHold") or False
    return sent


def _voice_url(account: Account, parts: Parts) -> str:
    return f"{parts.public_url}/callreel{VOICE_PATH.format(account_sid=account.sid)}"
