"""The crash tests may be run in rounds: `pytest tests/crash --rounds 20`."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that ends with a crash, once for each round."""
    rounds = metafunc.config.getoption("rounds")
    if rounds > 1 and "scene" in metafunc.fixturenames:
        metafunc.fixturenames.append("nth_round")
        metafunc.parametrize("nth_round", range(rounds), ids=[f"round-{n + 1}" for n in range(rounds)])
