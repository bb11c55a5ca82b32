"""What a caller is shown of each thing, field by field as the reference lists them, in JSON or XML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import Request, Response

from callreel.ledger.alerts import Alert
from callreel.ledger.outbox import OwedEvent
from callreel.ledger.paging import Page
from callreel.ledger.recordings import MoveLine
from callreel.model.account import Account, ApiKey
from callreel.model.callback import iso, rfc2822
from callreel.model.credential import Credential, CredentialKind
from callreel.model.recording import Recording
from callreel.model.recording_resource import API_VERSION, recording_facts
from callreel.model.storage_settings import StorageSettings
from callreel.web.pages import Links, PageWish, envelope_2010, links_of
from callreel.web.twilio_xml import list_to_xml, to_xml

JSON = "application/json"
XML = "application/xml"
CREDENTIAL_PATHS = {CredentialKind.AWS: "AWS", CredentialKind.PUBLIC_KEY: "PublicKeys"}


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body, separators=(",", ":")).encode(), status, headers, JSON)


def answer_2010(request: Request, element: str, body: Mapping[str, Any], status: int = 200) -> Response:
    """A 2010 resource: JSON for a path with `.json`, XML for every other."""
    if wants_json(request):
        return json_answer(body, status)
    return Response(to_xml({element: body}), status, media_type=XML)


def list_answer_2010(
    request: Request, element: str, key: str, rows: Sequence[Mapping[str, Any]], wish: PageWish, links: Links
) -> Response:
    """A 2010 list: the outer values and exactly one more key, as Twilio's SDKs require."""
    envelope = envelope_2010(wish, links, len(rows))
    if wants_json(request):
        return json_answer(envelope | {key: list(rows)})
    return Response(list_to_xml(f"{element}s", element, envelope, rows), media_type=XML)


def empty_list_2010(request: Request, element: str, key: str, wish: PageWish) -> Response:
    """A 2010 list of what there is none of here."""
    nothing: Page[Any] = Page([], has_next=False, has_previous=False)
    return list_answer_2010(request, element, key, [], wish, links_of(request.scope["path"], [], wish, nothing))


def wants_json(request: Request) -> bool:
    """Whether a 2010 path asks for JSON."""
    return bool(request.scope["path"].endswith(".json"))


def account_json(account: Account, auth_token: str | None = None) -> dict[str, Any]:
    """An account; its token only when it was just made."""
    base = f"/{API_VERSION}/Accounts/{account.sid}"
    return {
        "sid": account.sid,
        "friendly_name": account.friendly_name,
        "auth_token": auth_token,
        "owner_account_sid": account.owner_sid,
        "status": str(account.status),
        "type": "Full",
        "date_created": rfc2822(account.date_created),
        "date_updated": rfc2822(account.date_updated),
        "subresource_uris": {
            name.lower(): f"{base}/{name}.json" for name in ("Calls", "Conferences", "Keys", "Recordings")
        },
        "uri": f"{base}.json",
    }


def key_json(key: ApiKey) -> dict[str, Any]:
    """An API key without its secret."""
    return {
        "sid": key.sid,
        "friendly_name": key.friendly_name,
        "date_created": rfc2822(key.date_created),
        "date_updated": rfc2822(key.date_updated),
    }


def call_recording_json(recording: Recording) -> dict[str, Any]:
    """A recording at call level."""
    base = f"/{API_VERSION}/Accounts/{recording.account_sid}/Calls/{recording.call_sid}"
    return recording_facts(recording) | {"uri": f"{base}/Recordings/{recording.sid}.json", "track": recording.track}


def conference_recording_json(recording: Recording) -> dict[str, Any]:
    """A recording at conference level."""
    base = f"/{API_VERSION}/Accounts/{recording.account_sid}/Conferences/{recording.conference_sid}"
    return recording_facts(recording) | {"uri": f"{base}/Recordings/{recording.sid}.json"}


