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
    State.AT_SOURCE: "completed",
}


VIDEO_STATUS: dict[State, str] = TWILIO_STATUS | {
    State.RECEIVING: "processing",
    State.ABSENT: "failed",  # video has no `absent`
    State.FATAL: "processing",  # held until its settings are fixed
}


def twilio_status(state: State) -> str:
    """What Twilio would call this state."""
    return TWILIO_STATUS[state]


def video_status(state: State) -> str:
    """What Twilio video would call this state. It has four words: processing, completed, deleted, failed."""
    return VIDEO_STATUS[state]


def states_of_video_status(status: str) -> frozenset[State]:
    """The states Twilio video has this one word for: what a list filter means."""
    return frozenset(state for state, word in VIDEO_STATUS.items() if word == status)
