"""The Console's audit log: filtered, paged, exported, and only the account's own."""

from __future__ import annotations

import csv
import io

import pytest

from callreel.model.account import Account
from callreel.model.deed import Action, Actor
from callreel.parts import Parts
from tests.console.conftest import Browser

PATH = "/console/audit"


@pytest.fixture
async def deeds(parts: Parts, account: tuple[Account, str]) -> int:
    """More than a page of rows, two of them with words that somebody else chose."""
    by = Actor("operator", "192.0.2.7", "RQ1")
    for number in range(60):
        await parts.ledger.audit.write(by.deed(Action.RECORDING_LISTENED, account[0].sid, "RE" + f"{number:032x}"))
    odd = by.deed(Action.CREDENTIAL_CHANGED, account[0].sid, "CR" + "1" * 32, name="<script>alert(1)</script>")
    await parts.ledger.audit.write(odd)
    await parts.ledger.audit.write(by.deed(Action.KEY_CREATED, account[0].sid, "=cmd|calc"))
    return 62


async def test_rows_come_in_pages_newest_first(owner: Browser, deeds: int) -> None:
    first = await owner.get(PATH)
    assert "key.created" in first.text
    assert "&lt;script&gt;" in first.text
    assert "<script>alert" not in first.text
    assert first.text.count('id="row-') == 50
    older = first.text.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    behind = await owner.get(older)
    assert behind.text.count('id="row-') >= 12
    assert 'rel="prev"' in behind.text


async def test_rows_are_filtered(owner: Browser, deeds: int) -> None:
    assert (await owner.get(f"{PATH}?action=key.created")).text.count('id="row-') == 1
    assert (await owner.get(f"{PATH}?subject=RE{5:032x}")).text.count('id="row-') == 1
    assert (await owner.get(f"{PATH}?to=2020-01-01")).text.count('id="row-') == 0
    odd = await owner.get(f"{PATH}?from=yesterday&after=1-XX")
    assert (odd.status, "is not a date" in odd.text) == (200, True)


async def test_the_export_has_every_row_and_no_formula(owner: Browser, deeds: int) -> None:
    answer = await owner.get(f"{PATH}.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) >= deeds
    assert [row["subject"] for row in rows if row["action"] == "key.created"] == ["'=cmd|calc"]
    assert {row["address"] for row in rows if row["action"] == "recording.listened"} == {"192.0.2.7"}


async def test_another_accounts_rows_are_not_shown(stranger: Browser, deeds: int) -> None:
    shown = await stranger.get(f"{PATH}?action=recording.listened")
    assert shown.text.count('id="row-') == 0


async def test_a_listener_is_refused(listener: Browser) -> None:
    for path in (PATH, f"{PATH}.csv"):
        assert (await listener.get(path)).status == 403
