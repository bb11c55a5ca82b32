"""`callreel decrypt`: open a recording that was encrypted for your key, and check that nothing in it was changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from callreel.cli.asked import Asked, command
from callreel.errors import InvalidParameter
from callreel.sealing import twilio_format

app = typer.Typer(add_completion=False)


@command(
    app,
    "decrypt",
    example="callreel decrypt --private-key key.pem --recording RE….wav --details RE….json -o call.wav",
)
def decrypt(
    asked: Asked,
    private_key: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Your RSA key in PEM.")],
    recording: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The encrypted file.")],
    details: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The recording's encryption_details, or its whole JSON.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the audio goes.")],
    passphrase_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The passphrase of the key, if it has one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Decrypt a recording. The output appears only once the recording's tag was verified."""
    if output.exists() and not force:
        raise InvalidParameter(f"{output} exists; pass --force to replace it")
    opening = _details(details)
    passphrase = passphrase_file.read_bytes().rstrip(b"\r\n") if passphrase_file else None
    with recording.open("rb") as source, _appearing(output) as target:
        twilio_format.decrypt(source, target, private_key.read_bytes(), opening, passphrase=passphrase)
        size = target.tell()
    asked.answer({"output": str(output), "bytes": size, "verified": True}, f"{output}: {size} bytes, the tag is right.")


def _details(path: Path) -> Mapping[str, str]:
    try:
        found: Any = json.loads(path.read_text())
        while isinstance(found, dict) and found.get("encryption_details"):
            found = found["encryption_details"]
            found = json.loads(found) if isinstance(found, str) else found
    except (ValueError, OSError) as why:
        raise InvalidParameter(f"{path} cannot be read as JSON") from why
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidParameter(f"{path} holds no encryption details")
    return found


@contextmanager
def _appearing(output: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when all went well, and leaves nothing behind when it did not."""
    partial = output.with_name(output.name + ".partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise InvalidParameter(f"{partial} cannot be written: {why.strerror}") from why
    try:
        with os.fdopen(descriptor, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        partial.rename(output)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
