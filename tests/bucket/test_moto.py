"""The promises against moto with authentication on: it lacks what Ceph has, and has what Ceph lacks."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import aiohttp
import boto3
import pytest

from callreel.bucket.bucket import PutOptions
from callreel.bucket.doctor import Outcome, Wanted, examine
from callreel.bucket.own_identity import OwnIdentity
from callreel.bucket.roles import Roles
from callreel.bucket.s3 import S3Bucket
from callreel.bucket.sts import Sts
from callreel.clock import SystemClock
from callreel.errors import BucketRefused
from callreel.model.aws_role import AwsRole
from callreel.model.credential import AccessKey
from callreel.model.evidence import weigh
from callreel.model.sid import AccountSid
from tests.bucket.blobs import WAV, some_blob
from tests.bucket.conftest import destination_at
from tests.bucket.promises import BucketPromises, MultipartPromises
from tests.bucket.promises_kept import SealedPromises

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("moto") is None, reason="moto is not installed: pip install 'moto[server,s3]'"
)

SETTING_UP = 3  # the requests that need no signature: user, policy, access key
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Moto:
    def __init__(self, url: str, key: AccessKey) -> None:
        self.url, self.key = url, key
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=key.key_id,
            aws_secret_access_key=key.secret,
            region_name="us-east-1",
        )


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        | {"INITIAL_NO_AUTH_ACTION_COUNT": str(SETTING_UP)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, server)
        yield Moto(f"http://127.0.0.1:{port}", _create_user(f"http://127.0.0.1:{port}"))
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("moto did not come up")


def _create_user(url: str) -> AccessKey:
    iam = boto3.client(
        "iam", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    iam.create_user(UserName="tester")
    iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    made = iam.create_access_key(UserName="tester")["AccessKey"]
    return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])


_count = iter(range(1_000_000))


@pytest.fixture
def bucket(moto: Moto, http: aiohttp.ClientSession) -> S3Bucket:
    name = f"recordings-{next(_count)}"
    moto.client.create_bucket(Bucket=name)
    return S3Bucket(destination_at(moto.url, name), moto.key, http, clock=SystemClock())


@pytest.fixture
def locked(moto: Moto, http: aiohttp.ClientSession) -> S3Bucket:
    name = f"locked-{next(_count)}"
    moto.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return S3Bucket(destination_at(moto.url, name), moto.key, http, clock=SystemClock())


@pytest.fixture
def control(moto: Moto):  # type: ignore[no-untyped-def]
    return moto.client


@pytest.fixture
def kms_key() -> str:
    return "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


class TestMotoSealed(SealedPromises):
    # moto keeps a lock in a bucket that has none, which no real S3 does: the promise is not asked of it.
    test_a_bucket_without_the_lock_refuses_with_a_remedy = None  # type: ignore[assignment]


class TestMoto(BucketPromises, MultipartPromises):
    # moto itself answers 500 now and then when one key is put by several at once: not asked of it.
    test_two_puts_at_once_leave_one_whole_object = None  # type: ignore[assignment]


async def test_encryption_asked_for_is_confirmed(bucket: S3Bucket) -> None:
    blob = some_blob()
    options = PutOptions(content_type="audio/x-wav", sse_algorithm="AES256", storage_class="STANDARD_IA")
    answer = await bucket.put("calls/RE1", blob, options)
    weigh(answer, sha256=blob.sha256, md5=blob.md5, sse_asked="AES256")


@pytest.fixture(scope="module")
def role(moto: Moto) -> AwsRole:
    principal = {"AWS": "arn:aws:iam::123456789012:user/tester"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "an-external-id"}},
            }
        ],
    }
    iam = boto3.client(
        "iam",
        endpoint_url=moto.url,
        aws_access_key_id=moto.key.key_id,
        aws_secret_access_key=moto.key.secret,
        region_name="us-east-1",
    )
    made = iam.create_role(RoleName="callreel", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName="callreel", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    return AwsRole(made["Arn"], "an-external-id")


def roles_at(moto: Moto, http: aiohttp.ClientSession) -> Roles:
    sts = Sts(http, clock=SystemClock(), endpoint=moto.url)
    environ = {"AWS_ACCESS_KEY_ID": moto.key.key_id, "AWS_SECRET_ACCESS_KEY": moto.key.secret}
    return Roles(sts, OwnIdentity(environ, sts=sts, clock=SystemClock()), clock=SystemClock())


ACCOUNT = AccountSid("AC" + "1" * 32)


async def test_keys_of_a_role_open_the_bucket(
    moto: Moto, role: AwsRole, bucket: S3Bucket, http: aiohttp.ClientSession
) -> None:
    keys = await roles_at(moto, http).keys_of(ACCOUNT, role, region="us-east-1")
    opened = S3Bucket(bucket.destination, keys.access_key, http, clock=SystemClock(), session_token=keys.token)
    await opened.put("calls/RE1", some_blob(), WAV)
    assert await opened.head("calls/RE1") is not None


async def test_a_wrong_external_id_is_denied(moto: Moto, role: AwsRole, http: aiohttp.ClientSession) -> None:
    with pytest.raises(BucketRefused) as caught:
        await roles_at(moto, http).keys_of(ACCOUNT, AwsRole(role.arn, "another-id"), region="us-east-1")
    assert caught.value.code == "AccessDenied"


async def test_a_wrong_secret_is_refused(moto: Moto, bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
    wrong = S3Bucket(bucket.destination, AccessKey(moto.key.key_id, "x" * 40), http, clock=SystemClock())
    with pytest.raises(BucketRefused) as caught:
        await wrong.put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == "SignatureDoesNotMatch"


async def test_every_version_of_a_key_is_listed_with_what_it_holds(moto: Moto, bucket: S3Bucket) -> None:
    moto.client.put_bucket_versioning(Bucket=bucket.destination.bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"first", b"other"):
        moto.client.put_object(Bucket=bucket.destination.bucket, Key="a/b", Body=body)
    listed = [one async for one in bucket.list_contents("a/")]
    assert {(one.key, one.size_bytes) for one in listed} == {("a/b", 5)}
    assert len({one.etag for one in listed}) == 2
    read = {b"".join([p async for p in bucket.read("a/b", version_id=one.version_id)]) for one in listed}
    assert read == {b"first", b"other"}
    assert [one async for one in bucket.list_contents("c/")] == []


# --- The doctor, and removing every version ---------------------------------------------------------------------------


def _wanted(bucket: S3Bucket, *, wants_lock: bool = False, configure_cors: bool = False) -> Wanted:
    return Wanted(
        destination=bucket.destination,
        options=PutOptions(content_type="text/plain"),
        wants_lock=wants_lock,
        origin="https://callreel.example",
        configure_cors=configure_cors,
    )


async def test_a_destination_is_tried_and_every_version_of_the_test_object_goes(moto: Moto, bucket: S3Bucket) -> None:
    name = bucket.destination.bucket
    moto.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    found = await examine(bucket, _wanted(bucket, configure_cors=True), clock=SystemClock())
    outcomes = {check.name: check.outcome for check in found}
    assert Outcome.FAILED not in outcomes.values(), found
    assert outcomes["delete"] == outcomes["cors"] == Outcome.PASSED, found
    listed = moto.client.list_object_versions(Bucket=name)
    assert listed.get("Versions", []) == []


async def test_object_lock_is_looked_for_where_it_is_asked_for(moto: Moto, bucket: S3Bucket) -> None:
    found = await examine(bucket, _wanted(bucket, wants_lock=True), clock=SystemClock())
    outcomes = {check.name: check.outcome for check in found}
    assert (outcomes["versioning"], outcomes["object-lock"]) == (Outcome.FAILED, Outcome.FAILED), found


async def test_removing_leaves_no_version_behind(moto: Moto, bucket: S3Bucket) -> None:
    name = bucket.destination.bucket
    before = some_blob(100)
    await bucket.put("key", before, WAV)
    moto.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        answer = await bucket.put("key", before, WAV)
    for _ in range(2):
        await bucket.remove("key", version_id=answer.version_id)
    assert moto.client.list_object_versions(Bucket=name).get("Versions", []) == []
