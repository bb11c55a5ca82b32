"""`callreel demo`, as `make demo` runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callreel.cli.demonstration import Seen, demonstrate
from callreel.errors import Misconfigured
from tests.journeys.service import callreel

pytestmark = pytest.mark.xdist_group("demo")


def test_the_demo_does_the_main_job_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = callreel("demo", "--json", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("elapsed_s") > 0
    assert said == {
        "ok": True,
        "recordings": 10,
        "delivered": 10,
        "verified": 10,
        "callbacks": 10,
        "played": 10,
        "deleted": 1,
        "moved": 13,
        "mismatches": 0,
    }
    assert list(tmp_path.iterdir()) == []


async def test_a_demo_that_cannot_start_its_service_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the installation would be")
    with pytest.raises(Misconfigured, match="data directory"):
        await demonstrate(tmp_path, Seen())
