"""Migrations over HTTP, with a worker on the real queue and a pretend Twilio on a real port."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from callreel.clock import SetClock
from callreel.ledger.item_intake import MOVE
from callreel.ledger.jobs import JobRow, route_of
from callreel.migration.receipt import verify_receipt
from callreel.model.deed import CALLREEL, Action
from callreel.model.sid import SourceSid, mint_sid
from callreel.model.source import Source
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_faults import DELETE, fault
from callreel.rehearsal.twilio_sign_in import PretendAccount
from callreel.worker.worker import Worker
from tests.stage import BUCKET, Stage
from tests.web.conftest import UNKNOWN, Caller

LIMIT_S = 60


@pytest.fixture
async def twilio(clock: SetClock) -> AsyncIterator[PretendTwilio]:
    async with PretendTwilio(clock=clock) as server:
        yield server


@pytest.fixture
def old(twilio: PretendTwilio) -> PretendAccount:
    """The account over there, with six recordings."""
    account = twilio.add_account()
    for _ in range(6):
        twilio.add_recording(account)
    return account


@pytest.fixture
async def source(acme: Caller, stage: Stage, twilio: PretendTwilio, old: PretendAccount) -> Source:
    """That account as a source of acme's, whose recordings go to the embedded S3."""
    return await a_source(stage, twilio, old)


async def a_source(stage: Stage, twilio: PretendTwilio, old: PretendAccount) -> Source:
    parts, now = stage.parts, stage.clock.now()
    made = Source(
        sid=SourceSid(mint_sid("SR")),
        account_sid=stage.account_sid,
        friendly_name="old",
        twilio_account_sid=old.sid,
        base_url=twilio.url,
        poll_seconds=0,
        date_created=now,
        date_updated=now,
    )
    deed = CALLREEL.deed(Action.SOURCE_ADDED, made.account_sid, made.sid)
    return await parts.ledger.sources.keep(made, secret_sealed=parts.sources.seal(made, old.auth_token), deed=deed)


@asynccontextmanager
async def at_work(stage: Stage) -> AsyncIterator[None]:
    worker = Worker(stage.parts)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            yield
            worker.stop()
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def path(caller: Caller, rest: str = "") -> str:
    return f"{caller.own_path}/Migrations{rest}"


async def until(caller: Caller, sid: str, *wanted: str) -> dict[str, Any]:
    while True:
        row: dict[str, Any] = (await caller.get(path(caller, f"/{sid}"))).json()
        if row["status"] in wanted:
            return row
        await asyncio.sleep(0.01)


async def test_a_migration_moves_everything_and_reports_it_with_receipts(
    acme: Caller, stage: Stage, source: Source, old: PretendAccount, twilio: PretendTwilio, s3: EmbeddedS3
) -> None:
    sids = {one.sid for one in old.shelf.after(None)}
    planned = (await acme.post(path(acme, "/Plan"), {"SourceSid": source.sid})).json()
    assert (planned["recordings"], planned["minutes"], planned["monthly_cost_source"]) == (6, 6, 0.0)
    started = await acme.post(path(acme), {"SourceSid": source.sid}, headers={"Idempotency-Key": "k"})
    assert started.status == 201
    again = await acme.post(path(acme), {"SourceSid": source.sid}, headers={"Idempotency-Key": "k"})
    assert again.json()["sid"] == started.json()["sid"]
    assert (await acme.post(path(acme), {"SourceSid": source.sid})).status == 409
    sid = started.json()["sid"]
    async with at_work(stage):
        row = await until(acme, sid, "completed", "failed")
    assert row["status"] == "completed", row
    assert (row["total"], row["moved"], row["deleted_at_source"], row["failed"]) == (6, 6, 6, 0)
    assert (row["remaining"], row["eta_seconds"]) == (0, 0)
    assert set(twilio.deleted) == sids
    assert len(s3.keys(BUCKET)) == 6
    page = (await acme.get(path(acme, f"/{sid}/Items?PageSize=4&State=link_cleared"))).json()
    assert len(page["items"]) == 4
    assert page["meta"]["next_page_url"] is not None
    report = (await acme.get(path(acme, f"/{sid}/Report"))).json()
    key = (await acme.get(path(acme, "/ReceiptKey"))).json()
    told = [verify_receipt(item["receipt"], key["public_key"].encode()) for item in report["items"]]
    assert {facts["source_recording_sid"] for facts in told} == sids
    assert all(facts["deleted_at"] and facts["verify_method"] == "checksum" for facts in told)
    lines = list(csv.DictReader(io.StringIO((await acme.get(path(acme, f"/{sid}/Report?Format=csv"))).body.decode())))
    assert {line["sha256"] for line in lines} == {facts["sha256"] for facts in told}
    shown = (await acme.get(f"{acme.account_path}/Recordings.json")).json()["recordings"]
    assert {one["sid"] for one in shown} == sids
    assert all(one["price"].startswith("-") and one["status"] == "completed" for one in shown)
    audit = (await acme.get(f"{acme.own_path}/Audit?Action=source-recording.deleted")).json()["audit"]
    assert len(audit) == 6


