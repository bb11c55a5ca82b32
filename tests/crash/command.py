"""A command of `callreel` in a process that will be killed on its way."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from callreel import failpoints
from callreel.cli.main import app
from callreel.steps import rotate_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`words` as on a command line. Dies when the fail point was passed `passes` times and is reached again."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    failpoint: str = ""
    passes: int = 0


def run(command: Command) -> None:
    """Run in a process of its own; its exit code is the command's, or the signal's."""
    os.environ.update(command.environment)
    failpoints._ARMED, failpoints._hits = command.failpoint, command.passes
    rotate_keys.SETTLE_S = 0.0  # nobody else seals meanwhile
    app(list(command.words))
