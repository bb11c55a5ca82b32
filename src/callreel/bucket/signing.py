"""AWS Signature Version 4 by botocore's own signer, on our clock and with the payload hash we computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from callreel.clock import Clock
from callreel.model.credential import AccessKey, SessionKey

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MAX_PRESIGNED_S = 7 * 24 * 3600  # S3's own limit


class Signer:
    """Signs requests for one access key in one region."""

    def __init__(self, key: AccessKey, *, region: str, clock: Clock, session_token: str | None = None) -> None:
        self._credentials = Credentials(key.key_id, key.secret, session_token)
        self._region, self._clock = region, clock
        self._headers = _Headers(self._credentials, region, clock)

    def headers(self, method: str, url: str, headers: Mapping[str, str], *, payload_sha256: str) -> dict[str, str]:
        """The headers to send: those given, plus date, payload hash, session token and the signature over all.

        Give `Host` as it will be sent; to derive it from the URL costs botocore a quarter of the signature.
        """
        request = AWSRequest(method=method, url=url, headers=headers)
        request.context["payload"] = payload_sha256
        self._headers.add_auth(request)
        return dict(request.headers.items())

    def presign(self, method: str, url: str, query: Mapping[str, str], *, expires_s: int) -> str:
        """The URL with a signature in its query, good for so many seconds from now. Raises `ValueError`."""
        if not 0 < expires_s <= MAX_PRESIGNED_S:
            raise ValueError(f"a presigned URL lives 1 to {MAX_PRESIGNED_S} seconds, not {expires_s}")
        request = AWSRequest(method=method, url=url, params=dict(query))
        _Query(self._credentials, self._region, self._clock, expires_s).add_auth(request)
        return str(request.url)


def sign_form(
    key: SessionKey, url: str, headers: Mapping[str, str], body: bytes, *, service: str, region: str, clock: Clock
) -> dict[str, str]:
    """The headers to send with a POST of this body to another of AWS's services."""
    request = AWSRequest(method="POST", url=url, headers=headers, data=body)
    credentials = Credentials(key.access_key.key_id, key.access_key.secret, key.token)
    _Form(credentials, service, region, clock).add_auth(request)
    return dict(request.headers.items())


class _OnOurClock:
    """`add_auth` as botocore has it, with the time from our clock."""

    _our_clock: Clock

    def add_auth(self, request: Any) -> None:
        signer: Any = self
        request.context["timestamp"] = self._our_clock.now().strftime(SIGV4_TIMESTAMP)
        signer._modify_request_before_signing(request)
        to_sign = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(to_sign, request))


class _Headers(_OnOurClock, S3SigV4Auth):
    def __init__(self, credentials: Credentials, region: str, clock: Clock) -> None:
        super().__init__(credentials, "s3", region)
        self._our_clock = clock

    def payload(self, request: Any) -> str:
        return str(request.context["payload"])

    def headers_to_sign(self, request: Any) -> Any:
        # botocore collects them twice for one signature.
        if "to_sign" not in request.context:
            request.context["to_sign"] = super().headers_to_sign(request)
        return request.context["to_sign"]


class _Form(_OnOurClock, SigV4Auth):
    def __init__(self, credentials: Credentials, service: str, region: str, clock: Clock) -> None:
        super().__init__(credentials, service, region)
        self._our_clock = clock


class _Query(_OnOurClock, S3SigV4QueryAuth):
    def __init__(self, credentials: Credentials, region: str, clock: Clock, expires_s: int) -> None:
        super().__init__(credentials, "s3", region, expires=expires_s)
        self._our_clock = clock
