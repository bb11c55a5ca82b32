"""The spool: where a recording is durable before it is acknowledged, until the bucket has proved it holds it.

`tmp/` is being written, `ready/` is durable, `quarantine/` is unexplained and never removed by code. `<sid>`
is the media as it came, `<sid>.sealed.<begin of its SHA-256>` its ciphertext: every sealing has a name of its own,
so that no second one can touch the bytes that a row already promises.

Media is sealed at rest, drafts too, under a key that the row keeps: a file without a row cannot be opened by anybody.
Ciphertext for a customer's own key lies there as it is; where media is encrypted as it comes, nothing else ever does.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from callreel.at_rest.file import KeptFile
from callreel.at_rest.segments import FileKey
from callreel.clock import boot_id
from callreel.errors import (
    BlobAltered,
    BlobMissing,
    BodyCutShort,
    BodyTooLarge,
    Misconfigured,
    NameTaken,
    SpoolFailed,
    SpoolFull,
)
from callreel.failpoints import reach
from callreel.model.recording import Recording
from callreel.model.sid import RecordingSid, parse_sid
from callreel.spool.directory_sync import DirectorySync
from callreel.spool.draft_file import Digests, DraftFile, Encryption, Hashes
from callreel.spool.durable import (
    create_exclusively,
    free_bytes,
    make_directory,
    remove,
    rename_without_replacing,
    sync_directory,
)

T = TypeVar("T")

_HOST_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)

GATHER_BYTES = 256 * 1024  # what is collected before a thread writes and hashes it
RESERVE_BYTES = 1 << 30  # kept free: 1 GiB, or a twentieth of a smaller disk
WRITERS = 16
RESTORED = "restored.json"


Rewrite = Callable[[BinaryIO, T, Digests], Iterable[bytes] | None]
"""From what came, its judgement and its digests: what to keep instead, piece by piece, or None for what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledBlob:
    """The exact bytes that will be the object. Reading blocks; call it in a thread."""

    file: KeptFile
    size_bytes: int
    sha256: str
    md5: str

    @property
    def path(self) -> Path:
        return self.file.path

    def read(self, start: int, length: int) -> bytes:
        """These bytes of the blob.

        Raises `BlobMissing` when the file is gone, `BlobAltered` when it does not open, `SpoolFailed` when the disk
        refuses.
        """
        with _in_our_words(self.path):
            return self.file.read(start, length)

    def kept_bytes(self) -> int | None:
        """How many bytes of the blob the disk holds, by the length of its file; None when the file is not there.

        Raises `SpoolFailed` when the disk refuses, and `BlobAltered` for a file that is none of ours.
        """
        try:
            return self.file.size_bytes()
        except FileNotFoundError:
            return None
        except OSError as why:
            raise SpoolFailed(f"{self.path.name} could not be looked at: {why.strerror}") from why

    def sha256_of(self, link: Path) -> str:
        """The digest of the content as it can be read under another name of this file. Raises as `read`."""
        digest = hashlib.sha256()
        with _in_our_words(link):
            for piece in self.file.at(link).pieces():
                digest.update(piece)
        return digest.hexdigest()


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as why:
        raise BlobMissing(f"{path.name} is not in the spool") from why
    except OSError as why:
        raise SpoolFailed(f"{path.name} could not be read from the spool: {why.strerror}") from why


