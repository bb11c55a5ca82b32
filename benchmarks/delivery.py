"""The delivery figures: every contender takes the same files, one after another within a round, for some rounds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from benchmarks.child import Measured
from benchmarks.contenders import (
    Contender,
    Delivery,
    Field,
    bare_uploader,
    boto3_put_object,
    boto3_upload_file,
    callreel,
    callreel_encrypting,
    encrypting_from_the_caller_on,
    from_the_caller_on,
    s5cmd,
    s5cmd_as_many,
    unsealed_from_the_caller_on,
)
from benchmarks.recordings import Files
from callreel.bucket.s3 import S3Bucket
from callreel.clock import SystemClock
from callreel.model.credential import AccessKey
from callreel.model.destination import parse_destination
from callreel.outbound.guard import Guard, PlainHttp

CONTENDERS: Mapping[str, Contender] = {
    "callreel": callreel,
    "bare uploader": bare_uploader,
    "s5cmd": s5cmd,
    "s5cmd, same concurrency": s5cmd_as_many,
    "boto3 upload_file": boto3_upload_file,
    "boto3 put_object": boto3_put_object,
}
SEALING: Mapping[str, Contender] = {
    "callreel": callreel,
    "callreel, encrypting": callreel_encrypting,
    "callreel, handed in too": from_the_caller_on,
    "callreel, encrypting, handed in too": encrypting_from_the_caller_on,
}
AT_REST: Mapping[str, Contender] = {
    "callreel": from_the_caller_on,
    "callreel, plain at rest": unsealed_from_the_caller_on,
}
AT_ONCE = 32

_run_numbers = itertools.count()


async def race(
    field: Field, files: Files, contenders: Mapping[str, Contender] = CONTENDERS, *, rounds: int
) -> dict[str, list[Measured]]:
    """What each contender took in each round. The order turns from round to round, so that none is always first.

    After every run each key is asked for and must have the file's size; then it is removed. Raises `RuntimeError`.
    """
    names = list(contenders)
    taken: dict[str, list[Measured]] = {name: [] for name in names}
    async with shelf_of(field) as bucket:
        for turn in range(rounds):
            order = [*names[turn % len(names) :], *names[: turn % len(names)]]
            for name in order:
                prefix = f"run{next(_run_numbers)}"
                delivery = await contenders[name](field, files, prefix)
                await _check_and_clear(bucket, delivery, files)
                taken[name].append(delivery.measured)
    return taken


@asynccontextmanager
async def shelf_of(field: Field) -> AsyncIterator[S3Bucket]:
    """The server's bucket, to look at and to clear."""
    networks = field.installation.parts.chosen.private_networks
    destination = parse_destination(field.server.url_of(""), private_networks=networks)
    async with Guard(networks).open_session(plain_http=PlainHttp.PRIVATE_ONLY) as http:
        yield S3Bucket(destination, AccessKey(field.server.key_id, field.server.secret), http, clock=SystemClock())


async def _check_and_clear(bucket: S3Bucket, delivery: Delivery, files: Files) -> None:
    if len(set(delivery.keys)) != len(files.names):
        raise RuntimeError(f"{len(files.names)} files became {len(set(delivery.keys))} keys")
    left = iter(delivery.keys)

    async def take() -> None:
        for key in left:
            facts = await bucket.head(key)
            if facts is None or facts.size_bytes != files.size_bytes + delivery.added_bytes:
                raise RuntimeError(f"{key} is not in the bucket as it was sent: {facts}")
            await bucket.delete(key)

    await asyncio.gather(*[take() for _ in range(AT_ONCE)])
