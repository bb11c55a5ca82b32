"""The measured process: the script a company would write, with the official SDK, requests and boto3 in threads.

List, and for each recording: download, put, look whether it arrived whole, delete at the source.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import requests
from botocore.config import Config
from twilio.rest import Client

from benchmarks.child import Account, read_job, say_ready

THREADS = 16


def run(job: dict[str, Any]) -> None:
    """Move every recording of the account under the prefix."""
    source = job["source"]
    sign_in = (source["account_sid"], source["auth_token"])
    s3 = boto3.client(
        "s3",
        endpoint_url=job["endpoint"],
        aws_access_key_id=job["key_id"],
        aws_secret_access_key=job["secret"],
        region_name="us-east-1",
        config=Config(
            max_pool_connections=THREADS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    own = threading.local()  # neither a Session nor a Client is for several threads

    def client() -> Client:
        if not hasattr(own, "client"):
            own.client, own.session = Client(*sign_in), requests.Session()
            own.client.api.base_url = source["url"]
        return own.client  # type: ignore[no-any-return]

    def move(sid: str) -> None:
        twilio = client()
        url = f"{source['url']}/2010-04-01/Accounts/{source['account_sid']}/Recordings/{sid}.wav"
        answer = own.session.get(url, auth=sign_in, timeout=60)
        answer.raise_for_status()
        key = f"{job['prefix']}/{sid}"
        s3.put_object(Bucket=job["bucket"], Key=key, Body=answer.content, ContentType="audio/x-wav")
        if s3.head_object(Bucket=job["bucket"], Key=key)["ContentLength"] != len(answer.content):
            raise RuntimeError(f"{key} did not arrive whole")
        if not twilio.recordings(sid).delete():
            raise RuntimeError(f"{sid} was not deleted")

    say_ready()
    sys.stdin.readline()
    account = Account()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(move, [one.sid for one in client().recordings.stream(page_size=1000)]))
    account.tell()


if __name__ == "__main__":
    run(read_job())
