"""The steps against a reference of the protocol, over random lives; `make chaos` takes 2,000 of 50 steps."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.chaos.machine import live


def test_random_lives_go_as_the_protocol_says(tmp_path: Path, database_url: str) -> None:
    live(tmp_path, database_url, examples=20, steps=30, number=4, stop=threading.Event())
