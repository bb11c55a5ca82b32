"""`callreel`: the commands by name. A command's file is loaded when it is called, so that `--help` is there at once."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as built

import callreel

# Name → what the list of commands says of it. The file is of the same name.
COMMANDS = {
    "serve": "Run the service: API and workers.",
    "demo": "Do the main job once on embedded parts, and show it.",
    "accounts": "Accounts, their tokens and their API keys.",
    "users": "People who may sign in to the Console.",
    "deliveries": "What has not reached its bucket; restart what was given up.",
    "audit": "Who did what and who listened; prove that nobody changed it.",
    "check": "Examine database, spool and buckets: does every promise hold?",
    "backup": "The database and the list of the spool in one sealed file.",
    "restore": "A backup into an installation without a database.",
    "keys": "Bring every secret under a new master key, live.",
    "migrate": "Move recordings out of a source, with proof.",
    "sources": "Twilio accounts that recordings are moved out of.",
    "recover": "What recovery at start does: show it, or do it now.",
    "quarantine": "Files of the spool that nobody can explain.",
    "clock": "Whether the workers' clocks are trusted.",
    "config": "Show the effective settings, or try them.",
    "iam-policy": "The least an access key must be allowed.",
    "decrypt": "Open an encrypted recording and check its tag.",
}


class ByName(TyperGroup):
    """The list of commands shows stand-ins; the one that is called is loaded."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, name: str) -> TyperCommand | None:  # type: ignore[override]
        return TyperCommand(name, help=COMMANDS[name]) if name in COMMANDS else None

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        name, _, rest = super().resolve_command(ctx, args)
        assert name is not None
        module = importlib.import_module(f"callreel.cli.{name.replace('-', '_')}")
        loaded = built(module.app)
        loaded.name = name
        return name, loaded, rest


app = typer.Typer(
    name="callreel",
    cls=ByName,
    help="Call recordings with Twilio's API, delivered into your bucket with proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text is there in half the time
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"callreel {callreel.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and exit.")
    ] = False,
) -> None: ...


if __name__ == "__main__":
    app()
