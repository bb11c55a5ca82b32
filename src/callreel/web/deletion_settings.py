"""Deletion settings: what else goes when a copy is verified, or when a call log is deleted."""

from __future__ import annotations

from fastapi import APIRouter, Response

from callreel.model.account import Account
from callreel.model.deletion_settings import DeletionSettings
from callreel.parts import Parts
from callreel.steps.choose_deletion import choose_deletion
from callreel.web.answers import json_answer
from callreel.web.auth import Acting, By, Opened
from callreel.web.description import answers, shape, takes
from callreel.web.forms import FormOrJson
from callreel.web.routes import on

router = APIRouter()
PATH = "/v1/Accounts/{account_sid}/DeletionSettings"
_FLAGS = {
    "DeleteSourceAfterMigration": "delete_source_after_migration",
    "DeleteObjectsWithCallLogs": "delete_objects_with_call_logs",
}
SETTINGS = shape(account_sid="text", **dict.fromkeys(_FLAGS.values(), "flag"), url="text")


@on(router, "GET", PATH, responses=answers(200, "The settings; the defaults before any were saved", SETTINGS))
async def fetch(account: Acting, parts: Opened) -> Response:
    """Fetch the deletion settings"""
    return _answer(account, await parts.ledger.deletion_settings.of(account.sid), parts)


@on(
    router,
    "POST",
    PATH,
    responses=answers(200, "The settings, which hold from now on", SETTINGS),
    openapi_extra=takes(dict.fromkeys(_FLAGS, "flag"), json=True),
)
async def save(account: Acting, by: By, parts: Opened, form: FormOrJson) -> Response:
    """Save the deletion settings; what is not sent keeps its value, an empty value is the default again"""
    sent = {field: form.flag(name) for name, field in _FLAGS.items() if form.sent(name) is not None}
    chosen = await choose_deletion(account.sid, sent, ledger=parts.ledger, clock=parts.clock, by=by)
    return _answer(account, chosen, parts)


def _answer(account: Account, chosen: DeletionSettings, parts: Parts) -> Response:
    shown = {field: getattr(chosen, field) for field in _FLAGS.values()}
    url = f"{parts.public_url}/callreel{PATH.format(account_sid=account.sid)}"
    return json_answer({"account_sid": account.sid, **shown, "url": url})
