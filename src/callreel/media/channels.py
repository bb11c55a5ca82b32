"""How many channels a request for media gets."""

from __future__ import annotations

from typing import Literal

from callreel.errors import RecordingIsMono
from callreel.media.wav import WavFacts

RequestedChannels = Literal[1, 2] | None
"""What the caller asked for; None is "as recorded"."""


def channels_to_serve(facts: WavFacts, requested_channels: RequestedChannels) -> int:
    """1 or 2. Raises `RecordingIsMono` when two are asked of one, as Twilio does (16113)."""
    if requested_channels is None:
        return facts.channels
    if requested_channels > facts.channels:
        raise RecordingIsMono()
    return requested_channels