async def test_a_migration_is_paused_resumed_and_canceled(acme: Caller, source: Source) -> None:
    sid = (await acme.post(path(acme), {"SourceSid": source.sid})).json()["sid"]
    assert (await acme.post(path(acme, f"/{sid}"), {"Status": "paused"})).json()["status"] == "paused"
    assert (await acme.post(path(acme, f"/{sid}"), {"Status": "running"})).json()["status"] == "running"
    assert (await acme.post(path(acme, f"/{sid}"), {"Status": "canceled"})).json()["status"] == "canceled"
    assert (await acme.post(path(acme, f"/{sid}"), {"Status": "running"})).status == 409
    assert (await acme.post(path(acme, f"/{sid}"), {"Status": "completed"})).status == 400
    assert (await acme.post(path(acme, f"/{sid}"), {})).status == 400
    listed = (await acme.get(path(acme))).json()["migrations"]
    assert [row["sid"] for row in listed] == [sid]


async def test_a_wrong_token_ends_in_failed_with_the_reason_and_resuming_after_mending_it_completes(
    acme: Caller, stage: Stage, source: Source, old: PretendAccount, twilio: PretendTwilio
) -> None:
    right, old.auth_token = old.auth_token, "0" * 32
    sid = (await acme.post(path(acme), {"SourceSid": source.sid})).json()["sid"]
    async with at_work(stage):
        while (row := (await acme.get(path(acme, f"/{sid}"))).json())["status"] == "running":
            stage.clock.advance(5)
            await asyncio.sleep(0.05)
        assert row["status"] == "failed"
        assert "401" in row["reason"]
        assert row["remedy"]
        assert twilio.deleted == []
        old.auth_token = right
        await acme.post(path(acme, f"/{sid}"), {"Status": "running"})
        row = await until(acme, sid, "completed", "failed")
    assert (row["status"], row["deleted_at_source"], row["reason"]) == ("completed", 6, None)


ODD = {
    "html-200": ("text/html", {"running"}),
    "html-403": ("text/html", {"running"}),
    "redirect": ("redirects to", {"failed"}),
    "internal-error": ("500", {"running"}),
    "garbage": ("could not be reached|broke", {"running"}),
}


