"""How long metadata outlives its media."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

VOICE_DAYS = 40  # Twilio keeps a deleted voice recording's metadata for 40 days
VIDEO_DAYS = 30  # and a video recording's for 30


@dataclass(frozen=True, slots=True)
class Retention:
    """Days from deletion to purge, by kind of recording."""

    voice_days: int = VOICE_DAYS
    video_days: int = VIDEO_DAYS

    def purge_after(self, deleted_at: datetime, *, kind: str) -> datetime:
        """The moment from which nothing but a tombstone may remain."""
        return deleted_at + timedelta(days=self.video_days if kind == "video" else self.voice_days)
