from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callreel.spool.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An open spool of its own."""
    opened = Spool(tmp_path / "spool")
    opened.open()
    yield opened
    opened.close()