@pytest.mark.parametrize("kind", ODD)
async def test_a_source_that_turns_odd_deletes_nothing_says_why_and_goes_on_when_it_is_mended(
    acme: Caller, stage: Stage, source: Source, twilio: PretendTwilio, kind: str
) -> None:
    said, statuses = ODD[kind]
    twilio.faults.next(fault(kind), times=100_000)
    sid = (await acme.post(path(acme), {"SourceSid": source.sid})).json()["sid"]
    async with at_work(stage):
        while (row := (await acme.get(path(acme, f"/{sid}"))).json())["reason"] is None:
            await asyncio.sleep(0.05)
        while row["status"] not in statuses:
            row = (await acme.get(path(acme, f"/{sid}"))).json()
            await asyncio.sleep(0.05)
        assert re.search(said, row["reason"]), row["reason"]
        assert (row["deleted_at_source"], twilio.deleted) == (0, [])
        twilio.faults.clear()
        if row["status"] == "failed":
            assert "resume" in row["remedy"]
            await acme.post(path(acme, f"/{sid}"), {"Status": "running"})
        row = await until(acme, sid, "completed", "failed")
    assert (row["status"], row["deleted_at_source"], row["reason"]) == ("completed", 6, None)


async def test_what_could_not_be_deleted_is_taken_up_again_one_by_one_and_all(
    acme: Caller, stage: Stage, source: Source, old: PretendAccount, twilio: PretendTwilio
) -> None:
    twilio.faults.next(fault("html-403"), times=500, on=DELETE)
    sid = (await acme.post(path(acme), {"SourceSid": source.sid})).json()["sid"]
    audited = f"{acme.own_path}/Audit?Action=moves.retried"
    async with at_work(stage):
        while (row := (await acme.get(path(acme, f"/{sid}"))).json())["status"] == "running":
            stage.clock.advance(15)
            await stage.parts.ledger.remind([JobRow(route_of(MOVE, stage.parts.spool.host_id), source.sid)])
            await asyncio.sleep(0.2)
        assert (row["status"], row["delete_failed"], row["moved"], twilio.deleted) == ("completed", 6, 6, [])
        twilio.faults.clear()
        items = (await acme.get(path(acme, f"/{sid}/Items?State=delete_failed"))).json()["items"]
        one = items[0]["recording_sid"]
        retried = await acme.post(path(acme, f"/{sid}/Retry"), {"RecordingSid": one})
        assert retried.json() == {"retried": 1}
        row = await until(acme, sid, "completed")
        while row["deleted_at_source"] < 1:
            row = await until(acme, sid, "completed")
        assert (row["delete_failed"], row["moved"], twilio.deleted) == (5, 6, [items[0]["source_recording_sid"]])
        assert (await acme.post(path(acme, f"/{sid}/Retry"), {"RecordingSid": one})).json() == {"retried": 0}
        for named in ("RE" + UNKNOWN, "what"):
            assert (await acme.post(path(acme, f"/{sid}/Retry"), {"RecordingSid": named})).status in (400, 404)
        assert (await acme.post(path(acme, f"/{sid}/Retry"), {})).json() == {"retried": 5}
        while row["deleted_at_source"] < 6:
            row = await until(acme, sid, "completed")
    assert (row["delete_failed"], row["moved"], row["bytes"]) == (0, 6, sum(one["size_bytes"] for one in items))
    assert len((await acme.get(audited)).json()["audit"]) == 2
    assert (await acme.post(f"{acme.own_path}/Sources/{source.sid}/Retry", {})).json() == {"retried": 0}


async def parts_of_what_lies_there(acme: Caller, url: str, media: bytes) -> None:
    """HEAD, parts, and parts that cannot be had, of a recording at its source."""
    size = len(media)
    head = await acme.send("HEAD", url)
    assert (head.status, head.headers["content-length"], head.headers["accept-ranges"]) == (200, str(size), "bytes")
    etag = head.headers["etag"]
    for asked, first, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=7000-7999", 7000, 8000),
        (f"bytes=9000-{size + 5}", 9000, size),
        ("bytes=-10", size - 10, size),
    ):
        part = await acme.get(url, headers={"Range": asked, "If-Range": etag})
        assert (part.status, part.body) == (206, media[first:stop])
        assert part.headers["content-range"] == f"bytes {first}-{stop - 1}/{size}"
    other = await acme.get(url, headers={"Range": "bytes=0-0", "If-Range": '"another"'})
    assert (other.status, other.body) == (200, media)
    assert (await acme.get(url, headers={"If-None-Match": etag})).status == 304
    beyond = await acme.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")


