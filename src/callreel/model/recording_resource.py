"""A recording as Twilio's API shows it, field by field as the reference lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callreel.model.callback import rfc2822
from callreel.model.media_url import media_url_of
from callreel.model.recording import Recording
from callreel.model.twilio_status import twilio_status

API_VERSION = "2010-04-01"


def recording_json(recording: Recording, public_url: str) -> dict[str, Any]:
    """A recording at account level."""
    base = f"/{API_VERSION}/Accounts/{recording.account_sid}/Recordings/{recording.sid}"
    return recording_facts(recording) | {
        "uri": f"{base}.json",
        "subresource_uris": {
            "add_on_results": f"{base}/AddOnResults.json",
            "transcriptions": f"{base}/Transcriptions.json",
        },
        "media_url": media_url_of(recording, public_url),
    }


def recording_facts(recording: Recording) -> dict[str, Any]:
    """What it shows at every level: of its account, its call, its conference."""
    return {
        "account_sid": recording.account_sid,
        "api_version": API_VERSION,
        "call_sid": recording.call_sid,
        "conference_sid": recording.conference_sid,
        "channels": recording.channels,
        "date_created": rfc2822(recording.date_created),
        "date_updated": rfc2822(recording.date_updated),
        "start_time": rfc2822(recording.start_time),
        "duration": str(recording.duration_s) if recording.media_size_bytes else None,
        "sid": recording.sid,
        "price": recording.price,
        "price_unit": recording.price_unit,
        "source": recording.source,
        "status": twilio_status(recording.state),
        "error_code": recording.error_code if twilio_status(recording.state) in ("absent", "failed") else None,
        "encryption_details": _encryption_details(recording.encryption_details),
    }


def _encryption_details(details: Mapping[str, str] | None) -> dict[str, str | None] | None:
    """Both of Twilio's spellings at once: clients of the API read one, clients of its callbacks the other."""
    if details is None:
        return None
    return {
        "type": details.get("type"),
        "encryption_public_key_sid": details.get("public_key_sid"),
        "encryption_cek": details.get("encrypted_cek"),
        "encryption_iv": details.get("iv"),
        "public_key_sid": details.get("public_key_sid"),
        "encrypted_cek": details.get("encrypted_cek"),
        "iv": details.get("iv"),
    }
