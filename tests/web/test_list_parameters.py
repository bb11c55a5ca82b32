"""Whatever is asked of a list, the answer is a page or a refusal in Twilio's shape; so are all SIDs that are none."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from callreel.clock import SetClock
from callreel.web.surfaces import TITLES
from tests.web.conftest import CALL, Caller, Carry
from tests.web.installed import CONFERENCE, one_of_everything

SPANS = [
    f"{name}{comparison}"
    for name in ("DateCreated", "DateUpdated", "StartTime", "EndTime")
    for comparison in ("", "<", ">")
]
SIDS = ("CallSid", "ConferenceSid", "ParentCallSid", "RoomSid", "GroupingSid", "SourceSid", "RecordingSid")
WORDS = (
    "Status",
    "State",
    "FriendlyName",
    "UniqueName",
    "From",
    "To",
    "MediaType",
    "IncludeSoftDeleted",
    "Nonsense",
    "",
)
LISTS = {
    "2010-04-01/Accounts.json": "accounts",
    "A/Recordings.json": "recordings",
    f"A/Calls/{CALL}/Recordings.json": "recordings",
    f"A/Conferences/{CONFERENCE}/Recordings.json": "recordings",
    "A/Calls.json": "calls",
    "A/Conferences.json": "conferences",
    "A/Keys.json": "keys",
    "v1/Credentials/AWS": "credentials",
    "v1/Credentials/PublicKeys": "credentials",
    "v1/Recordings": "recordings",
    "v1/Rooms": "rooms",
    "v1/Rooms?Status=completed": "rooms",
    "v1/Compositions": "compositions",
    "O/Deliveries": "deliveries",
    "O/Events": "events",
}
MALFORMED = (
    "",
    "RE",
    "RE1",
    "RE" + "0" * 31,
    "RE" + "0" * 33,
    "RE" + "g" * 32,
    "re" + "0" * 32,
    "CA" + "0" * 31 + "\u0663",
    "RE" + "0" * 32 + "\n",
    " RE" + "0" * 32,
    "\x00",
    "RE" + "0" * 31 + "\x00",
    "..",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%",
    "\ufffd",
    "\U0001f600",
    "Twilio.CURRENT",
    "A" * 4000,
)
moments = st.one_of(
    st.datetimes().map(lambda m: m.isoformat()),
    st.dates().map(str),
    st.sampled_from(
        ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+23:59", "2026-02-30",
         "2026-W47-6", "20261121", "2026-11-21T24:00:00", "2026-11-21T12:00:00 01:00", "-4713-01-01", "now"]
    ),
)  # fmt: skip
sids = st.one_of(st.sampled_from(MALFORMED), st.from_regex(r"\A[A-Z]{2}[0-9a-fA-F]{32}\Z"), st.just(CALL))
tokens = st.one_of(
    st.from_regex(r"\AP[AB](RE|CA|AC|CR)[0-9a-f]{32}\.[0-9]{1,16}\Z"),
    st.sampled_from(["PA", "PB", "P", "0", f"PA{CALL}.", f"PC{CALL}.1", f"PA{CALL}.-1", f"PA{CALL}.9999999999999999"]),
    st.text(max_size=40),
)
sizes = st.one_of(
    st.integers(-2, 1200).map(str),
    st.sampled_from(["1e3", "0x10", "9" * 15, "9" * 400, "1.0", "+1", " 1", "ten", "\u0661"]),
)
anything = st.one_of(st.just(""), st.text(max_size=60), moments, sids, sizes)
pairs = st.one_of(
    st.tuples(st.sampled_from(["PageSize", "Page"]), sizes),
    st.tuples(st.just("PageToken"), tokens),
    st.tuples(st.sampled_from([*SPANS, "DateCreatedAfter", "DateCreatedBefore"]), moments),
    st.tuples(st.sampled_from(SIDS), sids),
    st.tuples(st.sampled_from([*WORDS, *SIDS, *SPANS, "PageSize", "Page", "PageToken"]), anything),
)


def address(caller: Caller, path: str) -> str:
    opened = re.sub(r"^A/", f"{caller.account_path}/", re.sub(r"^O/", f"{caller.own_path}/", path))
    return f"{caller.base}/{opened.lstrip('/')}"


def judge(answer: requests.Response, key: str) -> None:
    """A page that says where it is, or Twilio's error."""
    said: dict[str, Any] = answer.json()
    if answer.status_code == 200:
        paging = said.get("meta", said)
        assert isinstance(said[key], list)
        assert 0 < paging["page_size"] <= 1000
        assert len(said[key]) <= paging["page_size"]
        assert paging["page"] >= 0
        return
    assert set(said) == {"code", "message", "more_info", "status"}, said
    assert answer.status_code == said["status"]
    assert (answer.status_code, said["code"]) in {(400, 20001), (400, 20007), (404, 20404)}, (answer.url, said)


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_answers_with_a_page_or_with_twilios_error(
    path: str, acme: Caller, deliver: Carry, clock: SetClock, pytestconfig: pytest.Config
) -> None:
    await one_of_everything(acme, deliver, clock)
    session = requests.Session()
    session.auth = (acme.sid, acme.token)

    @seed(20261121)
    @settings(
        max_examples=2 * pytestconfig.getoption("requests"),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.lists(pairs, max_size=4))
    @example([("PageSize", "1"), ("PageSize", "2")])
    @example([("Status", ""), ("DateCreated", ""), ("PageToken", ""), ("PageSize", "")])
    def asked(query: list[tuple[str, str]]) -> None:
        judge(session.get(f"{address(acme, path)}{'&' if '?' in path else '?'}{urlencode(query)}"), LISTS[path])

    await asyncio.to_thread(asked)
    session.close()


