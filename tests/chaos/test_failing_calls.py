"""Some of the n-th system calls fail; `make chaos` lets each of the first 200 of every kind fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.failing_calls import FAILURES, fail_calls, why_not


async def test_nothing_is_acknowledged_while_the_disk_refuses(tmp_path: Path, database_url: str) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    sample = [(failure, n) for failure in FAILURES for n in (1, 2, 5)]
    found = await fail_calls(tmp_path, database_url, sample)
    assert found.violations == []
    assert found.reached.total() == len(sample)
