"""What every answer carries, whatever happened."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from callreel.clock import SetClock
from callreel.web.concurrency import Concurrency
from callreel.web.edge import Edge
from callreel.web.metrics import RequestMetrics
from tests.web.conftest import UNKNOWN, Caller, Record

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, "
    "If-None-Match, If-Unmodified-Since, Idempotency-Key",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "ETag",
}


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/2010-04-01/Accounts.json", "/v1/Credentials/AWS"])
async def test_every_answer_has_request_id_duration_cors_and_nosniff(acme: Caller, path: str) -> None:
    answer = await acme.get(path)
    assert answer.headers["Twilio-Request-Id"].startswith("RQ")
    assert len(answer.headers["Twilio-Request-Id"]) == 34
    assert float(answer.headers["Twilio-Request-Duration"]) >= 0
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {name: answer.headers[name] for name in CORS} == CORS


async def test_a_preflight_is_answered_without_a_credential(acme: Caller) -> None:
    answer = await acme.send("OPTIONS", f"{acme.account_path}/Recordings.json", auth=None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/healthz", "/2010-04-01/Accounts.json", "/v1/Credentials/AWS", "/api/openapi.json"])
async def test_head_answers_what_get_would_without_a_body(acme: Caller, path: str) -> None:
    head, get = await acme.send("HEAD", path), await acme.get(path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


async def _answer_of(app: Any, path: str = "/v1/Credentials/AWS") -> tuple[int, dict[str, Any]]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "client": None}
    await Edge(app, clock=SetClock(), metrics=RequestMetrics(), concurrency=Concurrency(100))(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_an_unexpected_exception_is_500_with_a_request_id_and_no_trace() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("canary-secret")

    with structlog.testing.capture_logs() as lines:
        status, body = await _answer_of(breaks)
    assert (status, body["code"]) == (500, 20500)
    assert "RQ" in body["message"]
    assert "canary" not in json.dumps(body) + json.dumps(lines)
    assert lines[0]["error"] == "RuntimeError"
    assert lines[0]["request_id"] == lines[1]["request_id"]


async def test_the_log_has_a_line_a_request_and_no_secret_in_it(acme: Caller, recorded: Record) -> None:
    with structlog.testing.capture_logs() as lines:
        await acme.post("/v1/Credentials/AWS?Token=canary-query", {"Credentials": "A" * 20 + ":" + "s" * 40})
        await acme.get(f"/x%0Acanary{UNKNOWN}", headers={"X-Canary": "canary-header"})
    assert [line["status"] for line in lines] == [201, 404]
    text = json.dumps(lines)
    assert acme.token not in text
    assert "s" * 40 not in text
    assert "canary-query" not in text
    assert "canary-header" not in text
    assert "\\n" not in text
    assert lines[0]["surface"] == "accounts"


@pytest.mark.parametrize("path", ["/v1/Credentials/AWS/", "/2010-04-01/Accounts.json/", "/video/v1/Rooms/", "/docs/"])
async def test_a_slash_too_many_is_404_and_never_a_redirect(acme: Caller, path: str) -> None:
    answer = await acme.get(path)
    assert (answer.status, answer.headers.get("Location")) == (404, None)
    assert b"20404" in answer.body


@pytest.mark.parametrize(
    "path", ["/v1/Rooms/%00", "/v1/Rooms/a%00b/Recordings", "/2010-04-01/Accounts/%00.json", "/%00"]
)
async def test_a_path_with_a_nul_is_404(acme: Caller, path: str) -> None:
    answer = await acme.get(path)
    assert (answer.status, answer.json()["code"]) == (404, 20404)