@pytest.mark.parametrize("path", [path for path in LISTS if path not in ("v1/Rooms", "v1/Compositions", "O/Events")])
async def test_the_neighbours_of_a_page_lead_back_to_it(
    path: str, acme: Caller, deliver: Carry, clock: SetClock
) -> None:
    for _ in range(2):
        await one_of_everything(acme, deliver, clock)
    url, key = address(acme, path).removeprefix(acme.base), LISTS[path]
    whole = [row_id(row) for row in (await acme.get(url)).json()[key]]
    seen, page = [], (await acme.get(f"{url}{'&' if '?' in path else '?'}PageSize=1")).json()
    for _ in range(len(whole)):
        seen += [row_id(row) for row in page[key]]
        following = link(page, "next", acme)
        if following is None:
            break
        page = (await acme.get(following)).json()
        back = (await acme.get(str(link(page, "previous", acme)))).json()
        assert [row_id(row) for row in back[key]] == seen[-1:]
    assert len(whole) >= 1
    assert seen == whole


async def test_a_foreign_token_shows_nothing_that_is_foreign(
    acme: Caller, stranger: Caller, deliver: Carry, clock: SetClock
) -> None:
    for _ in range(2):
        await one_of_everything(acme, deliver, clock)
    for path, key in LISTS.items():
        separator = "&" if "?" in path else "?"
        page = (await acme.get(f"{address(acme, path).removeprefix(acme.base)}{separator}PageSize=1")).json()
        following = link(page, "next", acme)
        if following is None:
            continue
        own = (await stranger.get(following.replace(acme.sid, stranger.sid))).json()
        assert [row_id(row) for row in own[key] if row_id(row) != stranger.sid] == [], path
        token = following.partition("PageToken=")[2]
        elsewhere = await acme.get(f"{acme.account_path}/Recordings.json?PageToken={token}")
        assert elsewhere.status == 200, (path, elsewhere.body)


def row_id(row: dict[str, Any]) -> str:
    return str(row.get("sid") or row["recording_sid"])


def link(page: dict[str, Any], name: str, caller: Caller) -> str | None:
    found = page["meta"][f"{name}_page_url"] if "meta" in page else page[f"{name}_page_uri"]
    return found if found is None else str(found).removeprefix(caller.base)


@pytest.mark.parametrize("surface", TITLES)
async def test_a_sid_that_is_none_is_404_in_every_path(surface: str, acme: Caller) -> None:
    described = (await acme.get(f"/{surface}/openapi.json", auth=None)).json()["paths"]
    for path, operations in described.items():
        names = re.findall(r"\{(\w+)\}", path)
        for method in operations:
            for malformed in MALFORMED if names else ():
                told = await refusal(acme, f"/{surface}{filled(path, names, acme, malformed)}", method)
                assert told in {404, 400, 403}, (method, path, malformed, told)


def filled(path: str, names: list[str], caller: Caller, malformed: str) -> str:
    """The path with the caller's own account, where there is something behind it, and this for every other name."""
    values = dict.fromkeys(names, quote(malformed, safe=""))
    if len(names) > 1 and "account_sid" in values:
        values["account_sid"] = caller.sid
    return path.format(**values)


async def refusal(caller: Caller, path: str, method: str) -> int:
    answer = await caller.send(method.upper(), path, headers={"Content-Type": "application/x-www-form-urlencoded"})
    if not answer.body.startswith(b"<?xml"):
        assert set(answer.json()) == {"code", "message", "more_info", "status"}, (method, path, answer.body)
    return answer.status
