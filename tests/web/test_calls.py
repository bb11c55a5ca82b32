"""2010 Calls and Conferences: logs of what is over."""

from __future__ import annotations

import pytest

from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.parts import Parts
from tests.conftest import psql
from tests.web.conftest import CALL, UNKNOWN, Caller, Record

CONFERENCE = "CF" + "2" * 32
QUERY = f"?CallSid={CALL}&ConferenceSid={CONFERENCE}&From=%2B15550100&To=sip:desk@example.com&Direction=inbound"


async def test_a_call_log_has_what_its_recording_told(acme: Caller, recorded: Record) -> None:
    await recorded(query=f"{QUERY}&StartTime=2026-11-20T10:00:00Z")
    call = (await acme.get(f"{acme.account_path}/Calls/{CALL}.json")).json()
    assert (call["from"], call["to"], call["direction"]) == ("+15550100", "sip:desk@example.com", "inbound")
    assert (call["status"], call["duration"]) == ("completed", "2")
    assert call["start_time"] == "Fri, 20 Nov 2026 10:00:00 +0000"
    assert call["end_time"] == "Fri, 20 Nov 2026 10:00:01 +0000"
    assert (await acme.get(call["subresource_uris"]["recordings"])).json()["recordings"][0]["call_sid"] == CALL


async def test_numbers_are_found_exactly_and_lie_sealed(
    acme: Caller, recorded: Record, parts: Parts, postgres: EmbeddedPostgres
) -> None:
    await recorded(query=QUERY)
    for query, found in (
        ("From=%2B15550100", 1),
        ("From=%2B1555010", 0),
        ("To=%2B15550100", 0),
        ("To=sip:desk@example.com&From=%2B15550100", 1),
        ("From=", 1),
    ):
        assert len((await acme.get(f"{acme.account_path}/Calls.json?{query}")).json()["calls"]) == found
    stored = psql(postgres, "SELECT calls::text FROM calls", parts.ledger.engine.url.database or "")
    assert CALL in stored
    for secret in ("5550100", "desk@example.com", b"5550100".hex(), b"desk@example.com".hex()):
        assert secret not in stored


async def test_a_deleted_call_log_leaves_its_recordings(acme: Caller, recorded: Record) -> None:
    sid = (await recorded(query=QUERY))["sid"]
    path = f"{acme.account_path}/Calls/{CALL}"
    assert ((await acme.delete(f"{path}.json")).status, (await acme.get(f"{path}.json")).status) == (204, 404)
    assert (await acme.delete(f"{path}.json")).status == 404
    assert (await acme.get(f"{acme.account_path}/Recordings/{sid}.json")).status == 200


@pytest.mark.parametrize("name", ["RE" + "0" * 32, "Twilio.CURRENT", "own"])
@pytest.mark.parametrize("parent", [f"Calls/{CALL}", f"Conferences/{CONFERENCE}"])
async def test_what_is_over_cannot_be_paused(acme: Caller, recorded: Record, parent: str, name: str) -> None:
    own = (await recorded(query=QUERY))["sid"]
    path = f"{acme.account_path}/{parent}/Recordings/{own if name == 'own' else name}.json"
    answer = await acme.post(path, {"Status": "paused"})
    expected = (404, 20404) if name.startswith("RE") else (400, 21220)
    assert (answer.status, answer.json()["code"]) == expected
    assert (await acme.post(path, {})).json()["code"] == 20001
    assert (await acme.post(path, {"Status": "louder"})).json()["code"] == 20001


@pytest.mark.parametrize("parent", ["Calls", "Conferences"])
async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, recorded: Record, parent: str) -> None:
    recording = (await recorded(query=QUERY))["sid"]
    sid = CALL if parent == "Calls" else CONFERENCE
    unknown = f"{sid[:2]}{UNKNOWN}"
    doors = [
        ("GET", ".json", None),
        ("POST", ".json", {"Status": "completed"}),
        ("GET", f"/Recordings/{recording}.json", None),
    ]
    doors += [("POST", f"/Recordings/{recording}.json", {"Status": "stopped" if parent == "Calls" else "paused"})]
    doors += [("DELETE", f"/Recordings/{recording}.json", None)]
    doors += [("POST", "/Recordings.json", {}), ("DELETE", ".json", None)] if parent == "Calls" else []
    for own in (acme.account_path, stranger.account_path):
        for method, door, form in doors:
            foreign = await stranger.send(method, f"{own}/{parent}/{sid}{door}", data=form)
            missing = await stranger.send(method, f"{own}/{parent}/{unknown}{door}", data=form)
            assert foreign.status == missing.status == 404, (method, door, foreign.body)
            assert foreign.body.replace(sid.encode(), unknown.encode()) == missing.body
    assert (await stranger.get(f"{acme.account_path}/{parent}.json")).status == 404
    assert (await stranger.get(f"{stranger.account_path}/{parent}.json")).json()[parent.lower()] == []
    assert (await acme.get(f"{acme.account_path}/{parent}/{sid}.json")).status == 200
    assert (await acme.get(f"{acme.account_path}/Recordings/{recording}.json")).status == 200
