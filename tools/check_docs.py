"""Check the documents: links lead somewhere, and the commands and targets they name exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^\$ |`)callreel ((?:[a-z][a-z-]+ ?){1,3})", re.MULTILINE)
_TARGET = re.compile(r"(?:^\$ |`)make ([a-z]+)", re.MULTILINE)
_OUTSIDE = ("http://", "https://", "mailto:")


def main() -> None:
    """Print every fault and end with 1 if there is one."""
    documents = [path for path in sorted(ROOT.rglob("*.md")) if not _is_hidden(path)]
    faults = [fault for document in documents for fault in (*_links(document), *_targets(document))]
    faults += _commands(ROOT / "README.md")
    for fault in faults:
        print(fault)
    print(f"{len(documents)} documents, {len(faults)} faults")
    sys.exit(bool(faults))


def _links(document: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", document.read_text())):
        path, _, anchor = link.partition("#")
        if link.startswith(_OUTSIDE):
            continue
        target = (document.parent / path) if path else document
        if not target.exists():
            yield f"{document.relative_to(ROOT)}: {link} leads nowhere"
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
            yield f"{document.relative_to(ROOT)}: {link} names no heading"


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _targets(document: Path) -> Iterator[str]:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in sorted(set(_TARGET.findall(document.read_text())) - known):
        yield f"{document.relative_to(ROOT)}: there is no `make {target}`"


def _commands(document: Path) -> Iterator[str]:
    for words in sorted({found.strip() for found in _COMMAND.findall(document.read_text())}):
        asked = [sys.executable, "-m", "callreel.cli.main", *words.split(), "--help"]
        if subprocess.run(asked, capture_output=True, check=False).returncode:  # noqa: S603
            yield f"{document.relative_to(ROOT)}: there is no `callreel {words}`"


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)


if __name__ == "__main__":
    main()
