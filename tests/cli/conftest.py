from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from callreel.cli.main import app

Callreel = Callable[..., Result]


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command sets up logging for its process; here it must not outlive the command."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def callreel(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callreel:
    """Run a command of this process; the installation is `data_dir`, the database the test's own where it has one."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **environment: str) -> Result:
        return CliRunner().invoke(app, list(words), env={"CALLREEL_DATA_DIR": str(data_dir), **environment})

    return run


@pytest.fixture
def with_database(callreel: Callreel, database_url: str) -> Callreel:
    def run(*words: str, **environment: str) -> Result:
        return callreel(*words, CALLREEL_DATABASE_URL=database_url, **environment)

    return run


def document(result: Result) -> Any:
    """The one JSON document of a command that did what it was asked."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
