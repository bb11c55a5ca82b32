"""The files that are delivered: valid WAVs of an exact size, made once and kept on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from callreel.rehearsal.speech import wav_of_size

VOICES = 50  # different talks; more would take longer to make than to deliver


@dataclass(frozen=True, slots=True)
class Files:
    """So many files of one size in one directory."""

    directory: Path
    size_bytes: int
    names: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        return [self.directory / name for name in self.names]


def make_files(root: Path, *, count: int, size_bytes: int) -> Files:
    """Write them. The names are in order, the contents are talks that repeat every `VOICES` files."""
    directory = root / f"{count}x{size_bytes}"
    directory.mkdir(parents=True)
    names = tuple(f"{i:06}.wav" for i in range(count))
    talks = [wav_of_size(size_bytes, seed) for seed in range(min(VOICES, count))]
    for i, name in enumerate(names):
        (directory / name).write_bytes(talks[i % len(talks)])
    return Files(directory, size_bytes, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlob:
    """A file with the digests it had when it was accepted."""

    path: Path
    size_bytes: int
    sha256: str
    md5: str

    def read(self, start: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)


def blob_of(path: Path) -> FileBlob:
    """The blob of a file; reads and hashes it."""
    content = path.read_bytes()
    return FileBlob(
        path=path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
    )
