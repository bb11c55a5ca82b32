"""Twilio's `status`, computed from our state for answers and callbacks. It decides nothing."""

from __future__ import annotations

from callreel.model.recording import State

TWILIO_STATUS: dict[State, str] = {
    State.RECEIVING: "in-progress",
    State.SPOOLED: "processing",
    State.SEALED: "processing",
    State.UPLOADING: "processing",
    State.WAITING: "processing",
    State.PARKED: "processing",
    State.DELIVERED: "completed",
    State.RELEASED: "completed",
    State.ABSENT: "absent",
    State.FATAL: "failed",
    State.ERASED: "failed",
    State.DELETING: "deleted",
    State.DELETED: "deleted",
    State.PURGED: "deleted",
}


def twilio_status(state: State) -> str:
    """What Twilio would call this state."""
    return TWILIO_STATUS[state]
