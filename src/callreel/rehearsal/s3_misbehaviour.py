"""What the embedded S3 does when a fault strikes: instead of its work, or to the answer after it."""

from __future__ import annotations

import base64
import re

from aiohttp import ClientPayloadError, web

from callreel.rehearsal.s3_faults import Fault, Faults
from callreel.rehearsal.s3_operations import Asked, receive
from callreel.rehearsal.s3_words import S3Refusal

READ_BEFORE_RESET = 4 << 10  # of a body that is broken off: some of it, and never the end of a large one

_ETAG = re.compile(rb"<ETag>[^<]*</ETag>")
_CHECKSUM_XML = re.compile(rb"<ChecksumSHA256>[^<]*</ChecksumSHA256>")
_CHECKSUM = "x-amz-checksum-sha256"
_WRONG_ETAG = '"00000000000000000000000000000000"'
_WRONG_SHA256 = base64.b64encode(bytes(32)).decode()


async def misbehave(asked: Asked, fault: Fault, faults: Faults) -> web.StreamResponse | None:
    """The answer a fault gives instead of the right one; None when the right one may follow after all."""
    request = asked.request
    if fault.kind in ("refuse", "deny_object"):
        return _refusal(request, fault)
    if fault.kind == "html_403":
        return web.Response(status=403, text="<html><body>Forbidden<hr></body></html>", content_type="text/html")
    if fault.kind == "bare_503":
        return web.Response(status=503)
    if fault.kind == "ok_with_error":
        return web.Response(body=S3Refusal(200, "InternalError").document("FAULT"), content_type="application/xml")
    if fault.kind == "store_nothing":
        return await _store_nothing(asked)
    if fault.kind == "lose_part":
        _lose_part(asked)
        return None
    if fault.kind == "stall" and await faults.hold(fault.lasts_s):
        return None
    if fault.kind == "reset_in_body":
        await _read_some(request)
    if fault.kind == "garbage" and request.transport is not None:
        request.transport.write(b"\x16\x03\x01 220 mail.example ready\r\n\r\n")
        request.transport.close()
        return web.Response()
    _break_connection(request)
    return web.Response()


def spoil(request: web.BaseRequest, response: web.StreamResponse, fault: Fault) -> None:
    """Change or break off the answer to what was done."""
    transport = request.transport
    if fault.kind == "wrong_etag":
        response.headers["ETag"] = _WRONG_ETAG
        _rewrite(response, _ETAG, f"<ETag>{_WRONG_ETAG}</ETag>")
    elif fault.kind == "wrong_checksum":
        response.headers[_CHECKSUM] = _WRONG_SHA256
        _rewrite(response, _CHECKSUM_XML, f"<ChecksumSHA256>{_WRONG_SHA256}</ChecksumSHA256>")
    elif fault.kind == "truncated_answer" and transport is not None:
        transport.write(b"HTTP/1.1 200 OK\r\nETag: ")
        transport.close()
    elif fault.kind == "torn_body" and transport is not None:
        etag = response.headers.get("ETag", _WRONG_ETAG)
        transport.write(f"HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: 100\r\n\r\n<?xml".encode())
        transport.close()
    else:
        _break_connection(request)


def _refusal(request: web.BaseRequest, fault: Fault) -> web.Response:
    body = b"" if request.method == "HEAD" else S3Refusal(fault.status, fault.code).document("FAULT")
    answer = web.Response(status=fault.status, body=body, content_type="application/xml")
    if fault.retry_after_s is not None:
        answer.headers["Retry-After"] = str(fault.retry_after_s)
    return answer


async def _store_nothing(asked: Asked) -> web.Response:
    content = await receive(asked)
    content.path.unlink()
    headers = {"ETag": f'"{content.md5}"'}
    if asked.header(_CHECKSUM) and asked.echoes_checksums:
        headers[_CHECKSUM] = base64.b64encode(bytes.fromhex(content.sha256)).decode()
    return web.Response(headers=headers)


def _lose_part(asked: Asked) -> None:
    upload = asked.bucket.uploads.get(asked.query.get("uploadId", ""))
    if upload is not None and upload.parts:
        upload.parts.pop(max(upload.parts)).path.unlink(missing_ok=True)


async def _read_some(request: web.BaseRequest) -> None:
    try:
        await request.content.read(READ_BEFORE_RESET)
    except (ClientPayloadError, ConnectionError):
        return  # the client was first


def _rewrite(response: web.StreamResponse, pattern: re.Pattern[bytes], by: str) -> None:
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        response.body = pattern.sub(by.encode(), response.body)


def _break_connection(request: web.BaseRequest) -> None:
    # Not asked by its class: uvloop's transports are no asyncio.Transport.
    abort = getattr(request.transport, "abort", None)
    if abort is not None:
        abort()
