"""Where a recording's media is found: what `media_url` and `RecordingUrl` say."""

from __future__ import annotations

from callreel.model.recording import Recording


def media_url_of(recording: Recording, public_url: str) -> str:
    """The object's own URL for an external recording, else this installation's, without an extension."""
    if recording.is_external and recording.object_url:
        return recording.object_url
    return f"{public_url}/2010-04-01/Accounts/{recording.account_sid}/Recordings/{recording.sid}"
