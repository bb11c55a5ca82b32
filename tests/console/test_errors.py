"""Whatever goes wrong behind a page of the Console, a browser gets a page."""

from __future__ import annotations

import pytest

from callreel.errors import BucketRefused, Outrun
from callreel.parts import Parts
from tests.console.conftest import Browser

PATH = "/console/credentials"


def broken(monkeypatch: pytest.MonkeyPatch, parts: Parts, why: Exception) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise why

    monkeypatch.setattr(type(parts.ledger.credentials), "list", breaks)


async def test_what_nobody_expected_is_a_page_with_the_requests_id(
    owner: Browser, parts: Parts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken(monkeypatch, parts, RuntimeError("the inner secret"))
    shown = await owner.get(PATH)
    assert (shown.status, shown.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert shown.headers["Twilio-Request-Id"] in shown.text
    assert "inner secret" not in shown.text
    assert "RuntimeError" not in shown.text
    assert "API keys" in shown.text, "the side bar leads on"
    monkeypatch.undo()
    assert (await owner.get(PATH)).status == 200
    assert "RuntimeError" in "".join(capfd.readouterr()), "the log has it"


@pytest.mark.parametrize(("why", "status"), [(BucketRefused("AccessDenied"), 502), (Outrun("RE1"), 409)])
async def test_what_the_outside_said_is_a_page_too(
    owner: Browser, parts: Parts, monkeypatch: pytest.MonkeyPatch, why: Exception, status: int
) -> None:
    broken(monkeypatch, parts, why)
    shown = await owner.get(PATH)
    assert (shown.status, "<h1>" in shown.text) == (status, True)
