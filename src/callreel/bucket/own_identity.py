"""Who this installation is to AWS: keys from the environment, a web identity, the container's or the instance's role.

The first that is there, in the order of AWS's own tools. A customer's bucket is never opened with any of them:
they only take on the roles that customers name.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from callreel.bucket.refreshing import Refreshing
from callreel.bucket.refusals import TRANSPORT_ERRORS, translate_transport_error
from callreel.bucket.sts import Sts, parse_moment
from callreel.bucket.wire import read_reply
from callreel.clock import Clock
from callreel.errors import BucketRefused, BucketStumbled
from callreel.model.credential import AccessKey, SessionKey

INSTANCE_URL = "http://169.254.169.254"  # EC2, IMDSv2 only
CONTAINER_URL = "http://169.254.170.2"  # ECS
METADATA_S = 2.0
METADATA_BYTES = 64 << 10
TOKEN_LIFE_S = 21_600  # of IMDSv2; its longest
TOKEN_FILE_BYTES = 64 << 10
SESSION_NAME = "callreel"

_ROLE_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}", re.ASCII)


class OwnIdentity:
    """The installation's own keys, renewed before they end.

    `environ` is read at each renewal. `metadata` is a session that may call nothing but the two metadata
    addresses, given only when the operator switched `INSTANCE_ROLE` on.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        sts: Sts,
        clock: Clock,
        metadata: aiohttp.ClientSession | None = None,
        instance_url: str = INSTANCE_URL,
        container_url: str = CONTAINER_URL,
    ) -> None:
        self._environ, self._sts, self._metadata = environ, sts, metadata
        self._instance_url, self._container_url = instance_url, container_url
        self._keys = Refreshing(self._fetch, clock=clock)

    async def current(self) -> SessionKey:
        """Keys to sign with. Raises `BucketStumbled` and `BucketUnreachable`, never a refusal: it is ours to mend."""
        return await self._keys.current()

    async def _fetch(self) -> SessionKey:
        given = self._environ
        if given.get("AWS_ACCESS_KEY_ID") and given.get("AWS_SECRET_ACCESS_KEY"):
            key = AccessKey(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"])
            return SessionKey(key, given.get("AWS_SESSION_TOKEN") or None)
        if given.get("AWS_WEB_IDENTITY_TOKEN_FILE") and given.get("AWS_ROLE_ARN"):
            return await self._from_web_identity(given["AWS_ROLE_ARN"], given["AWS_WEB_IDENTITY_TOKEN_FILE"])
        if self._metadata is None:
            raise BucketStumbled(
                "NoIdentity",
                "this installation has no AWS identity of its own to take on a role with: give it AWS_ACCESS_KEY_ID, "
                "AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, or INSTANCE_ROLE=true on a machine that has one",
            )
        if given.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return await self._from_container(self._metadata, given["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
        return await self._from_instance(self._metadata)

    async def _from_web_identity(self, role_arn: str, token_file: str) -> SessionKey:
        try:  # read each time: whoever issues the token replaces the file
            token = await asyncio.to_thread(_read_token, Path(token_file))
        except (OSError, ValueError) as why:
            raise BucketStumbled("NoWebIdentity", "AWS_WEB_IDENTITY_TOKEN_FILE cannot be read") from why
        try:
            return await self._sts.assume_role_with_web_identity(
                role_arn,
                token,
                session_name=self._environ.get("AWS_ROLE_SESSION_NAME") or SESSION_NAME,
                region=self._environ.get("AWS_REGION") or "us-east-1",
            )
        except BucketRefused as why:
            raise BucketStumbled(why.code, "the installation's own role is denied to it", status=why.status) from why

    async def _from_container(self, http: aiohttp.ClientSession, path: str) -> SessionKey:
        if not path.startswith("/"):
            raise BucketStumbled("NoIdentity", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with a slash")
        return _read_keys(await self._ask(http, "GET", self._container_url + path, {}))

    async def _from_instance(self, http: aiohttp.ClientSession) -> SessionKey:
        base = f"{self._instance_url}/latest"
        life = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE_S)}
        token = (await self._ask(http, "PUT", f"{base}/api/token", life)).decode("ascii", "replace").strip()
        known = {"X-aws-ec2-metadata-token": token}
        roles = f"{base}/meta-data/iam/security-credentials/"
        name = (await self._ask(http, "GET", roles, known)).decode("ascii", "replace").strip().split("\n")[0]
        if not _ROLE_NAME.fullmatch(name):
            raise BucketStumbled("NoIdentity", "this machine has no instance role")
        return _read_keys(await self._ask(http, "GET", roles + name, known))

    async def _ask(self, http: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str]) -> bytes:
        assert urlsplit(url).scheme == "http"
        try:
            async with http.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=METADATA_S),
            ) as response:
                reply = await read_reply(response, METADATA_BYTES)
        except TRANSPORT_ERRORS as error:
            raise translate_transport_error(error) from error
        if reply.status != 200 or len(reply.body) > METADATA_BYTES:
            raise BucketStumbled("NoIdentity", "the metadata service did not answer as expected", status=reply.status)
        return reply.body


def _read_token(path: Path) -> str:
    with path.open("rb") as file:
        token = file.read(TOKEN_FILE_BYTES).decode("ascii").strip()
    if not token:
        raise ValueError("empty")
    return token


def _read_keys(body: bytes) -> SessionKey:
    """The JSON both metadata services answer with. Raises `BucketStumbled`; the message repeats none of it."""
    try:
        given: dict[str, Any] = json.loads(body)
        key = AccessKey(str(given["AccessKeyId"]), str(given["SecretAccessKey"]))
        token, expires_at = str(given["Token"]), parse_moment(given["Expiration"])
    except (ValueError, KeyError, TypeError) as why:
        raise BucketStumbled("NoIdentity", "the metadata service's answer has no keys") from why
    if expires_at is None:
        raise BucketStumbled("NoIdentity", "the metadata service's keys have no end")
    return SessionKey(key, token, expires_at)
