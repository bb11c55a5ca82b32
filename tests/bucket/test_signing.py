"""Our signature of headers is botocore's, whatever is signed."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from callreel.bucket.signing import EMPTY_SHA256, Signer
from callreel.bucket.wire import query_string
from callreel.clock import SetClock
from callreel.model.credential import AccessKey
from callreel.model.destination import Destination

KEY = AccessKey("AKIDEXAMPLEEXAMPLE00", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
PLACE = Destination(
    endpoint="https://s3.example.com:9000", bucket="calls", region="eu-west-3", prefix="", path_style=True, is_aws=False
)


class _Reference(S3SigV4Auth):
    """botocore's own, given the payload's hash."""

    def payload(self, request: Any) -> str:
        return str(request.context["payload"])


def botocores(method: str, url: str, headers: dict[str, str], payload: str, token: str | None, at: str) -> str:
    request = AWSRequest(method=method, url=url, headers=headers)
    request.context.update(payload=payload, timestamp=at)
    signer: Any = _Reference(Credentials(KEY.key_id, KEY.secret, token), "s3", PLACE.region)
    signer._modify_request_before_signing(request)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(to_sign, request))
    return str(request.headers["Authorization"])


WORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=20)
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


@given(
    method=st.sampled_from(["PUT", "GET", "HEAD", "DELETE", "POST"]),
    key=KEYS,
    query=st.lists(
        st.tuples(st.sampled_from(["partNumber", "uploadId", "uploads", "prefix", "a-b"]), WORDS), max_size=4
    ),
    tag=WORDS,
    token=st.none() | st.just("FwoGZXIvYXdzEXAMPLE=="),
)
def test_every_request_has_the_signature_botocore_would_give_it(
    method: str, key: str, query: list[tuple[str, str]], tag: str, token: str | None
) -> None:
    url = PLACE.url_of(key) + query_string(query)
    headers = {"Host": PLACE.host, "Content-Type": "audio/x-wav", "x-amz-meta-tag": tag}
    clock = SetClock()
    signed = Signer(KEY, region=PLACE.region, clock=clock, session_token=token).headers(
        method, url, headers, payload_sha256=EMPTY_SHA256
    )
    assert signed["Authorization"] == botocores(method, url, headers, EMPTY_SHA256, token, signed["X-Amz-Date"])
    assert signed.get("X-Amz-Security-Token") == token


def test_without_a_host_header_the_urls_own_is_signed() -> None:
    url = PLACE.url_of("a/b")
    signed = Signer(KEY, region=PLACE.region, clock=SetClock()).headers("GET", url, {}, payload_sha256=EMPTY_SHA256)
    assert signed["Authorization"] == botocores("GET", url, {}, EMPTY_SHA256, None, signed["X-Amz-Date"])


@pytest.mark.parametrize("days", [1, 400])
def test_the_signing_key_changes_with_the_day(days: int) -> None:
    clock, url = SetClock(), PLACE.url_of("a")
    signer = Signer(KEY, region=PLACE.region, clock=clock)
    signer.headers("GET", url, {}, payload_sha256=EMPTY_SHA256)
    clock.advance(days * 86_400)
    signed = signer.headers("GET", url, {}, payload_sha256=EMPTY_SHA256)
    assert signed["Authorization"] == botocores("GET", url, {}, EMPTY_SHA256, None, signed["X-Amz-Date"])
