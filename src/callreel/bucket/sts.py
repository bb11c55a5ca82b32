"""Amazon's Security Token Service: keys for an hour, in exchange for an identity.

Two calls and no more: AssumeRole and AssumeRoleWithWebIdentity. Over the session it is given, whose connector
decides which addresses may be called.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from callreel.bucket.documents import Document, NotADocument, read_document
from callreel.bucket.refusals import TRANSPORT_ERRORS, retry_after_s, translate_transport_error
from callreel.bucket.signing import sign_form
from callreel.bucket.wire import CONNECT_S, Reply, read_reply
from callreel.clock import Clock
from callreel.errors import BucketRefused, BucketStumbled
from callreel.model.aws_role import AwsRole
from callreel.model.credential import AccessKey, SessionKey

VERSION = "2011-06-15"
DURATION_S = 3600  # the longest that a role taken on from another role may last
ANSWER_S = 15.0
ANSWER_BYTES = 64 << 10

# Only the role's owner can cure these. Everything else, our own identity being refused among it, is tried again.
_DENIED = frozenset({"AccessDenied"})


class Sts:
    """One endpoint of STS for each region; `endpoint` names one for all, for providers that are not Amazon."""

    def __init__(self, http: aiohttp.ClientSession, *, clock: Clock, endpoint: str | None = None) -> None:
        self._http, self._clock, self._endpoint = http, clock, endpoint

    @property
    def is_amazons(self) -> bool:
        return self._endpoint is None

    async def assume_role(self, role: AwsRole, *, identity: SessionKey, session_name: str, region: str) -> SessionKey:
        """Keys of the role for an hour.

        Raises `BucketRefused` when the role is denied to us, `BucketStumbled` for every other refusal (an
        identity of ours that is refused is the operator's to mend, and no customer's audio may go for it) and
        `BucketUnreachable`.
        """
        form = {
            "RoleArn": role.arn,
            "RoleSessionName": session_name,
            "ExternalId": role.external_id,
            "DurationSeconds": str(DURATION_S),
        }
        return await self._ask("AssumeRole", form, identity=identity, region=region)

    async def assume_role_with_web_identity(
        self, role_arn: str, token: str, *, session_name: str, region: str
    ) -> SessionKey:
        """Keys of the role for the bearer of an OpenID token. Raises as `assume_role`."""
        form = {"RoleArn": role_arn, "RoleSessionName": session_name, "WebIdentityToken": token}
        return await self._ask("AssumeRoleWithWebIdentity", form, identity=None, region=region)

    async def _ask(
        self, action: str, form: Mapping[str, str], *, identity: SessionKey | None, region: str
    ) -> SessionKey:
        url = self._url(region)
        body = urlencode({"Action": action, "Version": VERSION, **form}).encode()
        headers = {
            "Host": urlsplit(url).netloc,
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "Accept-Encoding": "identity",
        }
        if identity is not None:
            headers = sign_form(identity, url, headers, body, service="sts", region=region, clock=self._clock)
        try:
            reply = await self._post(url, headers, body)
        except TRANSPORT_ERRORS as error:
            raise translate_transport_error(error) from error
        if reply.status != 200:
            raise self._refusal(reply)
        return _session_key(reply, action)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        allowed = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        async with self._http.post(
            URL(url, encoded=True), data=body, headers=headers, allow_redirects=False, timeout=allowed
        ) as response:
            return await read_reply(response, ANSWER_BYTES)

    def _url(self, region: str) -> str:
        if self._endpoint is not None:
            return self._endpoint.rstrip("/") + "/"
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://sts.{region}.{suffix}/"

    def _refusal(self, reply: Reply) -> BucketRefused | BucketStumbled:
        code, message, request_id = _read_error(reply.body)
        if code in _DENIED:
            return BucketRefused(code, message, status=reply.status, request_id=request_id)
        return BucketStumbled(
            code or f"Http{reply.status}",
            message or "the answer is not one of STS's",
            status=reply.status,
            request_id=request_id,
            retry_after_s=retry_after_s(reply.headers, now=self._clock.now()),
        )


def _read_error(body: bytes) -> tuple[str, str, str | None]:
    try:
        document = read_document(body)
    except NotADocument:
        return "", "", None
    inside = document.child("Errors") or document  # Amazon has Error alone; servers after its older services, Errors
    error = inside.child("Error")
    if document.name not in ("ErrorResponse", "Response") or error is None:
        return "", "", None
    message = "".join(c for c in error.text("Message") or "" if c.isprintable())
    return (error.text("Code") or "")[:64], message[:300], document.text("RequestId")


def _session_key(reply: Reply, action: str) -> SessionKey:
    """The keys of a success. One without them was cut short: not one to believe. Raises `BucketStumbled`."""
    try:
        found = _credentials_in(read_document(reply.body, limit=ANSWER_BYTES), action)
    except NotADocument:
        found = None
    if found is None:
        raise BucketStumbled("AnswerCutShort", "a success of STS without its keys", status=reply.status)
    return found


def _credentials_in(document: Document, action: str) -> SessionKey | None:
    result = document.child(f"{action}Result")
    given = result.child("Credentials") if result else None
    if given is None:
        return None
    key_id, secret = given.text("AccessKeyId"), given.text("SecretAccessKey")
    token, expires_at = given.text("SessionToken"), parse_moment(given.text("Expiration"))
    if not (key_id and secret and token and expires_at):
        return None
    return SessionKey(AccessKey(key_id, secret), token, expires_at)


def parse_moment(text: str | None) -> datetime | None:
    """A moment as AWS writes it, in UTC; None when it is not one."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
