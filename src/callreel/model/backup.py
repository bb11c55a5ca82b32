"""What a backup says of itself: written before the dump, read before anything is restored."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self

from callreel.errors import Misconfigured

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledFile:
    """A file of the spool as it lay when the backup was made. Of media at rest the digest is the sealed file's."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Versions, time and place of a backup, and what the spool held."""

    version: str
    schema: str
    made_at: datetime
    host_id: str
    spool: tuple[SpooledFile, ...]

    def as_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self), "made_at": self.made_at.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `Misconfigured` for a manifest of another format."""
        try:
            told = json.loads(text)
            if told["format"] != FORMAT:
                raise Misconfigured(f"The backup has format {told['format']}; this callreel reads format {FORMAT}")
            return cls(
                version=told["version"],
                schema=told["schema"],
                made_at=datetime.fromisoformat(told["made_at"]),
                host_id=told["host_id"],
                spool=tuple(SpooledFile(**file) for file in told["spool"]),
            )
        except (KeyError, TypeError, ValueError) as why:
            raise Misconfigured("The backup's manifest cannot be read") from why
