"""2010 Recordings: list, fetch and delete at account, call and conference level."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from callreel.clock import SetClock
from callreel.parts import Parts
from tests.web.conftest import CALL, Caller, Carry, Record

CONFERENCE = "CF" + "2" * 32


async def sids(caller: Caller, path: str) -> list[str]:
    answer = await caller.get(path)
    assert answer.status == 200, answer.body
    return [row["sid"] for row in answer.json()["recordings"]]


async def test_a_fetched_recording_has_every_field_of_the_reference(acme: Caller, recorded: Record) -> None:
    made = await recorded(query=f"?CallSid={CALL}")
    answer = await acme.get(f"{acme.account_path}/Recordings/{made['sid']}.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "account_sid": acme.sid,
        "api_version": "2010-04-01",
        "call_sid": CALL,
        "conference_sid": None,
        "channels": 1,
        "date_created": "Sat, 21 Nov 2026 12:00:00 +0000",
        "date_updated": "Sat, 21 Nov 2026 12:00:01 +0000",
        "start_time": "Sat, 21 Nov 2026 11:59:58 +0000",
        "duration": "2",
        "sid": made["sid"],
        "price": None,
        "price_unit": None,
        "source": "OutboundAPI",
        "status": "completed",
        "error_code": None,
        "encryption_details": None,
        "uri": f"{acme.account_path}/Recordings/{made['sid']}.json",
        "subresource_uris": {
            "add_on_results": f"{acme.account_path}/Recordings/{made['sid']}/AddOnResults.json",
            "transcriptions": f"{acme.account_path}/Recordings/{made['sid']}/Transcriptions.json",
        },
        "media_url": f"{acme.base}{acme.account_path}/Recordings/{made['sid']}",
    }


async def test_the_same_recording_in_xml(acme: Caller, recorded: Record) -> None:
    made = await recorded(query=f"?CallSid={CALL}")
    answer = await acme.get(f"{acme.account_path}/Recordings/{made['sid']}.xml")
    assert answer.headers["Content-Type"] == "application/xml"
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "TwilioResponse"
    assert root.findtext("Recording/Sid") == made["sid"]
    assert root.findtext("Recording/CallSid") == CALL
    assert root.findtext("Recording/Duration") == "2"
    assert root.find("Recording/SubresourceUris/Transcriptions") is not None


async def test_a_list_without_json_is_xml_with_the_page_as_attributes(acme: Caller, recorded: Record) -> None:
    made = await recorded()
    answer = await acme.get(f"{acme.account_path}/Recordings")
    outer = ElementTree.fromstring(answer.body).find("Recordings")
    assert outer is not None
    assert outer.attrib["pagesize"] == "50"
    assert outer.findtext("Recording/Sid") == made["sid"]


async def test_lists_at_call_and_conference_level_show_only_theirs(acme: Caller, recorded: Record) -> None:
    of_call = await recorded(query=f"?CallSid={CALL}&Track=inbound")
    of_conference = await recorded(query=f"?ConferenceSid={CONFERENCE}&Source=Conference")
    base = acme.account_path
    assert await sids(acme, f"{base}/Recordings.json") == [of_conference["sid"], of_call["sid"]]
    assert await sids(acme, f"{base}/Calls/{CALL}/Recordings.json") == [of_call["sid"]]
    assert await sids(acme, f"{base}/Conferences/{CONFERENCE}/Recordings.json") == [of_conference["sid"]]
    assert await sids(acme, f"{base}/Recordings.json?CallSid={CALL}") == [of_call["sid"]]
    assert await sids(acme, f"{base}/Recordings.json?ConferenceSid={CONFERENCE}") == [of_conference["sid"]]
    row = (await acme.get(f"{base}/Calls/{CALL}/Recordings/{of_call['sid']}.json")).json()
    assert row["track"] == "inbound"
    assert row["uri"] == f"{base}/Calls/{CALL}/Recordings/{of_call['sid']}.json"
    assert "media_url" not in row
    row = (await acme.get(f"{base}/Conferences/{CONFERENCE}/Recordings/{of_conference['sid']}.json")).json()
    assert row["uri"] == f"{base}/Conferences/{CONFERENCE}/Recordings/{of_conference['sid']}.json"
    assert "track" not in row


async def test_a_recording_of_another_call_is_404(acme: Caller, recorded: Record) -> None:
    made = await recorded(query=f"?CallSid={CALL}")
    other = "CA" + "9" * 32
    assert (await acme.get(f"{acme.account_path}/Calls/{other}/Recordings/{made['sid']}.json")).status == 404
    assert (await acme.delete(f"{acme.account_path}/Calls/{other}/Recordings/{made['sid']}.json")).status == 404
    assert (await acme.get(f"{acme.account_path}/Recordings/{made['sid']}.json")).status == 200


@pytest.fixture
async def three_days(recorded: Record, clock: SetClock) -> list[str]:
    """Recordings made at noon of three days, the 20th, 21st and 22nd."""
    made = []
    for day in (20, 21, 22):
        clock.jump((datetime(2026, 11, day, 12, tzinfo=UTC) - clock.now()).total_seconds())
        made.append((await recorded())["sid"])
    return made


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("DateCreated=2026-11-21", {1}),
        ("DateCreated=2026-11-21T00:00:00Z", {1}),
        ("DateCreated<=2026-11-21", {0}),
        ("DateCreated%3C=2026-11-21", {0}),
        ("DateCreated>=2026-11-21", {1, 2}),
        ("DateCreated%3E=2026-11-21T12:00:00Z", {1, 2}),
        ("DateCreated%3E=2026-11-21T12:00:01Z", {2}),
        ("DateCreated%3C=2026-11-21T12:00:00Z", {0, 1}),
        ("DateCreated%3C=2026-11-21T12:00:00+00:00", {0, 1}),
        ("DateCreated%3C=2026-11-21T13:00:00%2B01:00", {0, 1}),
        ("DateCreated%3C=2026-11-21%2011:59:59", {0}),
        ("DateCreated>=2026-11-21&DateCreated<=2026-11-22", {1}),
        ("DateCreated=", {0, 1, 2}),
    ],
)
async def test_date_filters_compare_as_the_reference_says(
    acme: Caller, three_days: list[str], query: str, days: set[int]
) -> None:
    found = await sids(acme, f"{acme.account_path}/Recordings.json?{query}")
    assert set(found) == {three_days[day] for day in days}


@pytest.mark.parametrize(
    "query", ["DateCreated=yesterday", "CallSid=CA12", "IncludeSoftDeleted=perhaps", "DateCreated<=9999-99-99"]
)
async def test_a_filter_that_cannot_be_used_is_400(acme: Caller, query: str) -> None:
    answer = await acme.get(f"{acme.account_path}/Recordings.json?{query}")
    assert (answer.status, answer.json()["code"]) == (400, 20001)


async def test_a_deleted_recording_shows_only_when_it_is_asked_for(
    acme: Caller, recorded: Record, deliver: Carry
) -> None:
    made = await recorded()
    path = f"{acme.account_path}/Recordings/{made['sid']}"
    answer = await acme.delete(f"{path}.json")
    assert (answer.status, answer.body) == (204, b"")
    for _ in ("deleting", "deleted"):
        assert (await acme.get(f"{path}.json")).status == 404
        assert (await acme.get(f"{path}.json?IncludeSoftDeleted=true")).json()["status"] == "deleted"
        assert await sids(acme, f"{acme.account_path}/Recordings.json") == []
        assert await sids(acme, f"{acme.account_path}/Recordings.json?IncludeSoftDeleted=true") == [made["sid"]]
        assert (await acme.get(f"{path}.wav")).status == 404
        assert (await acme.delete(f"{path}.json")).status == 404
        await deliver(made["sid"])


async def test_a_recording_that_is_not_complete_cannot_be_deleted(acme: Caller, parts: Parts) -> None:
    sid = (await acme.upload()).json()["sid"]
    answer = await acme.delete(f"{acme.account_path}/Recordings/{sid}.json")
    assert (answer.status, answer.json()["code"]) == (409, 20009)


async def test_a_recording_is_deleted_through_its_call_and_its_conference(acme: Caller, recorded: Record) -> None:
    of_call = await recorded(query=f"?CallSid={CALL}")
    of_conference = await recorded(query=f"?ConferenceSid={CONFERENCE}")
    base = acme.account_path
    assert (await acme.delete(f"{base}/Calls/{CALL}/Recordings/{of_call['sid']}.json")).status == 204
    assert (await acme.delete(f"{base}/Conferences/{CONFERENCE}/Recordings/{of_conference['sid']}.json")).status == 204
    assert await sids(acme, f"{base}/Recordings.json") == []
    assert (await acme.delete(f"{base}/Calls/{CALL}/Recordings/{of_call['sid']}.json")).status == 404


async def test_an_empty_upload_is_absent_with_16101(acme: Caller) -> None:
    from callreel.rehearsal.wav_file import wav_head

    made = (await acme.upload(wav_head(0, rate=8000, channels=1))).json()
    assert (made["status"], made["error_code"], made["duration"]) == ("absent", 16101, None)


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, recorded: Record) -> None:
    made = await recorded(query=f"?CallSid={CALL}")
    unknown = "RE" + "0" * 32
    for method in ("GET", "DELETE"):
        for own in (acme.account_path, stranger.account_path):
            foreign = await stranger.send(method, f"{own}/Recordings/{made['sid']}.json")
            missing = await stranger.send(method, f"{own}/Recordings/{unknown}.json")
            assert foreign.status == missing.status == 404
            assert foreign.body.replace(made["sid"].encode(), unknown.encode()) == missing.body
    for path in ("Recordings", f"Calls/{CALL}/Recordings"):
        assert (await stranger.get(f"{acme.account_path}/{path}.json")).status == 404
    assert (await acme.get(f"{acme.account_path}/Recordings/{made['sid']}.json")).status == 200


async def test_a_main_account_reads_its_subaccounts_and_never_the_other_way_round(
    acme: Caller, branch: Caller, deliver: Carry
) -> None:
    made = (await branch.upload()).json()
    path = f"{branch.account_path}/Recordings/{made['sid']}.json"
    assert (await branch.get(path)).status == (await acme.get(path)).status == 200
    assert (await branch.get(f"{acme.account_path}/Recordings.json")).status == 404
    assert await sids(acme, f"{acme.account_path}/Recordings.json") == []


@pytest.mark.parametrize(
    "sid",
    ["RE1", "RE" + "0" * 31 + "g", "RE" + "0" * 33, "re" + "0" * 32, "%2e%2e", "RE%00", "A" * 10_000],
)
async def test_a_sid_of_a_strange_shape_is_404(acme: Caller, sid: str) -> None:
    answer = await acme.get(f"{acme.account_path}/Recordings/{sid}.json")
    assert (answer.status, answer.json()["code"]) == (404, 20404)
