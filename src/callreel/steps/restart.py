"""Begin again with what was given up: the operator's restart of parked and held recordings."""

from __future__ import annotations

from typing import Any

from callreel.buckets import Buckets
from callreel.errors import InvalidDestination, Outrun
from callreel.ledger.ledger import Ledger
from callreel.model.recording import Recording, State


def can_be_restarted(recording: Recording) -> bool:
    """Parked, or refused for good with its media held."""
    return recording.state is State.PARKED or recording.is_held


async def restart(recording: Recording, *, ledger: Ledger, buckets: Buckets) -> bool:
    """Give one recording a new window under the settings as they are now. False when there was nothing to do.

    Destination and credential are read from the account's current settings, and so is the encryption key where
    the media was never sealed; a sealed blob stays the blob. Idempotent.
    """
    if not can_be_restarted(recording):
        return False
    number, settings = await ledger.settings.current(recording.account_sid, recording.kind)
    refreshed = recording.changed(settings=settings, settings_id=number)
    facts = _anew(number)
    if refreshed.is_sealed:
        try:
            facts |= buckets.place_of(refreshed)
        except InvalidDestination:
            pass  # the delivery will say so, on the recording
    try:
        await ledger.move(
            refreshed,
            State.SEALED if refreshed.is_sealed else State.SPOOLED,
            reason="restarted by an operator",
            **facts,
        )
    except Outrun:
        return False
    return True


def _anew(settings_id: int | None) -> dict[str, Any]:
    return {
        "settings_id": settings_id,
        "attempts": 0,
        "retry_spent_s": 0.0,
        "retry_wait_s": 0.0,
        "refused_at": None,
        "next_attempt_at": None,
        "error_code": None,
        "last_error_code": None,
        "last_error": None,
        "last_request_id": None,
        "upload_id": None,
    }
