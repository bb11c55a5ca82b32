"""Checks Signature Version 4, in headers and in the query, by signing again with botocore's signer."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from callreel.rehearsal.s3_words import S3Refusal

SKEW = timedelta(minutes=15)  # what S3 allows
MAX_EXPIRES_S = 7 * 24 * 3600

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<signed>[^,\s]+),\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature is about. `target` is the path and query as they came, not decoded."""

    method: str
    host: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Claim:
    key_id: str
    region: str
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    expires_s: int | None


def verify(request: SignedRequest, *, secrets: Mapping[str, str], region: str, now: datetime) -> str:
    """The key id that signed the request. Raises `S3Refusal` with the code S3 would use."""
    path, _, query = request.target.partition("?")
    claim = _claim_in_query(query) or _claim_in_headers(request.headers)
    if claim is None:
        raise S3Refusal(403, "AccessDenied", "Access Denied")
    if claim.region != region:
        message = f"The authorization header is malformed; the region '{claim.region}' is wrong; expecting '{region}'"
        raise S3Refusal(400, "AuthorizationHeaderMalformed", message, extra=[("Region", region)])
    _check_time(claim, now)
    secret = secrets.get(claim.key_id)
    if secret is None:
        raise S3Refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    if not hmac.compare_digest(_signature(request, path, query, claim, secret), claim.signature):
        raise S3Refusal(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    return claim.key_id


def _claim_in_headers(headers: Mapping[str, str]) -> _Claim | None:
    match = _AUTHORIZATION.fullmatch(headers.get("Authorization", "").strip())
    if match is None:
        return None
    key_id, _, region = _scope(match["credential"])
    signed = tuple(match["signed"].split(";"))
    unsigned = [n for n in headers if n.lower().startswith("x-amz-") and n.lower() not in signed]
    if unsigned or "host" not in signed:
        raise S3Refusal(403, "AccessDenied", "There were headers present in the request which were not signed")
    return _Claim(key_id, region, headers.get("x-amz-date", ""), signed, match["signature"], None)


def _claim_in_query(query: str) -> _Claim | None:
    if "X-Amz-Signature=" not in query:
        return None
    values = dict(parse_qsl(query, keep_blank_values=True))
    try:
        expires_s = int(values["X-Amz-Expires"])
        key_id, _, region = _scope(values["X-Amz-Credential"])
        signed = tuple(values["X-Amz-SignedHeaders"].split(";"))
        claim = _Claim(key_id, region, values["X-Amz-Date"], signed, values["X-Amz-Signature"], expires_s)
    except (KeyError, ValueError) as why:
        raise S3Refusal(400, "AuthorizationQueryParametersError", "Query-string authentication is incomplete") from why
    if not 0 < expires_s <= MAX_EXPIRES_S:
        raise S3Refusal(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be 1 to 604800 seconds")
    return claim


def _scope(credential: str) -> tuple[str, str, str]:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[3:] != ["s3", "aws4_request"]:
        raise S3Refusal(400, "AuthorizationHeaderMalformed", "The credential's scope is not one of S3's")
    return parts[0], parts[1], parts[2]


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        at = datetime.strptime(claim.timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError as why:
        raise S3Refusal(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from why
    if at - now > SKEW or (claim.expires_s is None and now - at > SKEW):
        raise S3Refusal(403, "RequestTimeTooSkewed", "The difference between the request time and ours is too large.")
    if claim.expires_s is not None and now >= at + timedelta(seconds=claim.expires_s):
        raise S3Refusal(403, "AccessDenied", "Request has expired")


def _signature(request: SignedRequest, path: str, query: str, claim: _Claim, secret: str) -> str:
    credentials = Credentials(claim.key_id, secret)
    signer: Any = (S3SigV4Auth if claim.expires_s is None else S3SigV4QueryAuth)(credentials, "s3", claim.region)
    url = f"http://{request.host}{_encoded(path, '/-_.~')}?{_canonical_query(query)}"
    headers = {name: request.headers.get(name, "") for name in claim.signed_headers}
    again = AWSRequest(method=request.method, url=url, headers=headers)
    again.context["timestamp"] = claim.timestamp
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair and not pair.startswith("X-Amz-Signature=")]
    return "&".join(f"{_encoded(name, '-_.~')}={_encoded(value, '-_.~')}" for name, _, value in pairs)


def _encoded(text: str, safe: str) -> str:
    return quote(unquote(text), safe=safe)
