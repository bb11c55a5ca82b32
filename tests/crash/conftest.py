"""The crash tests may be run in rounds: `pytest tests/crash --rounds 20`."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from typing import Any

import pytest


@pytest.fixture(scope="session")
def forks() -> Any:
    """Processes that have imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.child", "tests.crash.command", "tests.crash.mover"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # what it imports ahead it looks for there
        forkserver.ensure_running()
    return context


@pytest.fixture
def round_number() -> int:
    """Which round it is, from 0: what dies in each has other bytes and another length."""
    return 0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that ends with a crash, once for each round."""
    rounds = metafunc.config.getoption("rounds")
    if rounds > 1 and "round_number" in metafunc.fixturenames:
        metafunc.parametrize("round_number", range(rounds), ids=[f"round-{n + 1}" for n in range(rounds)])
