"""/v1/Recordings and /v1/Rooms/{RM}/Recordings: list, fetch, delete."""

from __future__ import annotations

import pytest

from callreel.clock import SetClock
from tests.web.conftest import UNKNOWN, Caller, Carry
from tests.web.video_tracks import MICROPHONE, recorded_video


async def sids(caller: Caller, query: str = "", path: str = "/v1/Recordings") -> list[str]:
    answer = await caller.get(path + query)
    assert answer.status == 200, answer.body
    return [row["sid"] for row in answer.json()["recordings"]]


async def test_filters_narrow_the_list(acme: Caller, clock: SetClock, deliver: Carry) -> None:
    camera = await recorded_video(acme)
    clock.advance(3600)
    voice = await recorded_video(acme, MICROPHONE, RoomSid=camera["grouping_sids"]["room_sid"])
    clock.advance(3600)
    other = await recorded_video(acme)
    await deliver(other["sid"])
    room, participant = (camera["grouping_sids"][name] for name in ("room_sid", "participant_sid"))
    assert await sids(acme) == [other["sid"], voice["sid"], camera["sid"]]
    assert await sids(acme, "?Status=completed") == [other["sid"]]
    assert await sids(acme, "?Status=processing") == [voice["sid"], camera["sid"]]
    assert await sids(acme, f"?SourceSid={voice['source_sid']}") == [voice["sid"]]
    assert await sids(acme, f"?GroupingSid={room}") == [voice["sid"], camera["sid"]]
    assert await sids(acme, f"?GroupingSid={room}&GroupingSid={participant}") == [camera["sid"]]
    assert await sids(acme, "?MediaType=audio") == [voice["sid"]]
    assert await sids(acme, "?MediaType=data") == []
    assert await sids(acme, "?DateCreatedAfter=2026-11-21T13:00:00Z") == [other["sid"], voice["sid"]]
    assert await sids(acme, "?DateCreatedBefore=2026-11-21T13:00:00Z") == [camera["sid"]]
    assert await sids(acme, "", f"/v1/Rooms/{room}/Recordings") == [voice["sid"], camera["sid"]]
    assert await sids(acme, f"?SourceSid={camera['source_sid']}", f"/v1/Rooms/{room}/Recordings") == [camera["sid"]]


async def test_pages_keep_the_filters(acme: Caller) -> None:
    room = (await recorded_video(acme))["grouping_sids"]["room_sid"]
    made = {(await recorded_video(acme, RoomSid=room))["sid"] for _ in range(2)}
    await recorded_video(acme)
    path = f"/v1/Recordings?GroupingSid={room}&PageSize=2"
    found = []
    while path:
        page = (await acme.get(path)).json()
        found += [row["sid"] for row in page["recordings"]]
        assert page["meta"]["key"] == "recordings"
        path = (page["meta"]["next_page_url"] or "").removeprefix(acme.base)
    assert len(found) == len(set(found)) == 3
    assert made < set(found)


@pytest.mark.parametrize(("path", "most"), [("/v1/Recordings", 100), ("/v1/Compositions", 100), ("/v1/Rooms", 1000)])
async def test_a_page_has_its_limit(acme: Caller, path: str, most: int) -> None:
    assert (await acme.get(f"{path}?PageSize={most}")).json()["meta"]["page_size"] == most
    assert (await acme.get(f"{path}?PageSize=1000")).json()["meta"]["page_size"] == most
    refused = await acme.get(f"{path}?PageSize=1001")
    assert (refused.status, refused.json()["code"]) == (400, 20007)


async def test_a_rooms_list_takes_a_thousand_a_page(acme: Caller) -> None:
    room = (await recorded_video(acme))["grouping_sids"]["room_sid"]
    assert (await acme.get(f"/v1/Rooms/{room}/Recordings?PageSize=1000")).status == 200
    assert (await acme.get(f"/v1/Rooms/{room}/Recordings?PageSize=1001")).status == 400


@pytest.mark.parametrize(
    "query", ["Status=absent", "MediaType=text", "GroupingSid=AC1", "SourceSid=RE1", "DateCreatedAfter=x", "PageSize=0"]
)
async def test_a_filter_that_makes_no_sense_is_400(acme: Caller, query: str) -> None:
    assert (await acme.get(f"/v1/Recordings?{query}")).status == 400


async def test_a_deleted_recording_is_listed_only_when_asked_for_and_fetched_for_thirty_days(
    acme: Caller, deliver: Carry
) -> None:
    made = await recorded_video(acme)
    path = f"/v1/Recordings/{made['sid']}"
    assert (await acme.delete(path)).json()["code"] == 20009  # still processing
    await deliver(made["sid"])
    gone = await acme.delete(path)
    assert (gone.status, gone.body) == (204, b"")
    await deliver(made["sid"])
    assert await sids(acme) == []
    assert await sids(acme, "?Status=deleted") == [made["sid"]]
    fetched = (await acme.get(path)).json()
    assert (fetched["status"], fetched["size"]) == ("deleted", None)
    assert (await acme.get(f"{path}/Media")).status == 404
    assert (await acme.delete(path)).status == 404


async def test_a_rooms_recording_is_fetched_and_deleted_in_its_room_only(acme: Caller, deliver: Carry) -> None:
    made, other = await recorded_video(acme), await recorded_video(acme)
    await deliver(made["sid"])
    room, elsewhere = (row["grouping_sids"]["room_sid"] for row in (made, other))
    for method in ("GET", "DELETE"):
        assert (await acme.send(method, f"/v1/Rooms/{elsewhere}/Recordings/{made['sid']}")).status == 404
    found = (await acme.get(f"/v1/Rooms/{room}/Recordings/{made['sid']}")).json()
    assert found["room_sid"] == room
    assert found["links"] == {"media": f"{acme.base}/v1/Rooms/{room}/Recordings/{made['sid']}/Media"}
    assert (await acme.delete(f"/v1/Rooms/{room}/Recordings/{made['sid']}")).status == 204


async def test_post_is_not_supported(acme: Caller) -> None:
    made = await recorded_video(acme)
    answer = await acme.post(f"/v1/Recordings/{made['sid']}", {})
    assert (answer.status, answer.json()["code"]) == (405, 20004)


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, deliver: Carry) -> None:
    made = await recorded_video(stranger)
    await deliver(made["sid"])
    room = made["grouping_sids"]["room_sid"]
    for sid in (made["sid"], f"RT{UNKNOWN}", "RT1", "RT..%2f"):
        for base in ("/v1/Recordings", f"/v1/Rooms/{room}/Recordings"):
            for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/Media")):
                answer = await acme.send(method, f"{base}/{sid}{tail}")
                assert (answer.status, answer.json()["code"]) == (404, 20404)
    assert (await acme.get(f"/v1/Rooms/{room}/Recordings")).status == 404
    assert await sids(acme, f"?GroupingSid={room}") == []
    assert (await stranger.get(f"/v1/Recordings/{made['sid']}")).status == 200
