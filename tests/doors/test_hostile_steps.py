"""Every hostile URL, forced into rows as if it had been saved, and every name rebound: real steps connect nowhere.

Refused at the real doors when it is saved; a reason in the status when a step meets it. `-s` prints the figures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import text

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.migration.move import SourceAway
from callreel.migration.move import move as move_on
from callreel.migration.offer import offer
from callreel.migration.poll import poll
from callreel.model.account import Account
from callreel.model.deed import CALLREEL, Action
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid, SourceSid, mint_sid
from callreel.model.source import Source, SourceRecording, SourceStatus
from callreel.outbound import guard
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.settings import load_settings
from callreel.steps.check_destination import check_destination
from callreel.steps.keep_source import check_source
from callreel.web.forms import Parameters
from callreel.web.source_webhook import read_callback
from callreel.worker.routes import tell
from tests.doors.test_hostile_urls import URLS, Ears, Rebinding, ears, with_port
from tests.migration.conftest import Move
from tests.stage import BUCKET, Stage
from tests.web.conftest import Caller, serving
from tests.web.installed import ACCESS

__all__ = ["ears"]
OLD = "AC" + "f" * 32
# What names no host cannot be written with a port: then it is tried as it is.
BLOCKED = ("must not call", "not a URL", "names no host", "must begin", "could not", "cannot", "not one", "is not",
           "broke", "AwsS3Url", "URL", "does not lead")  # fmt: skip


@pytest.fixture
async def parts(
    tmp_path: Path, database_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Parts]:
    """An installation that may call the public Internet only, where every name leads home by now."""
    monkeypatch.setattr(guard, "ThreadedResolver", lambda: Rebinding("127.0.0.1"))
    settings = load_settings(data_dir=tmp_path / "data")
    async with open_parts(
        settings, database_url=database_url, public_url="http://callreel.test", clock=clock
    ) as opened:
        yield opened


@pytest.fixture
async def stage(parts: Parts, clock: SetClock, account: tuple[Account, str], s3: EmbeddedS3) -> Stage:
    """Settings that were saved: with a public bucket, which a name will be rebound from."""
    on_stage = Stage(parts, clock, *account, s3)
    on_stage.credential_sid = await on_stage.keep_key()
    await on_stage.choose(aws_s3_url="https://calls.s3.us-east-1.amazonaws.com/documents")
    return on_stage


def spelled(ears: Ears) -> Iterator[str]:
    """Each hostile URL as it is and at the port where somebody listens; and names that were public once."""
    for url in URLS:
        yield from with_port(url, ears.port)
    yield f"https://rebound.example.com:{ears.port}/bucket"
    yield f"http://rebound.example.com:{ears.port}/bucket"


def say(what: str, count: int, ears: Ears) -> None:
    print(f"\n{count} hostile URLs in rows, {what}: {len(ears.heard)} connections")
    assert ears.heard == []


async def test_no_callback_is_sent_there(stage: Stage, ears: Ears) -> None:
    recording = await stage.take_in(callback="https://example.com/cb", events="in-progress")
    again = text(
        "UPDATE outbox SET url = :url, state = 'due', attempts = 0, retry_spent_s = 0, next_attempt_at = NULL, "
        "last_error = NULL"
    )
    count = 0
    for url in spelled(ears):
        if "\x00" in url:
            continue  # no text of PostgreSQL's
        async with stage.parts.ledger.engine.begin() as transaction:
            await transaction.execute(again, {"url": url})
        await tell(recording.sid, parts=stage.parts, is_crowded=lambda: False)
        [owed] = await stage.parts.ledger.outbox.list_of(stage.account_sid, recording.sid)
        assert owed.state != "sent", url
        assert owed.last_error, url
        count += 1
    say("callbacks told", count, ears)


async def as_sealed(stage: Stage, recording: Recording) -> Recording:
    """The recording's row as it was before its first attempt."""
    again = text(
        "UPDATE recordings SET state = 'sealed', attempts = 0, refused_at = NULL, retry_spent_s = 0, retry_wait_s = 0, "
        "next_attempt_at = NULL, error_code = NULL, last_error = NULL, last_error_code = NULL, unfinished = true"
    )
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(again)
    return await stage.look(recording)


