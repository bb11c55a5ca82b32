"""The measured process: the script anybody would write first, boto3 in a pool of threads.

By `upload_file`, which the manual recommends for files, or by `put_object` of the bytes, which costs less.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.child import Account, read_job, say_ready


def run(job: dict[str, Any]) -> None:
    """Put every file, so many threads at once, under the prefix."""
    client = boto3.client(
        "s3",
        endpoint_url=job["endpoint"],
        aws_access_key_id=job["key_id"],
        aws_secret_access_key=job["secret"],
        region_name="us-east-1",
        config=Config(
            max_pool_connections=job["concurrency"],
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )

    def upload_file(path: str) -> None:
        client.upload_file(path, job["bucket"], f"{job['prefix']}/{Path(path).name}")

    def put_object(path: str) -> None:
        key = f"{job['prefix']}/{Path(path).name}"
        client.put_object(Bucket=job["bucket"], Key=key, Body=Path(path).read_bytes())

    say_ready()
    sys.stdin.readline()
    account = Account()
    with ThreadPoolExecutor(job["concurrency"]) as pool:
        list(pool.map({"upload_file": upload_file, "put_object": put_object}[job["call"]], job["paths"]))
    account.tell()


if __name__ == "__main__":
    run(read_job())
