"""C20: the power goes. What was not synced is gone, and nothing that was acknowledged is among it.

A power cut cannot be had in a test, so its effect is computed: `strace` writes down what a running listener does to
files, in order. From that follows what the disk is sure to hold at each acknowledgement, and that alone is left of the
spool when the next process starts.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.model.recording import State
from callreel.settings import load_settings
from callreel.worker.duties import recover_at_start
from tests.chaos.failing_calls import AN_HOUR, START_LIMIT_S, Found, Listener, _listening, why_not
from tests.crash.invariants import fetch_all, violations_in

CALLS = (
    "openat,write,writev,pwrite64,pwritev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,linkat,unlink,unlinkat"
)
_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"^(\d+) +(.*?) *<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_OPENED = re.compile(r"^\d+<([^>]*)>")
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass
class Disk:
    """What a disk is sure to hold: the contents that were synced, under the names whose directory was synced."""

    dirty: set[str] = field(default_factory=set)
    """Files with bytes that no sync has followed, by the name they have now."""
    unsure: dict[str, set[str]] = field(default_factory=dict)
    """Names that came or went since their directory was synced, by directory."""
    begun: dict[str, str] = field(default_factory=dict)
    """The first half of a call that another thread's came in between of, by thread."""

    def obey(self, log: str) -> None:
        """Take in what `strace` has written."""
        for line in log.splitlines():
            if begun := _BEGUN.match(line):
                self.begun[begun[1]] = begun[2]
                continue
            if resumed := _RESUMED.match(line):
                line = self.begun.pop(resumed[1], "") + resumed[2]
            if (match := _LINE.match(line)) and int(match[3]) >= 0:
                self._do(match[1], match[2])

    def holds(self, path: str) -> bool:
        """Whether the file is there, whole, after a cut now."""
        return path not in self.dirty and path not in self.unsure.get(str(Path(path).parent), ())

    def _do(self, call: str, arguments: str) -> None:
        opened, quoted = _OPENED.match(arguments), _QUOTED.findall(arguments)
        if call in ("fsync", "fdatasync") and opened:
            self.dirty.discard(opened[1])
            self.unsure.pop(opened[1], None)
        elif call in ("write", "writev", "pwrite64", "pwritev", "ftruncate") and opened:
            self.dirty.add(opened[1])
        elif call == "openat" and "O_CREAT" in arguments and quoted:
            self._name(quoted[0])
            self.dirty.add(quoted[0])
        elif call in ("rename", "renameat", "renameat2", "linkat") and len(quoted) == 2:
            old, new = quoted
            self._name(old)
            self._name(new)
            if old in self.dirty:
                self.dirty.add(new)
        elif call in ("unlink", "unlinkat") and quoted:
            self._name(quoted[0])

    def _name(self, path: str) -> None:
        self.unsure.setdefault(str(Path(path).parent), set()).add(path)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
async def test_c20_what_was_acknowledged_is_synced_and_the_next_start_has_it(tmp_path: Path, database_url: str) -> None:
    home, found, disk = tmp_path / "home", Found(), Disk()
    home.mkdir()
    ready = home / "data" / "spool" / "ready"
    async with _listening(home, database_url, found) as listener:
        first = set(listener.acknowledged)  # taken in before anybody looked on
        strace, log, read = await _look_on(listener, home), home / "strace.log", 0
        for _ in range(8):
            assert await listener.upload()
            told = log.read_text()
            disk.obey(told[read : told.rfind("\n") + 1])
            read = told.rfind("\n") + 1
            for sid in set(listener.acknowledged) - first:
                assert f'{ready / sid}"' in told  # it got its name before our eyes
                assert disk.holds(str(ready / sid)), f"{sid} was acknowledged before it was durable"
        strace.send_signal(signal.SIGINT)
        await strace.wait()
    for path in [p for p in (home / "data" / "spool").rglob("*") if p.is_file() and not disk.holds(str(p))]:
        path.unlink()
    await _is_whole(home, database_url, listener.acknowledged)


async def _look_on(listener: Listener, home: Path) -> asyncio.subprocess.Process:
    """`strace` on every thread of the listener, its loop's too."""
    strace = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-y", "-s", "0", "-o", str(home / "strace.log"), "-e", f"trace={CALLS}"),
        *("-p", str(listener._pid)),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert strace.stderr is not None
    assert b"attached" in await asyncio.wait_for(strace.stderr.readline(), START_LIMIT_S)
    return strace


async def _is_whole(home: Path, database_url: str, acknowledged: dict[str, str]) -> None:
    clock = SetClock(datetime.now(UTC))
    settings = load_settings(data_dir=home / "data", allowed_private_networks="127.0.0.0/8")
    async with open_parts(settings, database_url=database_url, public_url="http://x.test", clock=clock) as parts:
        for _ in range(2):
            await recover_at_start(parts)
            clock.advance(AN_HOUR.total_seconds())
        assert await violations_in(parts, {}, acknowledged) == []
        rows = await fetch_all(parts)
        assert {rows[sid].state for sid in acknowledged} == {State.SPOOLED}


def test_the_disk_of_the_model_forgets_what_was_not_synced() -> None:
    steps = [
        'openat(AT_FDCWD, "/s/tmp/a", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3</s/tmp/a>',
        'write(3</s/tmp/a>, ""..., 9) = 9',
        "fsync(3</s/tmp/a>) = 0",
        'renameat2(AT_FDCWD, "/s/tmp/a", AT_FDCWD, "/s/ready/a", RENAME_NOREPLACE) = 0',
        "fsync(4</s/ready>) = 0",
    ]
    for missing in range(2, 5):
        disk = Disk()
        disk.obey("\n".join(step for i, step in enumerate(steps) if i != missing or i == 3))
        assert disk.holds("/s/ready/a") == (missing == 3)
    late = Disk()
    late.obey("\n".join([*steps, 'write(3</s/ready/a>, ""..., 9) = 9']))
    assert not late.holds("/s/ready/a")
    failed = Disk()
    failed.obey("\n".join([*steps[:4], "fsync(4</s/ready>) = -1 EIO"]))
    assert not failed.holds("/s/ready/a")