async def test_nothing_is_delivered_there_and_the_recording_says_why(stage: Stage, ears: Ears) -> None:
    recording = await stage.sealed()
    count = 0
    for url in spelled(ears):
        row = await as_sealed(stage, recording)
        forced = row.changed(settings=replace(row.settings, aws_s3_url=url))
        after = await stage.step("deliver", forced)
        assert after.state in (State.WAITING, State.FATAL), url
        assert any(word in (after.last_error or "") for word in BLOCKED), (url, after.last_error)
        kept = await stage.look(recording)
        assert (kept.state, kept.last_error) == (after.state, after.last_error)
        count += 1
    say("delivered", count, ears)


async def test_a_destination_that_is_tried_is_told_to_be_wrong(stage: Stage, ears: Ears) -> None:
    _, settings = await stage.parts.ledger.settings.current(stage.account_sid, (await stage.sealed()).kind)
    count = 0
    for url in spelled(ears):
        examined = await check_destination(
            stage.account_sid,
            replace(settings, aws_s3_url=url),
            origin="https://callreel.test",
            configure_cors=True,
            buckets=stage.parts.buckets,
            clock=stage.clock,
            check_s=5,
        )
        assert not examined.ok, url
        count += 1
    say("tried", count, ears)


async def a_source(stage: Stage, **facts: Any) -> Source:
    now = stage.clock.now()
    made = Source(
        sid=SourceSid(mint_sid("SR")),
        account_sid=stage.account_sid,
        friendly_name="old",
        twilio_account_sid=OLD,
        date_created=now,
        date_updated=now,
        **facts,
    )
    deed = CALLREEL.deed(Action.SOURCE_ADDED, made.account_sid, made.sid)
    return await stage.parts.ledger.sources.keep(
        made, secret_sealed=stage.parts.sources.seal(made, "t" * 32), deed=deed
    )


async def test_no_source_is_polled_checked_or_fetched_from_there(stage: Stage, ears: Ears) -> None:
    source, p, count = await a_source(stage), stage.parts, 0
    move = Move(stage)
    one = SourceRecording(
        sid="RE" + "1" * 32,
        account_sid=OLD,
        call_sid=None,
        conference_sid=None,
        date_created=stage.clock.now(),
        start_time=stage.clock.now(),
        duration_s=1,
        channels=1,
        source="OutboundAPI",
        track=None,
        status=SourceStatus.COMPLETED,
        encryption_details=None,
    )
    await offer(source, [one], ledger=p.ledger, spool=p.spool)
    item = await p.ledger.items.find_by_origin(source.sid, one.sid)
    assert item is not None
    for url in spelled(ears):
        forced = replace(source, base_url=url)
        assert await poll(forced, ledger=p.ledger, sources=p.sources, spool=p.spool, clock=stage.clock) == 0
        [row] = await p.ledger.sources.list_all()
        assert row.last_error, url
        ok, _ = await check_source(forced, ledger=p.ledger, sources=p.sources)
        assert not ok, url
        with pytest.raises(SourceAway):
            await move_on(await move.look(item), source=await p.sources.open(forced), shelves=move.shelves)
        assert (await move.look(item)).detail, url
        stage.clock.advance(7200)
        count += 1
    say("polled, checked and fetched from", count, ears)


def test_a_webhooks_media_url_is_not_even_read() -> None:
    source = Source(
        sid=SourceSid(mint_sid("SR")),
        account_sid=mint_sid("AC"),  # type: ignore[arg-type]
        friendly_name="old",
        twilio_account_sid=OLD,
        date_created=SetClock().now(),
        date_updated=SetClock().now(),
    )
    told = [("AccountSid", OLD), ("RecordingSid", "RE" + "1" * 32), ("RecordingStatus", "completed")]
    plain = read_callback(Parameters(told), source, now=SetClock().now())
    for url in (url for url in URLS if "\x00" not in url):  # which is refused before it is read
        assert read_callback(Parameters([*told, ("RecordingUrl", url)]), source, now=SetClock().now()) == plain


