"""The S3 server everything is measured against: a process of its own, one bucket, one access key."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from benchmarks.child import environment

BUCKET = "bench"
KEY_ID = "AKBENCHBENCHBENCH0000"
SECRET = "benchbenchbenchbenchbenchbenchbenchbench"
RGW_MEMORY_BYTES = 8 << 30  # the memory figure leaves 3 GiB of objects behind
LISTENING = "listening on "


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it listens and with which key. `name` goes into the report."""

    name: str
    endpoint: str
    key_id: str
    secret: str
    bucket: str = BUCKET

    def url_of(self, prefix: str) -> str:
        """The bucket URL of the recording settings, with a prefix."""
        return f"{self.endpoint}/{self.bucket}/{prefix}"

    def aws_environment(self) -> dict[str, str]:
        """What s5cmd reads its key from."""
        return {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1"}


# Ceph 16's memory store miscounts what deletions free: after some thousand objects it reports itself full
# ("16 EiB used") and answers no more. `--server rgw` is for short runs.
LASTS_A_FULL_RUN = "embedded"


@contextmanager
def open_server(which: str, root: Path) -> Iterator[S3Server]:
    """`embedded`, `rgw`, or `http://KEY_ID:SECRET@host[:port]/bucket` of a server that runs already."""
    if which == "embedded":
        server = _started("embedded", root, "callreel.rehearsal.embedded_s3", ["--bucket", BUCKET])
    elif which == "rgw":
        server = _started("rgw", root, "callreel.rehearsal.ceph_rgw", ["--memory-bytes", str(RGW_MEMORY_BYTES)])
    else:
        server = _given(which)
    with server as opened:
        yield opened


@contextmanager
def _given(url: str) -> Iterator[S3Server]:
    parts = urlsplit(url)
    if not (parts.username and parts.password and parts.path.strip("/")):
        raise SystemExit("--server wants embedded, rgw or http://KEY_ID:SECRET@host[:port]/bucket")
    host = parts.netloc.rpartition("@")[2]
    yield S3Server(host, f"{parts.scheme}://{host}", parts.username, parts.password, parts.path.strip("/"))


@contextmanager
def _started(name: str, root: Path, module: str, options: list[str]) -> Iterator[S3Server]:
    root.mkdir(parents=True)
    command = [sys.executable, "-m", module, "--root", str(root), "--key-id", KEY_ID, "--secret", SECRET, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if not said.startswith(LISTENING):
                raise RuntimeError(f"{module} did not start: {said}")
            server = S3Server(name, said.removeprefix(LISTENING), KEY_ID, SECRET)
            _make_bucket(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    shutil.rmtree(root, ignore_errors=True)


def _make_bucket(server: S3Server) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.key_id,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
    )
    client.create_bucket(Bucket=server.bucket)