class Spool:
    """One host's spool directory. `open` before use, `close` after."""

    def __init__(self, root: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.root = root
        self.tmp, self.ready, self.quarantine = root / "tmp", root / "ready", root / "quarantine"
        self._reserve_bytes = reserve_bytes
        self._threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="spool")
        self._ready_sync = DirectorySync(self.ready, self._threads)
        self._lock: IO[bytes] | None = None
        self.host_id = ""

    def open(self) -> None:
        """Create what is missing and learn this spool's name. Blocks; raises `Misconfigured`."""
        try:
            for directory in (self.tmp, self.ready, self.quarantine):
                make_directory(directory)
            self.host_id = self._read_host_id()
        except OSError as why:
            raise Misconfigured(f"The spool {self.root} cannot be used: {why.strerror}") from why

    def lock_for_work(self) -> None:
        """Claim the spool for this worker process. Raises `Misconfigured` when another one works on it.

        The kernel gives the lock back when the process dies, however it dies; what the file says is for people.
        """
        lock = (self.root / "worker.lock").open("ab+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            lock.seek(0)
            owner = lock.read(200).decode(errors="replace").strip()
            lock.close()
            raise Misconfigured(f"Another worker ({owner}) already works on {self.root}; stop it first") from why
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} on {socket.gethostname()}, boot {boot_id()}".encode())
        lock.flush()
        self._lock = lock

    def is_worked_on(self) -> bool:
        """Whether a worker has claimed the spool now. Claims nothing, so that a worker may start meanwhile."""
        try:
            inode = os.stat(self.root / "worker.lock").st_ino
            locks = Path("/proc/locks").read_text()
        except OSError:
            return False
        # "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234567 0 EOF"
        return any(line.split()[1] == "FLOCK" and line.split()[5].endswith(f":{inode}") for line in locks.splitlines())

    def close(self) -> None:
        """Finish what threads are writing and give the lock back."""
        self._threads.shutdown(wait=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check_room(self, size_bytes: int) -> None:
        """Raise `SpoolFull` when this many bytes would eat into the reserve, `SpoolFailed` when the disk is gone."""
        try:
            free, total = free_bytes(self.root)
        except OSError as why:
            raise SpoolFailed() from why
        if free - size_bytes < min(self._reserve_bytes, total // 20):
            raise SpoolFull()

    def draft(
        self,
        sid: RecordingSid,
        *,
        limit_bytes: int,
        key: FileKey | None = None,
        encryption: Encryption | None = None,
    ) -> Draft:
        """Begin to receive a recording, to be sealed under this key, or encrypted for its owner."""
        return Draft(self, sid, limit_bytes=limit_bytes, key=key, encryption=encryption)

    async def receive(
        self,
        sid: RecordingSid,
        body: AsyncIterator[bytes],
        judge: Callable[[BinaryIO, int], T],
        *,
        announced_bytes: int | None,
        limit_bytes: int,
        key: FileKey | None = None,
        encryption: Encryption | None = None,
        rewrite: Rewrite[T] | None = None,
    ) -> tuple[T, Digests]:
        """Stream a whole body in and keep it, or what `rewrite` makes of it, if `judge` returns; see `Draft.keep`.

        It is sealed under `key`; or encrypted by `encryption`, under the name of a ciphertext. Raises `BodyTooLarge`,
        and `BodyCutShort` when it is not as long as announced. Nothing is left of a body that was not kept.
        """
        async with self.draft(sid, limit_bytes=limit_bytes, key=key, encryption=encryption) as draft:
            async for chunk in body:
                await draft.write(chunk)
            if announced_bytes is not None and draft.size_bytes != announced_bytes:
                raise BodyCutShort()
            return await draft.keep(judge, rewrite)

    def path_of(self, sid: str) -> Path:
        """Where a recording's media lies in `ready/`. Raises `InvalidSid` rather than build a strange name."""
        return self.ready / parse_sid(sid[:2], sid)

    def sealed_path_of(self, sid: str, sha256: str) -> Path:
        """Where the ciphertext with this SHA-256 lies in `ready/`. Raises `InvalidSid`."""
        return self.ready / f"{parse_sid(sid[:2], sid)}.sealed.{sha256[:16]}"

    def blob(
        self, sid: str, *, sealed: bool, size_bytes: int, sha256: str, md5: str, key: FileKey | None = None
    ) -> SpooledBlob:
        """The blob of a sealed recording, by the facts its row holds. `key` opens media; ciphertext has none."""
        path = self.sealed_path_of(sid, sha256) if sealed else self.path_of(sid)
        return SpooledBlob(file=KeptFile(path, key), size_bytes=size_bytes, sha256=sha256, md5=md5)

    def read_media(self, recording: Recording, key: FileKey | None) -> Iterator[bytes]:
        """The recording's media as the spool holds it, piece by piece: hash it to know whether it is what was promised.

        `key` is what `MediaKeys.of_media` gives. Blocks. Raises `BlobMissing`, `BlobAltered` and `SpoolFailed`.
        """
        return self._read(KeptFile(self.path_of(recording.sid), key))

    def read_blob(self, recording: Recording, key: FileKey | None) -> Iterator[bytes]:
        """The recording's blob, from when it is sealed on; as `read_media`, with the key of `MediaKeys.of_blob`."""
        if recording.encryption_details is None:
            return self.read_media(recording, key)
        assert recording.blob_sha256 is not None
        return self._read(KeptFile(self.sealed_path_of(recording.sid, recording.blob_sha256)))

    def _read(self, file: KeptFile) -> Iterator[bytes]:
        with _in_our_words(file.path):
            yield from file.pieces()

    async def write_sealed(
        self, sid: RecordingSid, encrypt: Callable[[BinaryIO, BinaryIO], T], *, key: FileKey | None = None
    ) -> tuple[T, Digests]:
        """Write a recording's ciphertext beside it, durably, from what `encrypt(source, target)` produces.

        `key` opens the media. What an interrupted sealing left stays for recovery: its bytes were never in a row.
        Raises `BlobMissing` when there is no media to encrypt, `BlobAltered` when it does not open, `SpoolFailed`
        when the disk refuses, and what `encrypt` raises; then nothing is left of it.
        """
        made, digests = await self._in_thread(self._write_sealed, sid, encrypt, key)
        await self._synced()
        return made, digests

    async def release(self, sid: RecordingSid, *, blob_sha256: str | None = None) -> None:
        """Give the disk back: remove a recording's media, and its ciphertext of this SHA-256. May be repeated.

        Raises `SpoolFailed` when the disk refuses.
        """
        paths = [self.path_of(sid)]
        if blob_sha256 is not None:
            paths.append(self.sealed_path_of(sid, blob_sha256))
        try:
            await self._ready_sync.remove(paths)
        except OSError as why:
            raise SpoolFailed(f"The spool could not give back {sid}: {why.strerror}") from why

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _synced(self) -> None:
        try:
            await self._ready_sync.wait()
        except OSError as why:
            raise SpoolFailed(f"The spool directory could not be synced: {why.strerror}") from why

    def _write_sealed(
        self, sid: RecordingSid, encrypt: Callable[[BinaryIO, BinaryIO], T], key: FileKey | None
    ) -> tuple[T, Digests]:
        draft = self.tmp / f"{parse_sid(sid[:2], sid)}.sealed.{secrets.token_hex(4)}"
        try:
            media = KeptFile(self.path_of(sid), key)
            with media.open() as source, os.fdopen(create_exclusively(draft), "w+b") as sink:
                hashing = _HashingWriter(sink)
                made = encrypt(source, hashing)  # type: ignore[arg-type]
                sink.flush()
                os.fsync(sink.fileno())
            digests = hashing.digests()
            rename_without_replacing(draft, self.sealed_path_of(sid, digests.sha256))
            reach("C7")
        except FileNotFoundError as why:
            raise BlobMissing(f"{sid} is not in the spool") from why
        except OSError as why:
            raise SpoolFailed(f"{sid} could not be sealed: {why.strerror}") from why
        finally:
            remove(draft)
        return made, digests

    def take_name(self, host_id: str) -> None:
        """Give a spool without a name this one, which recordings know it by. Blocks.

        Raises `Misconfigured` when it has another name: then it is another spool.
        """
        make_directory(self.root)
        if not (self.root / "host-id").exists():
            self._mint_host_id(self.root / "host-id", host_id)
        if (name := self._read_host_id()) != host_id:
            raise Misconfigured(
                f"The spool {self.root} is named {name}, and the backup's recordings lie in {host_id}; "
                "bring that spool, or restore beside an empty one"
            )

    def note_restored(self, manifest: str) -> None:
        """Remember that the database was restored, until it was compared with this spool. Blocks."""
        path = self.root / RESTORED
        remove(path)
        with os.fdopen(create_exclusively(path), "w") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self.root)

    @property
    def is_restored(self) -> bool:
        """Whether the database was restored and not compared with this spool yet."""
        return (self.root / RESTORED).exists()

    def restored_from(self) -> str | None:
        """The manifest of the backup the database came from, until it was compared with this spool. Blocks."""
        try:
            return (self.root / RESTORED).read_text()
        except FileNotFoundError:
            return None

    def forget_restored(self) -> None:
        """The comparison is done. Blocks."""
        if remove(self.root / RESTORED):
            sync_directory(self.root)

    def _read_host_id(self) -> str:
        """A name that stays with this directory, however often the machine is renamed."""
        path = self.root / "host-id"
        if not path.exists():
            self._mint_host_id(path, secrets.token_hex(6))
        name = path.read_text().strip()
        if not _HOST_ID.fullmatch(name):
            raise Misconfigured(f"{path} does not hold the spool's name; restore it, or recordings are not found again")
        return name

    def _mint_host_id(self, path: Path, name: str) -> None:
        draft = self.root / f"host-id.{secrets.token_hex(4)}"
        try:
            with os.fdopen(create_exclusively(draft), "w") as file:
                file.write(name)
                file.flush()
                os.fsync(file.fileno())
            rename_without_replacing(draft, path)
        except FileExistsError:
            pass  # another process was faster, and its name holds
        finally:
            remove(draft)
        sync_directory(self.root)


NOTHING = Digests(size_bytes=0, sha256=hashlib.sha256().hexdigest(), md5=hashlib.md5(usedforsecurity=False).hexdigest())
"""The digests of no bytes: what a recording has of which nothing was kept."""


class Draft:
    """A recording being received. `write` what comes, then `keep` it, or `discard` it.

    Used as a context manager it discards what was not kept.
    """

    def __init__(
        self,
        spool: Spool,
        sid: RecordingSid,
        *,
        limit_bytes: int,
        key: FileKey | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        self._spool, self._sid, self._limit_bytes, self._key = spool, sid, limit_bytes, key
        self._encryption = encryption
        self._file = self._new_file()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._turn = threading.Lock()  # a cancelled request discards while a thread may still be writing
        self._named = self._kept = self._discarded = False
        self.size_bytes = 0

    async def __aenter__(self) -> Draft:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._kept:
            await self.discard()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `BodyTooLarge` beyond the limit and `SpoolFailed` when the disk refuses."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self._limit_bytes:
            raise BodyTooLarge(f"The body has more than {self._limit_bytes} bytes. Nothing was kept.")
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= GATHER_BYTES:
            gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
            await self._spool._in_thread(self._flush, gathered)

    async def keep(self, judge: Callable[[BinaryIO, int], T], rewrite: Rewrite[T] | None = None) -> tuple[T, Digests]:
        """Make the media durable under its name if `judge(file, size_bytes)` returns; what it raises discards it.

        What `rewrite` makes of it takes its place, and is judged in its turn. Returns the judgement and the digests
        of what was kept once file and name are both durable. Raises `SpoolFailed` when the disk refuses and
        `NameTaken` rather than overwrite. What was encrypted as it came is never rewritten: one key, one content.
        """
        assert rewrite is None or self._encryption is None
        gathered, self._gathered = self._gathered, []
        try:
            judgement = await self._spool._in_thread(self._settle, gathered, judge, rewrite)
        except OSError as why:
            raise SpoolFailed() from why
        reach("C3")
        await self._spool._synced()
        self._kept = True
        reach("C4")
        return judgement, self._file.digests()

    async def discard(self) -> None:
        """Forget what was received, also what already has its name."""
        await self._spool._in_thread(self._remove)

    def _flush(self, gathered: list[bytes]) -> None:
        with self._turn:
            self._append(gathered)

    def _append(self, gathered: Iterable[bytes]) -> None:
        if self._discarded:
            raise SpoolFailed("The recording was discarded while it was being written")
        try:
            self._file.append(gathered)
        except OSError as why:
            raise SpoolFailed() from why

    def _settle(self, gathered: list[bytes], judge: Callable[[BinaryIO, int], T], rewrite: Rewrite[T] | None) -> T:
        with self._turn:
            self._append(gathered)
            try:
                judgement = self._judge(judge)
                came = self._file
                pieces = rewrite(came.content(), judgement, came.digests()) if rewrite is not None else None
                if pieces is not None:
                    self._replace_by(pieces)
                    judgement = self._judge(judge)
            except BlobAltered as why:
                raise SpoolFailed("The disk gave back other bytes than were written. Nothing was kept.") from why
            self._name()
            return judgement

    def _judge(self, judge: Callable[[BinaryIO, int], T]) -> T:
        reach("C1")
        content = self._file.finish()
        return judge(content, self._file.digests().size_bytes)

    def _replace_by(self, pieces: Iterable[bytes]) -> None:
        """Keep these bytes, read from what came while they are written to a file of their own; then drop what came."""
        came, self._file = self._file, self._new_file()
        try:
            self._append(pieces)
        finally:
            came.close()
            remove(came.path)

    def _new_file(self) -> DraftFile:
        name = f"{parse_sid(self._sid[:2], self._sid)}.{secrets.token_hex(4)}"
        return DraftFile(self._spool.tmp / name, self._key, self._encryption)

    def _name(self) -> None:
        self._file.make_durable()
        reach("C2")
        try:
            rename_without_replacing(self._file.path, self._final_path())
        except FileExistsError as why:
            raise NameTaken(f"The spool already holds {self._sid}") from why
        self._named = True

    def _final_path(self) -> Path:
        blob = self._file.digests().blob
        return self._spool.path_of(self._sid) if blob is None else self._spool.sealed_path_of(self._sid, blob.sha256)

    def _remove(self) -> None:
        with self._turn:
            self._discarded = True
            self._file.close()
            remove(self._file.path)
            if self._named:  # no row can name it: `keep` has not returned
                remove(self._final_path())


class _HashingWriter:
    """A writer that hashes what passes through."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self._hashes = sink, Hashes()
        self.digests = self._hashes.digests

    def write(self, chunk: bytes) -> int:
        self._hashes.update(chunk)
        return self._sink.write(chunk)