@pytest.mark.parametrize("status", [307])
async def test_no_redirect_leads_there(
    tmp_path: Path,
    database_url: str,
    clock: SetClock,
    account: tuple[Account, str],
    s3: EmbeddedS3,
    ears: Ears,
    status: int,
) -> None:
    """A bucket, a source and a receiver that we may call send us on."""
    targets, asked = list(spelled(ears)), 0

    async def send_on(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        target = targets[asked % len(targets)]
        answer = web.Response(status=status)
        if target.isprintable():
            answer.headers["Location"] = target
        await request.read()
        return answer

    server = web.Server(send_on)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = load_settings(data_dir=tmp_path / "data", allowed_private_networks="127.0.0.1/32")
    try:
        async with open_parts(settings, database_url=database_url, public_url="http://x", clock=clock) as open_to_it:
            stage = Stage(open_to_it, clock, *account, s3)
            stage.credential_sid = await stage.keep_key()
            await stage.choose(aws_s3_url=f"{url}/{BUCKET}")
            recording = await stage.sealed(callback=f"{url}/cb", events="in-progress")
            source = await a_source(stage, base_url=url)
            p = open_to_it
            for _ in range(len(targets)):
                await poll(source, ledger=p.ledger, sources=p.sources, spool=p.spool, clock=clock)
                [row] = await p.ledger.sources.list_all()
                assert "redirects" in (row.last_error or "")
            for _ in range(8):
                await stage.step("deliver", await as_sealed(stage, recording))
                await tell(recording.sid, parts=p, is_crowded=lambda: False)
                clock.advance(600)
    finally:
        await runner.cleanup()
    say(f"answers {status} led there", asked, ears)
    assert asked > len(targets)


async def test_the_doors_refuse_each_with_twilios_code_for_a_bad_parameter(
    parts: Parts, account: tuple[Account, str], ears: Ears
) -> None:
    wrong = []
    async with serving(parts) as base, aiohttp.ClientSession() as session:
        acme = Caller(session, base, *account)
        credential = (await acme.post("/v1/Credentials/AWS", {"Credentials": ACCESS})).json()["sid"]
        storage = {"AwsStorageEnabled": "true", "AwsCredentialsSid": credential, "FriendlyName": "x"}
        for number, url in enumerate(filter(None, URLS)):
            doors = {
                "bucket": (f"{acme.own_path}/RecordingSettings/Voice", storage | {"AwsS3Url": url}),
                "test": (f"{acme.own_path}/RecordingSettings/Test", {"Kind": "voice", "AwsS3Url": url}),
                "source": (
                    f"{acme.own_path}/Sources",
                    {"TwilioAccountSid": OLD, "AuthToken": "t" * 32, "BaseUrl": url},
                ),
                "room": ("/v1/Rooms", {"UniqueName": "x", "StatusCallback": url}),
            }
            for door in ("bucket", "source") if number % 6 else doors:
                path, form = doors[door]
                answer = await acme.post(path, form)
                told = answer.json()
                is_refused = (answer.status, told.get("code")) == (400, 20001)
                if not (is_refused or (door == "test" and told.get("ok") is False)):  # a trial tells what is wrong
                    wrong.append((door, url, answer.status, answer.body[:150]))
    assert wrong == []
    assert ears.heard == []


async def test_an_upload_with_such_a_callback_is_kept_tells_nobody_and_says_why(stage: Stage, ears: Ears) -> None:
    p = stage.parts
    async with serving(p) as base, aiohttp.ClientSession() as session:
        acme = Caller(session, base, await p.ledger.accounts.fetch(stage.account_sid), stage.token)
        for url in URLS[::4]:
            answer = await acme.upload(query="?" + urlencode({"RecordingStatusCallback": url or "x"}))
            assert answer.status == 201, (url, answer.body)
            found = await p.ledger.recordings.find_for_work(RecordingSid(answer.json()["sid"]))
            assert found is not None
            assert found.callback is None, url
            [alert] = await p.ledger.alerts.list(stage.account_sid, recording_sid=found.sid)
            assert "RecordingStatusCallback cannot be called" in alert.text
    assert ears.heard == []