def credential_json(credential: Credential, public_url: str) -> dict[str, Any]:
    """A credential; what it holds is never shown."""
    return {
        "sid": credential.sid,
        "account_sid": credential.account_sid,
        "friendly_name": credential.friendly_name,
        "date_created": iso(credential.date_created),
        "date_updated": iso(credential.date_updated),
        "url": f"{public_url}/v1/Credentials/{CREDENTIAL_PATHS[credential.kind]}/{credential.sid}",
    }


def twilio_settings_json(account_sid: str, settings: StorageSettings, url: str) -> dict[str, Any]:
    """Recording settings as Twilio's video surface shows them."""
    return {
        "account_sid": account_sid,
        "friendly_name": settings.friendly_name,
        "aws_credentials_sid": settings.aws_credentials_sid,
        "aws_s3_url": settings.aws_s3_url,
        "aws_storage_enabled": settings.aws_storage_enabled,
        "encryption_key_sid": settings.encryption_key_sid,
        "encryption_enabled": settings.encryption_enabled,
        "url": url,
    }


def voice_settings_json(account_sid: str, settings: StorageSettings, url: str) -> dict[str, Any]:
    """Voice settings: Twilio's fields and callreel's own."""
    return twilio_settings_json(account_sid, settings, url) | {
        "fatal_error_policy": str(settings.fatal_error_policy),
        "aws_s3_region": settings.aws_s3_region,
        "sse_algorithm": settings.sse_algorithm,
        "sse_kms_key_id": settings.sse_kms_key_id,
        "storage_class": settings.storage_class,
        "key_template": settings.key_template,
        "external_media": str(settings.external_media),
        "aws_role_arn": settings.aws_role_arn,
        "aws_external_id": settings.aws_external_id,
        "object_lock_mode": settings.object_lock_mode,
        "object_lock_days": settings.object_lock_days,
        "object_lock_legal_hold": settings.object_lock_legal_hold,
    }


def delivery_json(recording: Recording) -> dict[str, Any]:
    """How a recording's way to its bucket stands."""
    return {
        "recording_sid": recording.sid,
        "account_sid": recording.account_sid,
        "state": "held" if recording.is_held else str(recording.state),
        "attempts": recording.attempts,
        "retry_spent_seconds": round(recording.retry_spent_s, 3),
        "next_attempt_at": iso(recording.next_attempt_at) if recording.next_attempt_at else None,
        "error_code": recording.error_code,
        "error": recording.last_error,
        "bucket": recording.bucket,
        "object_key": recording.object_key,
    }


def move_json(account_sid: str, recording_sid: str, line: MoveLine) -> dict[str, Any]:
    """A move of a recording as an event."""
    return _event("move", line.at, account_sid, recording_sid) | {
        "name": line.to_state,
        "from_state": line.from_state,
        "text": line.reason,
    }


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as an event; `code` is Twilio's, null where Twilio has none."""
    return _event("alert", alert.at, alert.account_sid, alert.recording_sid) | {
        "name": alert.level,
        "code": alert.code or None,
        "text": alert.text,
    }


def callback_json(event: OwedEvent) -> dict[str, Any]:
    """A callback as an event: what it told, and whether the receiver took it (`due`, `sent`, `failed`)."""
    return _event("callback", event.date_created, event.account_sid, event.recording_sid) | {
        "name": event.event,
        "text": event.last_error,
        "callback_state": event.state,
        "callback_attempts": event.attempts,
        "callback_sent_at": iso(event.date_sent) if event.date_sent else None,
    }


def _event(kind: str, at: datetime, account_sid: str, recording_sid: str | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "at": at.isoformat().replace("+00:00", "Z"),
        "account_sid": account_sid,
        "recording_sid": recording_sid,
        "name": None,
        "from_state": None,
        "code": None,
        "text": None,
        "callback_state": None,
        "callback_attempts": None,
        "callback_sent_at": None,
    }
