"""Where the embedded S3 keeps its buckets: whole contents as files, and a log of what happened to each key.

root/<bucket>/index.jsonl      one line per put, delete and CORS change; read back at start
root/<bucket>/contents/<id>    the bytes
root/tmp/<random>              bodies that are arriving, parts of open uploads (these do not outlive a restart)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from callreel.rehearsal.s3_words import S3Refusal

MIN_PART_BYTES = 5 << 20  # S3's, for every part but the last

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Content:
    """A body on disk with its digests in lower-case hex."""

    path: Path
    size_bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One content a key has had, and the headers it answers with."""

    key: str
    content_id: str
    size_bytes: int
    sha256: str
    etag: str
    stored_at: str
    headers: dict[str, str]


@dataclass(slots=True)
class Upload:
    """An open multipart upload."""

    upload_id: str
    key: str
    initiated: str
    headers: dict[str, str]
    wants_checksum: bool
    parts: dict[int, Content] = field(default_factory=dict)


class BucketShelf:
    """One bucket: its versions, its open uploads, its CORS rules."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        self._contents, self._fsync = directory / "contents", fsync
        self._contents.mkdir(parents=True, exist_ok=True)
        self.current: dict[str, Version] = {}
        self.history: dict[str, list[str]] = {}
        self.uploads: dict[str, Upload] = {}
        self.cors: str | None = None
        index = directory / "index.jsonl"
        if index.exists():
            for line in index.read_text().splitlines():
                self._replay(json.loads(line))
        self._index = index.open("a")

    def close(self) -> None:
        self._index.close()

    def put(self, key: str, content: Content, *, etag: str, stored_at: str, headers: dict[str, str]) -> Version:
        """Make the content the key's. The same bytes again replace the file, and are no new content."""
        content_id = secrets.token_hex(16)
        os.replace(content.path, self.path_of(content_id))
        before = self.current.get(key)
        if before is not None and before.sha256 == content.sha256:
            self.path_of(before.content_id).unlink(missing_ok=True)
        version = Version(
            key=key,
            content_id=content_id,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            etag=etag,
            stored_at=stored_at,
            headers=headers,
        )
        self._happened({"put": asdict(version)})
        return version

    def delete(self, key: str) -> None:
        if key in self.current:
            self._happened({"delete": key})

    def set_cors(self, document: str | None) -> None:
        self._happened({"cors": document})

    def path_of(self, content_id: str) -> Path:
        return self._contents / content_id

    def upload_of(self, key: str, upload_id: str) -> Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise S3Refusal(404, "NoSuchUpload", "The specified upload does not exist.")
        return upload

    def drop_upload(self, upload: Upload) -> None:
        self.uploads.pop(upload.upload_id, None)
        for part in upload.parts.values():
            part.path.unlink(missing_ok=True)

    def _happened(self, event: dict[str, Any]) -> None:
        self._index.write(json.dumps(event) + "\n")
        self._index.flush()
        if self._fsync:
            os.fsync(self._index.fileno())
        self._replay(event)

    def _replay(self, event: dict[str, Any]) -> None:
        if "put" in event:
            version = Version(**event["put"])
            self.current[version.key] = version
            contents = self.history.setdefault(version.key, [])
            if contents[-1:] != [version.sha256]:
                contents.append(version.sha256)
        elif "delete" in event:
            self.current.pop(event["delete"], None)
        else:
            self.cors = event["cors"]


class S3Shelf:
    """All buckets under one directory."""

    def __init__(self, root: Path, *, fsync: bool = False) -> None:
        self._root, self._tmp, self._fsync = root, root / "tmp", fsync
        shutil.rmtree(self._tmp, ignore_errors=True)
        self._tmp.mkdir(parents=True)
        self._buckets = {
            index.parent.name: BucketShelf(index.parent, fsync=fsync) for index in root.glob("*/index.jsonl")
        }

    def close(self) -> None:
        for bucket in self._buckets.values():
            bucket.close()

    def create(self, name: str) -> None:
        """Make the bucket; one that is there already stays as it is."""
        if not _BUCKET.fullmatch(name) or name == "tmp":
            raise S3Refusal(400, "InvalidBucketName", "The specified bucket is not valid.")
        if name not in self._buckets:
            self._buckets[name] = BucketShelf(self._root / name, fsync=self._fsync)

    def has(self, name: str) -> bool:
        return name in self._buckets

    def bucket(self, name: str) -> BucketShelf:
        try:
            return self._buckets[name]
        except KeyError:
            raise S3Refusal(404, "NoSuchBucket", "The specified bucket does not exist") from None

    async def take_in(self, pieces: AsyncIterator[bytes]) -> Content:
        """Write a body straight to a file, hashing on the way. What breaks off leaves nothing."""
        path = self._tmp / secrets.token_hex(16)
        sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("xb", buffering=0) as file:
                async for piece in pieces:
                    file.write(piece)
                    sha256.update(piece)
                    md5.update(piece)
                    size += len(piece)
                if self._fsync:
                    os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Content(path, size, sha256.hexdigest(), md5.hexdigest())

    def join(self, parts: list[Content]) -> Content:
        """The parts as one file; the parts themselves stay."""
        path = self._tmp / secrets.token_hex(16)
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        with path.open("xb") as whole:
            for part in parts:
                with part.path.open("rb") as file:
                    while piece := file.read(1 << 20):
                        whole.write(piece)
                        sha256.update(piece)
                        md5.update(piece)
        return Content(path, sum(part.size_bytes for part in parts), sha256.hexdigest(), md5.hexdigest())