async def test_while_external_storage_is_off_recordings_are_played_from_their_source(
    acme: Caller, stranger: Caller, stage: Stage, source: Source, old: PretendAccount, twilio: PretendTwilio
) -> None:
    await stage.choose(aws_storage_enabled=False)
    sid = (await acme.post(path(acme), {"SourceSid": source.sid})).json()["sid"]
    async with at_work(stage):
        while len(shown := (await acme.get(f"{acme.account_path}/Recordings.json")).json()["recordings"]) < 6:
            await asyncio.sleep(0.01)
    assert {one["status"] for one in shown} == {"completed"}
    one = shown[0]["sid"]
    wav = await acme.get(f"{acme.account_path}/Recordings/{one}.wav")
    media = old.shelf.find(one)
    assert media is not None
    assert (wav.status, wav.body, wav.headers["content-type"]) == (200, media.media, "audio/x-wav")
    mp3 = await acme.get(f"{acme.account_path}/Recordings/{one}.mp3")
    assert (mp3.status, mp3.headers["content-type"]) == (200, "audio/mpeg")
    await parts_of_what_lies_there(acme, f"{acme.account_path}/Recordings/{one}", media.media)
    playback = (await acme.get(f"{acme.own_path}/Recordings/{one}/Playback")).json()
    assert playback["peaks_url"] is None
    signed = playback["url"].removeprefix(stage.parts.public_url)
    part = await acme.get(signed, headers={"Range": "bytes=100-"})
    assert (part.status, part.body) == (206, media.media[100:])
    assert (await stranger.get(f"{stranger.account_path}/Recordings/{one}.wav")).status == 404
    assert (await acme.delete(f"{acme.account_path}/Recordings/{one}.json")).status == 409
    twilio.accounts[old.sid].shelf.remove(media)
    assert (await acme.get(f"{acme.account_path}/Recordings/{one}.wav")).status == 404
    row = (await acme.get(path(acme, f"/{sid}"))).json()
    assert (row["status"], row["moved"]) == ("running", 0)
    assert "External storage is off" in row["reason"]


@pytest.mark.parametrize(
    "form", [{}, {"SourceSid": "x"}, {"SourceSid": "SR" + "1" * 32}, {"CreatedAfter": "yesterday"}]
)
async def test_what_cannot_be_started_is_refused(acme: Caller, source: Source, form: dict[str, str]) -> None:
    if "CreatedAfter" in form:
        form = {"SourceSid": source.sid, **form}
    assert (await acme.post(path(acme), form)).status in (400, 404)
    assert (await acme.get(path(acme))).json()["migrations"] == []


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, source: Source) -> None:
    sid = (await acme.post(path(acme), {"SourceSid": source.sid})).json()["sid"]
    nobodys = await stranger.get(path(stranger, f"/MG{UNKNOWN}"))
    for rest in (f"/{sid}", f"/{sid}/Items", f"/{sid}/Report"):
        answer = await stranger.get(path(stranger, rest))
        assert answer.status == 404
        assert (await stranger.get(path(acme, rest))).status == 404
    assert (await stranger.post(path(stranger, f"/{sid}/Retry"), {})).status == 404
    assert (await stranger.post(f"{stranger.own_path}/Sources/{source.sid}/Retry", {})).status == 404
    assert (await stranger.get(path(stranger, f"/{sid}"))).json()["code"] == nobodys.json()["code"]
    assert (await stranger.post(path(stranger, f"/{sid}"), {"Status": "canceled"})).status == 404
    assert (await stranger.post(path(stranger), {"SourceSid": source.sid})).status == 404
    assert (await stranger.post(path(stranger, "/Plan"), {"SourceSid": source.sid})).status == 404
    assert json.loads((await stranger.get(path(stranger))).body)["migrations"] == []
