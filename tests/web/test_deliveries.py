"""Deliveries, playback and events of recordings that go to a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callreel.clock import SetClock
from callreel.model.recording import State
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from tests.web.conftest import UNKNOWN, WAV, Caller, Carry, Record

ACCESS = "AKIAIOSFODNN7EXAMPLE:" + "k" * 40
NOBODY = "http://127.0.0.1:9/bucket/calls"  # the discard port: nobody listens


@pytest.fixture
async def away(acme: Caller) -> None:
    """Settings that lead to a bucket which does not answer."""
    credential = (await acme.post("/v1/Credentials/AWS", {"Credentials": ACCESS})).json()["sid"]
    form = {"AwsCredentialsSid": credential, "AwsS3Url": NOBODY, "AwsStorageEnabled": "true"}
    assert (await acme.post(f"{acme.own_path}/RecordingSettings/Voice", form)).status == 200


async def rows(caller: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = await caller.get(f"{caller.own_path}/Deliveries{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["deliveries"]
    return found


async def park(sid: str, parts: Parts) -> None:
    recording = await parts.ledger.recordings.find_for_work(sid)  # type: ignore[arg-type]
    assert recording is not None
    await parts.ledger.move(recording, State.PARKED, last_error="SlowDown: please", error_code=16111)


async def test_a_delivery_that_waits_says_why_and_until_when(acme: Caller, away: None, deliver: Carry) -> None:
    sid = (await acme.upload()).json()["sid"]
    await deliver(sid)
    (row,) = await rows(acme)
    assert set(row) == {
        "recording_sid", "account_sid", "state", "attempts", "retry_spent_seconds", "next_attempt_at", "error_code",
        "error", "bucket", "object_key",
    }  # fmt: skip
    assert (row["recording_sid"], row["account_sid"], row["state"]) == (sid, acme.sid, "waiting")
    assert (row["attempts"], row["bucket"], row["object_key"]) == (1, "bucket", f"calls/{acme.sid}/{sid}")
    assert row["next_attempt_at"].endswith("Z")
    assert row["error"]
    assert [r["recording_sid"] for r in await rows(acme, "?State=waiting")] == [sid]
    assert await rows(acme, "?State=parked") == []
    assert (await acme.get(f"{acme.own_path}/Deliveries?State=lost")).status == 400


async def test_finished_deliveries_show_only_when_asked_for(acme: Caller, recorded: Record) -> None:
    sid = (await recorded())["sid"]
    assert await rows(acme) == []
    assert [row["recording_sid"] for row in await rows(acme, "?State=released")] == [sid]


async def test_deliveries_come_in_pages(acme: Caller, clock: SetClock) -> None:
    made = []
    for _ in range(3):
        made.append((await acme.upload()).json()["sid"])
        clock.advance(1)
    first = (await acme.get(f"{acme.own_path}/Deliveries?State=spooled&PageSize=2")).json()
    assert [row["recording_sid"] for row in first["deliveries"]] == made[:0:-1]
    second = (await acme.get(first["meta"]["next_page_url"].removeprefix(acme.base))).json()
    assert [row["recording_sid"] for row in second["deliveries"]] == made[:1]
    back = (await acme.get(second["meta"]["previous_page_url"].removeprefix(acme.base))).json()
    assert back["deliveries"] == first["deliveries"]


async def test_parked_ones_restart_by_sid_by_state_and_all(acme: Caller, parts: Parts) -> None:
    path = f"{acme.own_path}/Deliveries/Restart"
    sids = [(await acme.upload()).json()["sid"] for _ in range(3)]
    for sid in sids:
        await park(sid, parts)
    pairs = [("RecordingSid", sids[0]), ("RecordingSid", sids[0])]
    assert (await acme.post(path, pairs)).json() == {"restarted": 1}
    assert (await acme.post(path, {"RecordingSid": sids[0]})).json() == {"restarted": 0}
    assert (await acme.post(path, {"State": "parked"})).json() == {"restarted": 2}
    assert (await acme.post(path, {"All": "true"})).json() == {"restarted": 0}
    await_all = {row["state"] for row in await rows(acme)}
    assert await_all == {"spooled"}
    await park(sids[1], parts)
    assert (await acme.send("POST", path, json={"All": True})).json() == {"restarted": 1}


@pytest.mark.parametrize("form", [{}, {"All": "false"}, {"State": "waiting"}, {"RecordingSid": "RE1"}, {"All": "x"}])
async def test_a_restart_of_nothing_in_particular_is_400(acme: Caller, form: dict[str, str]) -> None:
    answer = await acme.post(f"{acme.own_path}/Deliveries/Restart", form)
    assert (answer.status, answer.json()["code"]) == (400, 20001)


async def test_a_held_one_is_shown_as_held_and_restarts(acme: Caller, parts: Parts) -> None:
    sid = (await acme.upload()).json()["sid"]
    recording = await parts.ledger.recordings.find_for_work(sid)
    assert recording is not None
    await parts.ledger.move(recording, State.FATAL, error_code=16112, last_error="AccessDenied: no")
    (row,) = await rows(acme)
    assert (row["state"], row["error_code"], row["error"]) == ("held", 16112, "AccessDenied: no")
    assert [r["recording_sid"] for r in await rows(acme, "?State=held")] == [sid]
    assert (await acme.get(f"{acme.account_path}/Recordings/{sid}.json")).json()["status"] == "failed"
    assert (await acme.post(f"{acme.own_path}/Deliveries/Restart", {"State": "held"})).json() == {"restarted": 1}


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, recorded: Record, parts: Parts) -> None:
    played = (await recorded())["sid"]
    sid = (await acme.upload()).json()["sid"]
    await park(sid, parts)
    for path in ("/Deliveries", f"/Recordings/{played}/Playback", f"/Events?RecordingSid={played}"):
        assert (await stranger.get(acme.own_path + path)).status == 404
    for found in (sid, f"RE{UNKNOWN}"):
        answer = await stranger.post(f"{stranger.own_path}/Deliveries/Restart", {"RecordingSid": found})
        assert (answer.status, answer.json()["code"]) == (404, 20404)
    assert (await stranger.get(f"{stranger.own_path}/Recordings/{played}/Playback")).status == 404
    assert (await stranger.get(f"{stranger.own_path}/Events?RecordingSid={played}")).status == 404
    assert await rows(stranger) == []
    assert [row["state"] for row in await rows(acme)] == ["parked"]


async def test_playback_opens_the_recording_for_an_hour_without_a_credential(
    acme: Caller, recorded: Record, clock: SetClock
) -> None:
    sid = (await recorded())["sid"]
    answer = await acme.get(f"{acme.own_path}/Recordings/{sid}/Playback")
    told = answer.json()
    assert set(told) == {"url", "expires_at", "peaks_url"}
    assert answer.headers["Cache-Control"] == "no-store"
    path = told["url"].removeprefix(acme.base)
    media = await acme.get(path, auth=None)
    assert (media.status, media.body == WAV, media.headers["Referrer-Policy"]) == (200, True, "no-referrer")
    part = await acme.get(path, auth=None, headers={"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, b"RIFF")
    assert (await acme.get(path[:-1] + ("0" if path[-1] != "0" else "1"), auth=None)).status == 403
    assert (await acme.get(path.replace("Expires=", "Expires=9"), auth=None)).status == 403
    clock.advance(3600)
    assert (await acme.get(path, auth=None)).status == 403


async def test_a_recording_that_is_not_ready_has_no_playback(acme: Caller) -> None:
    sid = (await acme.upload()).json()["sid"]
    assert (await acme.get(f"{acme.own_path}/Recordings/{sid}/Playback")).status == 404


async def test_events_tell_a_recordings_life_in_order(
    acme: Caller, clock: SetClock, deliver: Carry, away: None
) -> None:
    query = "?RecordingStatusCallback=http%3A%2F%2F127.0.0.1%3A4%2Fcb&RecordingStatusCallbackEvent=in-progress"
    sid = (await acme.upload(WAV, query)).json()["sid"]
    clock.advance(1)
    await deliver(sid)
    page = (await acme.get(f"{acme.own_path}/Events?RecordingSid={sid}")).json()
    told = [(event["kind"], event["name"]) for event in page["events"]]
    assert told == [
        ("move", "spooled"),
        ("callback", "in-progress"),
        ("move", "sealed"),
        ("move", "uploading"),
        ("move", "waiting"),
    ]
    assert [event["at"] for event in page["events"]] == sorted(event["at"] for event in page["events"])
    assert page["events"][1]["callback_state"] == "due"
    assert page["meta"]["key"] == "events"


async def test_without_a_sid_events_are_the_accounts_alerts(acme: Caller, stranger: Caller) -> None:
    await acme.upload(WAV, "?RecordingStatusCallback=nowhere")
    (event,) = (await acme.get(f"{acme.own_path}/Events")).json()["events"]
    assert (event["kind"], event["code"], event["name"]) == ("alert", 13256, "warning")
    assert (await stranger.get(f"{stranger.own_path}/Events")).json()["events"] == []


async def test_an_accounts_events_come_in_pages_and_by_level_and_date(acme: Caller, clock: SetClock) -> None:
    for _ in range(3):
        await acme.upload(WAV, "?RecordingStatusCallback=nowhere")
        clock.advance(86_400)
    first = (await acme.get(f"{acme.own_path}/Events?PageSize=2&Level=warning")).json()
    second = (await acme.get(first["meta"]["next_page_url"].removeprefix(acme.base))).json()
    assert (len(first["events"]), len(second["events"]), second["meta"]["next_page_url"]) == (2, 1, None)
    told = [event["at"] for event in first["events"] + second["events"]]
    assert told == sorted(told, reverse=True)
    back = (await acme.get(second["meta"]["previous_page_url"].removeprefix(acme.base))).json()
    assert back["events"] == first["events"]
    for query, count in (("Code=13256", 3), ("Code=1", 0), ("Level=error", 0), ("DateCreated=2026-11-22", 1)):
        assert len((await acme.get(f"{acme.own_path}/Events?{query}")).json()["events"]) == count
    for query in ("Level=loud", "Code=x", "Code=123456", "DateCreated=never", "PageToken=x"):
        assert (await acme.get(f"{acme.own_path}/Events?{query}")).status == 400


async def test_an_external_recording_is_played_from_its_bucket(
    acme: Caller, deliver: Carry, clock: SetClock, tmp_path: Path
) -> None:
    async with EmbeddedS3(tmp_path / "s3", clock=clock) as s3:
        s3.add_user("AKIAIOSFODNN7EXAMPLE", "k" * 40)
        s3.create_bucket("calls")
        credential = (await acme.post("/v1/Credentials/AWS", {"Credentials": ACCESS})).json()["sid"]
        form = {"AwsCredentialsSid": credential, "AwsS3Url": f"{s3.url}/calls/x", "AwsStorageEnabled": "true"}
        settings = f"{acme.own_path}/RecordingSettings/Voice"
        assert (await acme.post(settings, form)).status == 200
        sid = (await acme.upload()).json()["sid"]
        await deliver(sid)
        told = (await acme.get(f"{acme.account_path}/Recordings/{sid}.json")).json()
        assert (told["status"], told["media_url"]) == ("completed", f"{s3.url}/calls/x/{acme.sid}/{sid}")
        moved = await acme.get(f"{acme.account_path}/Recordings/{sid}.wav")
        assert (moved.status, moved.headers["Cache-Control"]) == (302, "no-store")
        assert moved.json() == {"redirect_to": moved.headers["Location"]}
        url = (await acme.get(f"{acme.own_path}/Recordings/{sid}/Playback")).json()["url"]
        for signed in (moved.headers["Location"], url):
            async with aiohttp.ClientSession() as nobody, nobody.get(signed) as media:
                assert (media.status, await media.read() == WAV) == (200, True)
        assert (await acme.post(settings, {"ExternalMedia": "not-found"})).status == 200
        hidden = (await acme.upload()).json()["sid"]
        await deliver(hidden)
        assert (await acme.get(f"{acme.account_path}/Recordings/{hidden}.wav")).status == 404
