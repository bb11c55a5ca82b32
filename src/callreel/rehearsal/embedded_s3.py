"""A small S3 of our own, for the demo and the tests: real signatures, real multipart, real refusals, on a directory.

It is no evidence that callreel works with anybody else's S3; for that there is a real one in the tests.

    python -m callreel.rehearsal.embedded_s3 --root DIR --port N --bucket B --key-id K --secret S

With `--faults 0.2 --seed 7` a fifth of all requests meets a fault (`docs/rehearsal.md`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import secrets
import signal
from collections import deque
from collections.abc import Mapping
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from callreel.clock import Clock, SystemClock
from callreel.rehearsal.s3_cors import answer_headers
from callreel.rehearsal.s3_faults import KINDS, STALL_S, Faults, Moment, RandomFaults
from callreel.rehearsal.s3_misbehaviour import misbehave, spoil
from callreel.rehearsal.s3_operations import OPERATIONS, WRITING, Asked, operation_of
from callreel.rehearsal.s3_shelf import S3Shelf
from callreel.rehearsal.s3_signature import SignedRequest, verify
from callreel.rehearsal.s3_words import S3Refusal

SEEN = 10_000  # how many operations are remembered for tests to ask about

_SERVED_BY_PATH = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[.*\]|localhost)(:\d+)?")


class EmbeddedS3:
    """The server, as a context: `async with EmbeddedS3(root) as s3`. Loopback only.

    `port` 0 takes a free one. `echoes_checksums=False` makes it a server that keeps no SHA-256 checksums, as most
    do. `fsync` is off: it is a stand-in, and the demo should be quick.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        *,
        region: str = "us-east-1",
        echoes_checksums: bool = True,
        fsync: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._shelf, self._port, self._region = S3Shelf(root, fsync=fsync), port, region
        self._echoes_checksums, self._clock = echoes_checksums, clock or SystemClock()
        self._secrets: dict[str, str] = {}
        self._may: dict[str, Literal["write", "manage"]] = {}
        self.faults = Faults()
        self.seen: deque[str] = deque(maxlen=SEEN)
        """The operations that came, in order, whatever became of them."""
        self.connections_seen: deque[int] = deque(maxlen=SEEN)
        """The client port each of them came from."""
        self.requests = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        # The rest of a refused body is read for a second, so that the refusal is heard; then it is cut off.
        server = web.Server(self._handle, access_log=None, lingering_time=1.0)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.clear()
        await self._runner.cleanup()
        self._shelf.close()

    def add_user(self, key_id: str, secret: str, *, may: Literal["write", "manage"] = "manage") -> None:
        """Accept this access key: for put and multipart only, or for everything."""
        self._secrets[key_id], self._may[key_id] = secret, may

    def remove_user(self, key_id: str) -> None:
        """Forget the access key, as when it is deleted at the provider."""
        self._secrets.pop(key_id, None)

    def create_bucket(self, name: str) -> None:
        """Make a bucket; one that is there stays as it is."""
        self._shelf.create(name)

    def versions(self, bucket: str, key: str) -> list[str]:
        """The SHA-256 (hex) of every content the key has had, in order; the same bytes sent again add none."""
        return list(self._shelf.bucket(bucket).history.get(key, []))

    def keys(self, bucket: str) -> list[str]:
        """The keys that hold an object now, in order."""
        return sorted(self._shelf.bucket(bucket).current)

    def open_uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads neither completed nor aborted."""
        return sorted(upload.key for upload in self._shelf.bucket(bucket).uploads.values())

    # --- One request -------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = secrets.token_hex(8).upper()
        bucket, key = self._place_of(request)
        query = dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True))
        operation = operation_of(request.method, key, query)
        self.seen.append(operation or request.method)
        self.requests += 1
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.connections_seen.append(peer[1] if peer else 0)
        cors = self._cors_headers(request, bucket)
        fault = self.faults.take(operation)
        try:
            asked = self._asked(request, bucket, key, query, cors or {})
            if fault is not None and fault.moment is Moment.INSTEAD:
                answer = await misbehave(asked, fault, self.faults)
                if answer is not None:
                    return answer
            if request.method == "OPTIONS":
                return self._preflight(cors)
            response = await self._authorised(asked, operation)
        except S3Refusal as no:
            response = _refused(request, no, request_id)
        if fault is not None and fault.moment is Moment.AFTERWARDS:
            spoil(request, response, fault)
        if not response.prepared:
            response.headers["x-amz-request-id"] = request_id
            response.headers["Date"] = format_datetime(self._clock.now().astimezone(UTC), usegmt=True)
            response.headers.update(cors or {})
        return response

    def _asked(
        self, request: web.BaseRequest, bucket: str, key: str, query: Mapping[str, str], cors: Mapping[str, str]
    ) -> Asked:
        return Asked(request, self._shelf, bucket, key, query, self._clock, self._region, self._echoes_checksums, cors)

    async def _authorised(self, asked: Asked, operation: str) -> web.StreamResponse:
        request = asked.request
        signed = SignedRequest(request.method, request.headers.get("Host", ""), request.raw_path, request.headers)
        key_id = verify(signed, secrets=self._secrets, region=self._region, now=self._clock.now())
        if not operation or not asked.bucket_name:
            raise S3Refusal(501, "NotImplemented", "This operation is not implemented.")
        if operation != "CreateBucket":
            self._shelf.bucket(asked.bucket_name)
        if self._may[key_id] != "manage" and operation not in WRITING:
            raise S3Refusal(403, "AccessDenied", "Access Denied")
        return await OPERATIONS[operation](asked)

    def _place_of(self, request: web.BaseRequest) -> tuple[str, str]:
        """Bucket and key, from the host in virtual-host style, else from the path."""
        path = unquote(request.raw_path.partition("?")[0]).removeprefix("/")
        host = request.headers.get("Host", "")
        label = host.partition(".")[0]
        if not _SERVED_BY_PATH.fullmatch(host) and self._shelf.has(label):
            return label, path
        bucket, _, key = path.partition("/")
        return bucket, key

    def _cors_headers(self, request: web.BaseRequest, bucket: str) -> dict[str, str] | None:
        if "Origin" not in request.headers or not self._shelf.has(bucket):
            return None
        method = request.headers.get("Access-Control-Request-Method", request.method)
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        headers = [h.strip().lower() for h in wanted.split(",") if h.strip()]
        return answer_headers(self._shelf.bucket(bucket).cors, request.headers["Origin"], method, headers)

    def _preflight(self, cors: Mapping[str, str] | None) -> web.StreamResponse:
        if cors is None:
            raise S3Refusal(403, "AccessForbidden", "CORSResponse: This CORS request is not allowed.")
        return web.Response(headers=cors)


def _refused(request: web.BaseRequest, no: S3Refusal, request_id: str) -> web.Response:
    body = b"" if request.method == "HEAD" else no.document(request_id)
    return web.Response(status=no.status, body=body, content_type="application/xml")


# --- As a process of its own -----------------------------------------------------------------------------------------


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with EmbeddedS3(options.root, options.port, region=options.region) as s3:
        s3.create_bucket(options.bucket)
        s3.add_user(options.key_id, options.secret)
        if options.faults:
            s3.faults.at_random = RandomFaults(
                options.faults, seed=options.seed, kinds=options.kinds, stall_s=options.stall_seconds
            )
        print(f"listening on {s3.url}", flush=True)
        await stop.wait()
        if options.faults:
            print(json.dumps({"requests": s3.requests, "faults": dict(sorted(s3.faults.met.items()))}), flush=True)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


def _kinds(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names) - KINDS.keys():
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(sorted(unknown))}")
    return names


def main() -> None:
    """Serve one bucket to one access key until SIGINT or SIGTERM, with faults where they are asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m callreel.rehearsal.embedded_s3", description=main.__doc__, epilog=f"Faults: {', '.join(KINDS)}"
    )
    parser.add_argument("--root", type=Path, required=True, help="directory the buckets lie in")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--key-id", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--faults", type=_share, default=0.0, metavar="SHARE", help="how many requests, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="the same seed: the same faults for the same requests")
    parser.add_argument("--kinds", type=_kinds, default=list(KINDS), metavar="A,B", help="only these; default: all")
    parser.add_argument("--stall-seconds", type=float, default=STALL_S, metavar="S", help=f"default {STALL_S:.0f}")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
