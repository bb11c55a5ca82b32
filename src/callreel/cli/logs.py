"""Where logs go: standard error, ours and the libraries'; one JSON object a line unless a person looks on."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

from callreel.cli.redaction import Redaction

Level = Literal["debug", "info", "warning", "error"]


def log_to_stderr(level: Level) -> Redaction:
    """Send every line of this level or above to standard error; of libraries, warnings at least.

    Returns what cleans the lines, to be told of secrets once they are known. No line shows a traceback's variables.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    is_watched = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if is_watched else structlog.processors.JSONRenderer()
    # The traceback becomes text first: what it quotes is cleaned too, and no renderer adds local variables to it.
    redaction = Redaction()
    finish: list[Any] = [structlog.processors.format_exc_info, redaction, renderer]
    structlog.configure(
        processors=[*shared, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    return redaction
