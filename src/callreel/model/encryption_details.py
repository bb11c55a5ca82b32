"""What opens an encrypted recording, in each spelling somebody reads.

A row keeps one form: the callback's for voice (`type`, `public_key_sid`, `encrypted_cek`, `iv`), the object's
metadata for video (`type`, `public_key_sid`, and Amazon's four names). Nothing in either is secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

VOICE = "rsa-aes"  # Twilio's own word
VIDEO = "s3-envelope"  # ours: Twilio shows these details nowhere but in the object's headers

ENVELOPE_NAMES = ("x-amz-key", "x-amz-iv", "x-amz-matdesc", "x-amz-unencrypted-content-length")
METADATA_PREFIX = "x-amz-meta-"

_RESPELLED = {
    "public_key_sid": "encryption_public_key_sid",
    "encrypted_cek": "encryption_cek",
    "iv": "encryption_iv",
}


def details_for_rest(details: Mapping[str, str] | None) -> dict[str, str] | None:
    """`encryption_details` of a voice recording: every spelling at once, since clients read any of them.

    None for a recording that is not encrypted, and for video, whose resource has no such field.
    """
    if details is None or is_envelope(details):
        return None
    return dict(details) | {theirs: details[ours] for ours, theirs in _RESPELLED.items() if ours in details}


def details_from_source(details: Mapping[str, object] | None) -> dict[str, str] | None:
    """A voice recording's details as Twilio gives them, in any of its three spellings, as a row keeps them.

    None when there are none. What has other names is left out, so that nothing foreign is stored.
    """
    if not details:
        return None
    given = {name: str(value) for name, value in details.items() if isinstance(value, str)}
    kept = {"type": given.get("type", VOICE)}
    for ours, theirs in _RESPELLED.items():
        value = given.get(ours) or given.get(theirs)
        if value:
            kept[ours] = value
    return kept


def details_for_callback(details: Mapping[str, str] | None) -> str | None:
    """`EncryptionDetails` of a callback: a JSON string in the spelling of Twilio's table."""
    if details is None or is_envelope(details):
        return None
    told = {name: details[name] for name in ("type", *_RESPELLED) if name in details}
    return json.dumps(told, separators=(",", ":"))


def is_envelope(details: Mapping[str, str]) -> bool:
    """Whether these are a video's details: metadata of the object, with or without its prefix, in any case."""
    return "x-amz-key" in envelope_of(details)


def envelope_of(details: Mapping[str, str]) -> dict[str, str]:
    """The object's metadata under Amazon's names: what a video is uploaded with, and opened with.

    Reads a row's details and the headers of a bucket's answer alike; other names are left out.
    """
    plain = {name.lower().removeprefix(METADATA_PREFIX): value for name, value in details.items()}
    return {name: plain[name] for name in ENVELOPE_NAMES if name in plain}
