"""Roles instead of keys, against an STS that checks signatures and asks for the external id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import boto3
import pytest
from aiohttp import web
from botocore.exceptions import ClientError

from callreel.bucket.own_identity import OwnIdentity
from callreel.bucket.roles import Roles
from callreel.bucket.s3 import S3Bucket
from callreel.bucket.sts import Sts
from callreel.bucket.trust_policy import trust_policy
from callreel.clock import SetClock, SystemClock
from callreel.errors import BucketRefused, BucketStumbled, BucketUnreachable, InvalidParameter, SettingsIncomplete
from callreel.model.aws_role import AwsRole, parse_role, session_name_of
from callreel.model.sid import AccountSid
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.embedded_sts import EmbeddedSts, StsRefusal
from tests.bucket.blobs import WAV, some_blob
from tests.bucket.conftest import destination_at

ACCOUNT = AccountSid("AC" + "1" * 32)
OTHER = AccountSid("AC" + "2" * 32)
ARN = "arn:aws:iam::123456789012:role/callreel"
ROLE = AwsRole(ARN, "an-external-id")
OWN = {"AWS_ACCESS_KEY_ID": "AKINSTALLATION000000", "AWS_SECRET_ACCESS_KEY": "s" * 40}


@pytest.fixture
async def sts(clock: SetClock) -> AsyncIterator[EmbeddedSts]:
    async with EmbeddedSts(clock=clock) as server:
        server.add_user(OWN["AWS_ACCESS_KEY_ID"], OWN["AWS_SECRET_ACCESS_KEY"])
        server.add_role(ARN, external_id=ROLE.external_id)
        yield server


class Installation:
    """Roles over the embedded STS, as one installation with this environment has them."""

    def __init__(self, sts: EmbeddedSts, http: aiohttp.ClientSession, clock: SetClock) -> None:
        self._sts, self._http, self._clock = sts, http, clock

    def roles(self, environ: dict[str, str] | None = None, *, metadata: bool = False) -> Roles:
        sts = Sts(self._http, clock=self._clock, endpoint=self._sts.url)
        own = OwnIdentity(
            OWN if environ is None else environ,
            sts=sts,
            clock=self._clock,
            metadata=self._http if metadata else None,
            instance_url=self._sts.url,
            container_url=self._sts.url,
        )
        return Roles(sts, own, clock=self._clock)


@pytest.fixture
def installation(sts: EmbeddedSts, http: aiohttp.ClientSession, clock: SetClock) -> Installation:
    return Installation(sts, http, clock)


async def test_a_role_opens_the_bucket(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with EmbeddedS3(tmp_path) as s3:
        s3.create_bucket("recordings")
        async with EmbeddedSts(issued=lambda given: s3.add_user(given.key_id, given.secret)) as sts:
            sts.add_user(OWN["AWS_ACCESS_KEY_ID"], OWN["AWS_SECRET_ACCESS_KEY"])
            sts.add_role(ARN, external_id=ROLE.external_id)
            asking = Sts(http, clock=SystemClock(), endpoint=sts.url)
            roles = Roles(asking, OwnIdentity(OWN, sts=asking, clock=SystemClock()), clock=SystemClock())
            keys = await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
            bucket = S3Bucket(
                destination_at(s3.url), keys.access_key, http, clock=SystemClock(), session_token=keys.token
            )
            await bucket.put("calls/RE1", some_blob(), WAV)
            assert s3.keys("recordings") == ["calls/RE1"]


@pytest.mark.parametrize("external_id", ["another", "an-external-i", "AN-EXTERNAL-ID"])
async def test_a_wrong_external_id_is_denied(installation: Installation, external_id: str) -> None:
    with pytest.raises(BucketRefused) as caught:
        await installation.roles().keys_of(ACCOUNT, AwsRole(ARN, external_id), region="us-east-1")
    assert caught.value.code == "AccessDenied"


async def test_a_role_that_asks_for_an_external_id_is_never_asked_for_without_one(
    installation: Installation, sts: EmbeddedSts, http: aiohttp.ClientSession, clock: SetClock
) -> None:
    with pytest.raises(SettingsIncomplete):
        parse_role(ARN, None)
    without = AwsRole(ARN, "")  # what would be sent if somebody got around the check: the STS says no
    with pytest.raises(BucketRefused):
        await installation.roles().keys_of(ACCOUNT, without, region="us-east-1")
    await installation.roles().keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert sts.last_form["ExternalId"] == ROLE.external_id
    assert sts.last_form["RoleSessionName"] == session_name_of(ACCOUNT)


async def test_a_role_bound_to_one_account_is_denied_to_another(installation: Installation, sts: EmbeddedSts) -> None:
    policy = trust_policy("arn:aws:iam::111111111111:role/callreel", ROLE.external_id, account_sid=ACCOUNT)
    bound = policy["Statement"][0]["Condition"]["StringEquals"]
    sts.add_role(ARN, external_id=bound["sts:ExternalId"], session_name=bound["sts:RoleSessionName"])
    roles = installation.roles()
    await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
    with pytest.raises(BucketRefused):
        await roles.keys_of(OTHER, ROLE, region="us-east-1")


async def test_many_who_ask_at_once_cause_one_request(installation: Installation, sts: EmbeddedSts) -> None:
    roles = installation.roles()
    keys = await asyncio.gather(*(roles.keys_of(ACCOUNT, ROLE, region="us-east-1") for _ in range(20)))
    assert sts.calls["AssumeRole"] == 1
    assert len({key.access_key.key_id for key in keys}) == 1


async def test_keys_are_renewed_five_minutes_before_they_end(
    installation: Installation, sts: EmbeddedSts, clock: SetClock
) -> None:
    roles = installation.roles()
    first = await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert first.expires_at == clock.now() + timedelta(hours=1)
    clock.advance(55 * 60 - 1)
    assert await roles.keys_of(ACCOUNT, ROLE, region="us-east-1") is first
    clock.advance(1)
    assert await roles.keys_of(ACCOUNT, ROLE, region="us-east-1") is not first
    assert sts.calls["AssumeRole"] == 2


async def test_a_renewal_that_fails_is_no_failure_while_the_keys_last(
    installation: Installation, sts: EmbeddedSts, clock: SetClock
) -> None:
    roles = installation.roles()
    first = await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
    clock.advance(56 * 60)
    sts.failing = StsRefusal(503, "ServiceUnavailable")
    assert await roles.keys_of(ACCOUNT, ROLE, region="us-east-1") is first
    assert await roles.keys_of(ACCOUNT, ROLE, region="us-east-1") is first
    assert sts.calls["AssumeRole"] == 2, "a failing STS is not asked for every delivery"
    clock.advance(5 * 60)
    with pytest.raises(BucketStumbled):
        await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")


async def test_forgotten_keys_are_fetched_anew(installation: Installation, sts: EmbeddedSts) -> None:
    roles = installation.roles()
    first = await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
    roles.forget(ACCOUNT, ROLE, region="us-east-1")
    assert await roles.keys_of(ACCOUNT, ROLE, region="us-east-1") is not first


@pytest.mark.parametrize("code", ["ServiceUnavailable", "Throttling", "RegionDisabledException", "InternalFailure"])
async def test_everything_but_a_denial_is_tried_again(installation: Installation, sts: EmbeddedSts, code: str) -> None:
    sts.failing = StsRefusal(400, code)
    with pytest.raises(BucketStumbled) as caught:
        await installation.roles().keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert caught.value.code == code


async def test_an_identity_of_ours_that_is_refused_costs_no_customers_audio(installation: Installation) -> None:
    for environ in (OWN | {"AWS_ACCESS_KEY_ID": "AKUNKNOWN"}, OWN | {"AWS_SECRET_ACCESS_KEY": "x" * 40}, {}):
        with pytest.raises(BucketStumbled):
            await installation.roles(environ).keys_of(ACCOUNT, ROLE, region="us-east-1")


async def test_the_session_token_of_the_environment_is_used(installation: Installation, sts: EmbeddedSts) -> None:
    sts.add_web_token("a.web.token", ARN)
    keys = sts._issue(ARN, "somebody")
    environ = {
        "AWS_ACCESS_KEY_ID": keys.key_id,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_SESSION_TOKEN": keys.token,
    }
    await installation.roles(environ).keys_of(ACCOUNT, ROLE, region="us-east-1")
    with pytest.raises(BucketStumbled):
        await installation.roles(environ | {"AWS_SESSION_TOKEN": "x"}).keys_of(ACCOUNT, ROLE, region="us-east-1")


async def test_a_web_identity_is_read_from_its_file_each_time(
    installation: Installation, sts: EmbeddedSts, clock: SetClock, tmp_path: Path
) -> None:
    own_arn, file = "arn:aws:iam::111111111111:role/installation", tmp_path / "token"
    sts.add_web_token("first", own_arn)
    file.write_text("first\n")
    roles = installation.roles({"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": own_arn})
    await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
    sts.add_web_token("second", own_arn)
    file.write_text("second")
    clock.advance(3600)
    await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert sts.calls["AssumeRoleWithWebIdentity"] == 2
    file.unlink()
    clock.advance(3600)
    with pytest.raises(BucketStumbled, match="cannot be read"):
        await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")


async def test_an_instance_role_is_found_with_a_session_token(installation: Installation, sts: EmbeddedSts) -> None:
    await installation.roles({}, metadata=True).keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert sts.calls["PUT /latest/api/token"] == 1
    assert sts.calls["AssumeRole"] == 1


async def test_a_containers_role_is_found(installation: Installation, sts: EmbeddedSts) -> None:
    environ = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1234"}
    await installation.roles(environ, metadata=True).keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert sts.calls["GET /v2/credentials/1234"] == 1


@pytest.mark.parametrize("kind", ["instance", "container", "web identity"])
async def test_the_installations_own_keys_are_renewed_before_they_end_and_last_while_renewing_fails(
    installation: Installation, sts: EmbeddedSts, clock: SetClock, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "token").write_text("a.web.token")
    sts.add_web_token("a.web.token", ARN)
    web_identity = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": ARN}
    container = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1234"}
    environ, asked = {
        "instance": ({}, "PUT /latest/api/token"),
        "container": (container, "GET /v2/credentials/1234"),
        "web identity": (web_identity, "AssumeRoleWithWebIdentity"),
    }[kind]
    roles = installation.roles(environ, metadata=kind != "web identity")

    async def take_on() -> int:
        """How often its own keys were asked for, once a role was taken on anew with them."""
        roles.forget(ACCOUNT, ROLE, region="us-east-1")
        await roles.keys_of(ACCOUNT, ROLE, region="us-east-1")
        return sts.calls[asked]

    assert await take_on() == 1
    clock.advance(55 * 60 - 1)
    assert await take_on() == 1
    clock.advance(1)
    assert await take_on() == 2
    clock.advance(56 * 60)  # what lasts another four minutes is still good for a role, whatever became of the service
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sts, "_metadata", lambda request: web.Response(status=500))
        patch.setattr(sts, "_web_tokens", {})
        await take_on()
        clock.advance(5 * 60)
        with pytest.raises(BucketStumbled):
            await take_on()
    before = sts.calls[asked]
    assert await take_on() == before + 1


async def test_no_metadata_service_is_asked_unless_switched_on(installation: Installation, sts: EmbeddedSts) -> None:
    with pytest.raises(BucketStumbled, match="INSTANCE_ROLE"):
        await installation.roles({}).keys_of(ACCOUNT, ROLE, region="us-east-1")
    assert not sts.calls


async def test_an_sts_that_does_not_answer_is_tried_again(http: aiohttp.ClientSession, clock: SetClock) -> None:
    nobody = Sts(http, clock=clock, endpoint="http://127.0.0.1:9")
    with pytest.raises(BucketUnreachable):
        await Roles(nobody, OwnIdentity(OWN, sts=nobody, clock=clock), clock=clock).keys_of(
            ACCOUNT, ROLE, region="us-east-1"
        )


@pytest.mark.parametrize(
    "arn",
    ["", "callreel", "arn:aws:iam::1234:role/x", "arn:aws:iam::123456789012:user/x", ARN + " ", ARN + "\n", "x" + ARN],
)
def test_what_is_no_roles_arn_is_refused(arn: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_role(arn, "ab")


@pytest.mark.parametrize("external_id", ["", "a", "a b", "ä" * 5, "a" * 1225, "ab\n"])
def test_what_is_no_external_id_is_refused(external_id: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_role(ARN, external_id)


def test_keys_do_not_show_in_their_repr() -> None:
    assert "s" * 40 not in repr(OwnIdentity(OWN, sts=None, clock=SetClock()))  # type: ignore[arg-type]


@pytest.mark.parametrize("principal", ["*", "arn:aws:iam::123456789012:*", "arn:aws:s3:::bucket", ""])
def test_a_trust_policy_never_trusts_everybody(principal: str) -> None:
    with pytest.raises(InvalidParameter):
        trust_policy(principal, ROLE.external_id, account_sid=ACCOUNT)


async def test_the_stand_in_denies_a_real_client_that_sends_no_external_id(sts: EmbeddedSts, clock: SetClock) -> None:
    clock.jump((SystemClock().now() - clock.now()).total_seconds())  # boto3 signs by the machine's clock
    client = boto3.client(
        "sts",
        endpoint_url=sts.url,
        region_name="us-east-1",
        aws_access_key_id=OWN["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=OWN["AWS_SECRET_ACCESS_KEY"],
    )
    asked = {"RoleArn": ARN, "RoleSessionName": "somebody"}
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(lambda: client.assume_role(**asked))
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    granted = await asyncio.to_thread(lambda: client.assume_role(**asked, ExternalId=ROLE.external_id))
    assert granted["Credentials"]["SessionToken"]
    client.close()
