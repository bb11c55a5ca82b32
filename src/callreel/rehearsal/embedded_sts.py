"""A small STS of our own, for tests: real signatures, an external id that is really asked for, metadata services.

The public stand-ins grant a role to a caller who sends no external id at all; Amazon does not, and neither does this.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from callreel.clock import Clock, SystemClock

ROLE_NAME = "installation"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key_id>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/sts/aws4_request, "
    r"SignedHeaders=(?P<signed>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)


class StsRefusal(Exception):
    """An answer that says no. Never leaves the embedded STS."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message or code


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Keys that were given out, and to whom."""

    key_id: str
    secret: str
    token: str
    role_arn: str
    session_name: str


@dataclass(slots=True)
class _Role:
    external_id: str | None
    session_name: str | None


class EmbeddedSts:
    """The server, as a context: `async with EmbeddedSts() as sts`. Loopback only, one port for everything.

    `/` is STS, `/latest/…` EC2's metadata (IMDSv2), `/v2/credentials/…` ECS's. `issued` is called with all keys
    that are given out, so that an embedded S3 can accept them.
    """

    def __init__(self, *, clock: Clock | None = None, issued: Callable[[Issued], None] | None = None) -> None:
        self._clock, self._issued = clock or SystemClock(), issued
        self._secrets: dict[str, tuple[str, str | None]] = {}
        self._roles: dict[str, _Role] = {}
        self._web_tokens: dict[str, str] = {}
        self._metadata_token = secrets.token_urlsafe(16)
        self.calls: Counter[str] = Counter()
        """How often each action was asked for."""
        self.last_form: dict[str, str] = {}
        self.failing: StsRefusal | None = None
        """Answered to every call of STS while it is set."""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def add_user(self, key_id: str, secret: str) -> None:
        """Accept this access key as an identity."""
        self._secrets[key_id] = (secret, None)

    def add_role(self, arn: str, *, external_id: str | None = None, session_name: str | None = None) -> None:
        """A role every identity may take on that says this external id, and calls itself so, where they are given."""
        self._roles[arn] = _Role(external_id, session_name)

    def remove_role(self, arn: str) -> None:
        """Deny the role from now on."""
        self._roles.pop(arn, None)

    def add_web_token(self, token: str, role_arn: str) -> None:
        """Accept this OpenID token for this role."""
        self._web_tokens[token] = role_arn

    # --- One request -------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        path = request.path
        if path != "/":
            return self._metadata(request)
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = form.get("Action", "")
        self.calls[action] += 1
        self.last_form = form
        try:
            if self.failing is not None:
                raise self.failing
            issued = self._grant(request, body, action, form)
        except StsRefusal as no:
            return web.Response(status=no.status, body=_refusal(no), content_type="text/xml")
        return web.Response(body=self._granted(action, issued), content_type="text/xml")

    def _grant(self, request: web.BaseRequest, body: bytes, action: str, form: Mapping[str, str]) -> Issued:
        arn = form.get("RoleArn", "")
        if action == "AssumeRoleWithWebIdentity":
            if self._web_tokens.get(form.get("WebIdentityToken", "")) != arn:
                raise StsRefusal(400, "InvalidIdentityToken", "The token is not valid")
        elif action == "AssumeRole":
            self._verify(request, body)
            role = self._roles.get(arn)
            wanted = {
                "ExternalId": role.external_id if role else None,
                "RoleSessionName": role.session_name if role else None,
            }
            denied = any(value is not None and form.get(name) != value for name, value in wanted.items())
            if role is None or denied:
                raise StsRefusal(403, "AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {arn}")
        else:
            raise StsRefusal(400, "InvalidAction", f"Could not find operation {action}")
        return self._issue(arn, form.get("RoleSessionName", ""))

    def _issue(self, arn: str, session_name: str) -> Issued:
        issued = Issued(
            key_id="ASIA" + secrets.token_hex(8).upper(),
            secret=secrets.token_hex(20),
            token=secrets.token_urlsafe(48),
            role_arn=arn,
            session_name=session_name,
        )
        self._secrets[issued.key_id] = (issued.secret, issued.token)
        if self._issued is not None:
            self._issued(issued)
        return issued

    def _verify(self, request: web.BaseRequest, body: bytes) -> None:
        claim = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if claim is None:
            raise StsRefusal(403, "MissingAuthenticationToken")
        secret, token = self._secrets.get(claim["key_id"], (None, None))
        if secret is None:
            raise StsRefusal(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        timestamp = request.headers.get("X-Amz-Date", "")
        at = datetime.strptime(timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        if abs(self._clock.now() - at) > timedelta(minutes=15):
            raise StsRefusal(400, "RequestExpired")
        headers = {name: request.headers.get(name, "") for name in claim["signed"].split(";")}
        again = AWSRequest(method="POST", url=f"http://{request.headers['Host']}/", headers=headers, data=body)
        again.context["timestamp"] = timestamp
        signer = SigV4Auth(Credentials(claim["key_id"], secret), "sts", claim["region"])
        right = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
        if not hmac.compare_digest(right, claim["signature"]):
            raise StsRefusal(403, "SignatureDoesNotMatch")
        if token is not None and headers.get("x-amz-security-token") != token:
            raise StsRefusal(403, "InvalidClientTokenId")

    def _granted(self, action: str, issued: Issued) -> bytes:
        fields = {
            "AccessKeyId": issued.key_id,
            "SecretAccessKey": issued.secret,
            "SessionToken": issued.token,
            "Expiration": self._expiration(),
        }
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
            f"<Credentials>{inner}</Credentials></{action}Result></{action}Response>"
        ).encode()

    def _expiration(self) -> str:
        return (self._clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- Metadata services -------------------------------------------------------------------------------------------

    def _metadata(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls[f"{request.method} {request.path}"] += 1
        roles = "/latest/meta-data/iam/security-credentials/"
        if request.path == "/latest/api/token":
            if request.method != "PUT" or "X-aws-ec2-metadata-token-ttl-seconds" not in request.headers:
                return web.Response(status=400)
            return web.Response(text=self._metadata_token)
        if request.path.startswith("/v2/credentials/"):
            return self._keys()
        if request.headers.get("X-aws-ec2-metadata-token") != self._metadata_token:
            return web.Response(status=401)
        if request.path == roles:
            return web.Response(text=ROLE_NAME)
        return self._keys() if request.path == roles + ROLE_NAME else web.Response(status=404)

    def _keys(self) -> web.StreamResponse:
        issued = self._issue("arn:aws:iam::111111111111:role/installation", "metadata")
        given = {
            "Code": "Success",
            "AccessKeyId": issued.key_id,
            "SecretAccessKey": issued.secret,
            "Token": issued.token,
            "Expiration": self._expiration(),
        }
        return web.Response(text=json.dumps(given), content_type="application/json")


def _refusal(no: StsRefusal) -> bytes:
    return (
        f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{no.code}</Code><Message>{escape(no.message)}</Message></Error>"
        f"<RequestId>{secrets.token_hex(8)}</RequestId></ErrorResponse>"
    ).encode()
