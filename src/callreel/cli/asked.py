"""What every command is given, and how every command ends: its document, its words, its exit code."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from callreel.cli.logs import log_to_stderr
from callreel.cli.redaction import Redaction
from callreel.errors import CallreelError, Misconfigured
from callreel.settings import SECRETS, Settings, load_settings

FAILED = 1
EVERY_COMMAND = "Every command"
LISTED = ("data_dir",)  # the other settings are flags too, and `callreel config show` lists them
_KINDS: dict[str, type] = {name: float for name in Settings.model_fields if name.endswith("_seconds")} | dict.fromkeys(
    ("retention_days", "video_retention_days", "delivery_concurrency", "max_upload_bytes", "price_source_free_minutes"),
    int,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """How the command was called: as a document or in words, and for which installation."""

    as_json: bool
    flags: Mapping[str, Any] = field(default_factory=dict)
    redaction: Redaction = field(default_factory=Redaction)

    def settings(self, *, of_an_installation: bool = True) -> Settings:
        """The effective settings. Raises `Misconfigured`, also when there is no installation where one is needed."""
        settings = load_settings(**self.flags)
        self.redaction.know(settings.secret_values())
        if of_an_installation and not settings.data_dir.is_dir():
            raise Misconfigured(
                f"There is no installation in {settings.data_dir}; name yours with --data-dir or CALLREEL_DATA_DIR, "
                "or make one with: callreel accounts create"
            )
        return settings

    def answer(self, document: Any, words: RenderableType) -> None:
        """The one answer on standard output: the document with `--json`, else the words, text or a table."""
        if self.as_json:
            typer.echo(json.dumps(document, ensure_ascii=False))
        elif isinstance(words, str):
            typer.echo(words)
        else:
            Console().print(words)


def command(app: typer.Typer, name: str, *, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register `function(asked, …)` with the flags every command has and the example its help ends with.

    A `CallreelError` ends the command with exit code 1 and one line on standard error.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**given: Any) -> None:
            flags = {flag: given.pop(flag) for flag in _flags()}
            redaction = log_to_stderr(given.get("log_level", "warning"))
            asked = Asked(given.pop("as_json"), flags, redaction)
            try:
                function(asked, **given)
            except CallreelError as why:
                words = redaction.text(" ".join(why.message.split()))
                typer.echo(f"callreel {name}: {words}", err=True)
                raise typer.Exit(FAILED) from why

        run.__signature__ = _with_flags(function)  # type: ignore[attr-defined]
        run.__annotations__ = {}
        app.command(name.rpartition(" ")[2], help=f"{inspect.getdoc(function)}\n\nExample: {example}")(run)
        return function

    return register


def _flags() -> list[str]:
    """Every setting but the secrets, which are never on a command line, where `ps` shows them."""
    return [name for name in Settings.model_fields if name not in SECRETS]


def _with_flags(function: Callable[..., None]) -> inspect.Signature:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(
            name,
            keyword,
            default=None,
            annotation=Annotated[
                _KINDS.get(name, str) | None,
                typer.Option(
                    help=Settings.model_fields[name].description,
                    hidden=name not in LISTED,
                    rich_help_panel=EVERY_COMMAND,
                    metavar=name.rpartition("_")[2].upper(),
                ),
            ],
        )
        for name in _flags()
    ]
    as_json = inspect.Parameter(
        "as_json",
        keyword,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--json", help="One JSON document on standard output", rich_help_panel=EVERY_COMMAND)
        ],
    )
    return inspect.Signature([*(p.replace(kind=keyword) for p in own), *shared, as_json])
