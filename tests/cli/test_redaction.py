"""No secret reaches a log line: not by its field, not by its shape, not by its value."""

from __future__ import annotations

import pytest

from callreel.cli.redaction import HIDDEN, Redaction
from callreel.settings import load_settings

CANARY = "canary-4711-of-the-mine"


@pytest.mark.parametrize(
    "name", ["secret", "aws_secret_access_key", "auth_token", "Authorization", "password", "private_key", "cookie"]
)
def test_a_field_of_such_a_name_is_hidden_whatever_it_holds(name: str) -> None:
    assert Redaction()(None, "info", {name: CANARY, "nested": {name: CANARY}}) == {
        name: HIDDEN,
        "nested": {name: HIDDEN},
    }


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://b.s3.amazonaws.com/k?X-Amz-Signature={CANARY}&X-Amz-Date=1",
        f"https://b/k?x-amz-security-token={CANARY}",
        f"postgresql://callreel:{CANARY}@db/callreel",
        f"cannot call https://user:{CANARY}@host/path",
        f"Authorization: Basic {CANARY}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f"AKIAIOSFODNN7EXAMPLE:{(CANARY * 2).replace('-', '/')[:40]}",
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden_wherever_it_stands(text: str) -> None:
    cleaned = str(Redaction()(None, "info", {"event": text, "exception": f"Traceback\n{text}\n", "rows": [text]}))
    assert CANARY not in cleaned
    assert CANARY.replace("-", "/") not in cleaned
    assert HIDDEN in cleaned


def test_a_known_secret_is_hidden_inside_any_text() -> None:
    redaction = Redaction([CANARY, "short"])
    assert redaction.text(f"why: {CANARY}!") == f"why: {HIDDEN}!"
    assert redaction.text("a short word") == "a short word"


def test_what_is_no_secret_stays_as_it_is() -> None:
    line = {
        "event": "request",
        "path": "/2010-04-01/Accounts/AC1/Recordings.json",
        "status": 200,
        "seconds": 0.1,
        "at": "2026-11-21T10:00:00Z",
        "credential_sid": "CR" + "1" * 32,
        "is_up": True,
        "reason": None,
    }
    assert Redaction()(None, "info", dict(line)) == line


def test_the_settings_tell_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-" + CANARY)
    settings = load_settings(
        database_url=f"postgresql://me:pass%20{CANARY}@db/x", smtp_url=f"smtp://me:mail-{CANARY}@mail"
    )
    told = set(settings.secret_values())
    assert {f"pass {CANARY}", f"pass%20{CANARY}", f"mail-{CANARY}", f"aws-{CANARY}"} <= told
