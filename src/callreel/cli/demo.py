"""`callreel demo`: do the main job once on embedded parts, and show what was seen."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.demonstration import Seen, Specimen, demonstrate

app = typer.Typer(add_completion=False)
_YES, _NO = Text("✓", style="green"), Text("✗", style="bold red")


@command(app, "demo", example="callreel demo --json")
def demo(
    asked: Asked,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's directory behind, and name it.")] = False,
) -> None:
    """Do the main job once on embedded parts, in a temporary directory, and show what was seen."""
    home = Path(tempfile.mkdtemp(prefix="callreel-demo-"))
    seen = Seen()
    waiting = nullcontext() if asked.as_json else Console(stderr=True).status("Taking in, delivering, verifying …")
    try:
        with waiting:
            uvloop.run(_until_told(home, seen))
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
    asked.answer(seen.document, _shown(seen))
    if keep:
        typer.echo(f"kept in {home}", err=True)
    if seen.faults:
        typer.echo(f"callreel demo: {len(seen.faults)} faults; the first: {seen.faults[0]}", err=True)
        raise typer.Exit(FAILED)


async def _until_told(home: Path, seen: Seen) -> None:
    """A SIGTERM stops the service and its database too, as a Ctrl-C does."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await demonstrate(home, seen)


def _shown(seen: Seen) -> RenderableType:
    table = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title="callreel demo", title_style="bold", title_justify="left"
    )
    for name in ("recording", "size", "kept in", "callback", "unchanged", "played by"):
        table.add_column(name, justify="right" if name == "size" else "left", no_wrap=True)
    for one in seen.specimens:
        table.add_row(one.name, _size(one), _place(one), _mark(one.called_back), _mark(one.verified), one.played or _NO)
    return Group(table, _verdict(seen))


def _verdict(seen: Seen) -> Text:
    said = seen.document
    if seen.faults:
        return Text("\n".join(f"✗ {fault}" for fault in seen.faults), style="red")
    return Text.assemble(
        ("✓ all right", "bold green"),
        f" in {said['elapsed_s']:.1f} s: {said['recordings']} recordings taken in over HTTP, {said['verified']} found "
        f"unchanged, {said['callbacks']} signed callbacks, {said['played']} played, {said['deleted']} deleted and "
        f"gone; {said['moved']} moved out of a pretend Twilio on a bad day, and deleted there with proof",
    )


def _place(one: Specimen) -> str:
    return "the bucket" if one.is_external else "callreel"


def _size(one: Specimen) -> str:
    size = len(one.media)
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size / 1024:.0f} KiB"


def _mark(is_right: bool) -> Text:
    return _YES if is_right else _NO
