"""Video tracks as callers of the listener hand them in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from callreel.rehearsal.matroska_file import matroska
from tests.web.conftest import Answer, Caller

CAMERA = matroska(2.0, seed=1, codec="VP8")
MICROPHONE = matroska(1.2, seed=2, codec="OPUS")
NOTHING = matroska(0, seed=3, codec="OPUS")


async def hand_in(caller: Caller, body: bytes = CAMERA, *, key: str | None = None, **query: str) -> Answer:
    """Upload a track of the caller's own."""
    headers = {"Content-Type": "video/x-matroska"} | ({"Idempotency-Key": key} if key else {})
    path = f"{caller.own_path}/VideoRecordings" + (f"?{urlencode(query)}" if query else "")
    return await caller.send("POST", path, data=body, headers=headers)


async def recorded_video(caller: Caller, body: bytes = CAMERA, **query: str) -> dict[str, Any]:
    """Upload a track that is taken; its JSON."""
    answer = await hand_in(caller, body, **query)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made
