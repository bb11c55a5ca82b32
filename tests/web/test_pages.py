"""Paging, in both envelopes."""

from __future__ import annotations

import pytest

from callreel.clock import SetClock
from tests.web.conftest import Caller


@pytest.fixture
async def five(acme: Caller, clock: SetClock) -> list[str]:
    """Five recordings, newest first."""
    made = []
    for _ in range(5):
        made.append((await acme.upload()).json()["sid"])
        clock.advance(1)
    return made[::-1]


async def test_pages_follow_each_other_in_both_directions(acme: Caller, five: list[str]) -> None:
    path = f"{acme.account_path}/Recordings.json"
    first = (await acme.get(f"{path}?PageSize=2")).json()
    assert [row["sid"] for row in first["recordings"]] == five[:2]
    assert (first["page"], first["page_size"], first["start"], first["end"]) == (0, 2, 0, 1)
    assert first["previous_page_uri"] is None
    assert first["first_page_uri"] == f"{path}?PageSize=2&Page=0"
    assert first["next_page_uri"].startswith(f"{path}?PageSize=2&Page=1&PageToken=PA{five[1]}")
    second = (await acme.get(first["next_page_uri"])).json()
    assert [row["sid"] for row in second["recordings"]] == five[2:4]
    assert (second["page"], second["start"], second["end"]) == (1, 2, 3)
    assert second["uri"] == first["next_page_uri"]
    last = (await acme.get(second["next_page_uri"])).json()
    assert [row["sid"] for row in last["recordings"]] == five[4:]
    assert last["next_page_uri"] is None
    back = (await acme.get(last["previous_page_uri"])).json()
    assert [row["sid"] for row in back["recordings"]] == five[2:4]
    assert f"PageToken=PB{five[4]}" in last["previous_page_uri"]
    start = (await acme.get(back["previous_page_uri"])).json()
    assert [row["sid"] for row in start["recordings"]] == five[:2]
    assert start["previous_page_uri"] is None


async def test_a_page_in_2010_has_exactly_one_key_of_its_own(acme: Caller, five: list[str]) -> None:
    page = (await acme.get(f"{acme.account_path}/Recordings.json")).json()
    paging = {"first_page_uri", "next_page_uri", "previous_page_uri", "uri", "page", "page_size", "start", "end"}
    assert set(page) - paging == {"recordings"}


async def test_filters_come_first_and_comparisons_are_encoded(acme: Caller, five: list[str]) -> None:
    path = f"{acme.account_path}/Recordings.json"
    page = (await acme.get(f"{path}?PageSize=2&DateCreated>=2026-11-01&IncludeSoftDeleted=true")).json()
    wanted = f"{path}?DateCreated%3E=2026-11-01&IncludeSoftDeleted=true&PageSize=2&Page=1&PageToken=PA"
    assert page["next_page_uri"].startswith(wanted)


async def test_an_empty_page_starts_and_ends_at_zero(acme: Caller) -> None:
    page = (await acme.get(f"{acme.account_path}/Recordings.json?PageSize=3")).json()
    assert (page["start"], page["end"], page["next_page_uri"], page["recordings"]) == (0, 0, None, [])


async def test_v1_lists_have_meta_with_absolute_urls(acme: Caller) -> None:
    for name in ("one", "two", "three"):
        form = {"Credentials": "A" * 20 + ":" + "b" * 40, "FriendlyName": name}
        assert (await acme.post("/v1/Credentials/AWS", form)).status == 201
    first = (await acme.get("/v1/Credentials/AWS?PageSize=2")).json()
    assert set(first) == {"credentials", "meta"}
    meta = first["meta"]
    assert (meta["key"], meta["page"], meta["page_size"]) == ("credentials", 0, 2)
    assert meta["first_page_url"] == f"{acme.base}/v1/Credentials/AWS?PageSize=2&Page=0"
    second = (await acme.get(meta["next_page_url"].removeprefix(acme.base))).json()
    assert len(second["credentials"]) == 1
    assert second["meta"]["next_page_url"] is None
    assert second["meta"]["previous_page_url"].startswith(acme.base)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PageSize=1001", 20007),
        ("PageSize=0", 20001),
        ("PageSize=-1", 20001),
        ("PageSize=ten", 20001),
        ("PageSize=%D9%A3", 20001),
        ("Page=-1", 20001),
        ("PageToken=PA", 20001),
        ("PageToken=' OR 1=1", 20001),
        (f"PageToken=PARE{'0' * 32}.99999999999999999", 20001),
    ],
)
async def test_what_is_no_page_is_400(acme: Caller, query: str, code: int) -> None:
    answer = await acme.get(f"{acme.account_path}/Recordings.json?{query.replace(' ', '+')}")
    assert (answer.status, answer.json()["code"]) == (400, code)


async def test_the_largest_page_is_1000(acme: Caller) -> None:
    assert (await acme.get(f"{acme.account_path}/Recordings.json?PageSize=1000")).json()["page_size"] == 1000
