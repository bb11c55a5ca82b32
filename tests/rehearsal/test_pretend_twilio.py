"""The pretend Twilio against the official package, unmodified, and its million recordings."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client

from callreel.clock import SetClock
from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.speech import speech
from callreel.rehearsal.twilio_faults import RandomSourceFaults, fault

inside = asyncio.to_thread


def sdk(twilio: PretendTwilio, sid: str, token: str) -> Client:
    client = Client(sid, token)
    client.api.base_url = twilio.url
    return client


async def test_the_official_package_lists_fetches_and_deletes(clock: SetClock) -> None:
    async with PretendTwilio(clock=clock) as twilio:
        acme = twilio.add_account(name="Acme")
        twilio.add_account(name="Below", owner=acme.sid)
        twilio.simulate(acme, 120, size_bytes=2000)
        client = sdk(twilio, acme.sid, acme.auth_token)
        listed = await inside(lambda: client.recordings.list(page_size=50))
        assert len({one.sid for one in listed}) == 120
        one = await inside(lambda: client.recordings(listed[7].sid).fetch())
        assert (one.status, one.channels, one.call_sid) == ("completed", 1, listed[7].call_sid)
        day = (clock.now() - timedelta(hours=1)).replace(hour=0, minute=0)
        assert await inside(lambda: len(client.recordings.list(date_created_after=day))) == 120
        assert await inside(client.recordings(one.sid).delete)
        with pytest.raises(TwilioRestException) as gone:
            await inside(client.recordings(one.sid).delete)
        assert (gone.value.status, gone.value.code) == (404, 20404)
        assert {account.friendly_name for account in await inside(client.api.accounts.list)} == {"Acme", "Below"}
        client.http_client.session.close()
    assert twilio.deleted == [one.sid]


async def test_the_official_package_reads_calls(clock: SetClock) -> None:
    async with PretendTwilio(clock=clock) as twilio:
        acme = twilio.add_account()
        twilio.simulate(acme, 30, size_bytes=2000, newest=clock.now().replace(hour=12))
        one = twilio.add_recording(acme, created=clock.now().replace(hour=14))
        twilio.add_recording(acme, call_sid=one.call_sid, created=clock.now().replace(hour=15))
        twilio.calls[str(one.call_sid)] = {"from": "+4930111"}
        client = sdk(twilio, acme.sid, acme.auth_token)
        call = await inside(client.calls(str(one.call_sid)).fetch)
        assert (call.from_formatted, call.status, call.duration) == ("+4930111", "completed", str(one.duration_s + 5))
        listed = await inside(lambda: client.calls.list(start_time=clock.now().date(), page_size=10))
        assert len(listed) == len({one.sid for one in listed}) == 31
        twilio.calls[str(one.call_sid)] = None
        with pytest.raises(TwilioRestException) as unknown:
            await inside(client.calls(str(one.call_sid)).fetch)
        assert (unknown.value.status, unknown.value.code) == (404, 20404)
        client.http_client.session.close()


async def test_media_is_wav_or_mp3_in_one_channel_or_two(clock: SetClock) -> None:
    async with PretendTwilio(clock=clock) as twilio, aiohttp.ClientSession() as http:
        acme = twilio.add_account()
        one = twilio.add_recording(acme, speech(1, seed=1, channels=2), channels=2)
        base = f"{twilio.url}/2010-04-01/Accounts/{acme.sid}/Recordings/{one.sid}"
        sign_in = {"Authorization": aiohttp.encode_basic_auth(acme.sid, acme.auth_token)}

        async def get(rest: str, **headers: str) -> tuple[int, str, bytes]:
            async with http.get(base + rest, headers=headers or sign_in) as answer:
                return answer.status, answer.content_type, await answer.read()

        assert await get(".wav") == (200, "audio/x-wav", one.media)
        assert (await get(""))[2] == one.media
        status, kind, mono = await get(".wav?RequestedChannels=1")
        assert (status, kind, len(mono)) == (200, "audio/x-wav", 44 + (len(one.media) - 44) // 2)
        status, kind, sound = await get(".mp3")
        assert (status, kind, sound[:1]) == (200, "audio/mpeg", b"\xff")
        status, kind, page = await get(".wav", Authorization="Basic x")
        assert (status, kind) == (401, "application/xml")
        assert b"<Code>20003</Code>" in page


async def test_a_million_recordings_cost_no_memory_and_a_deep_page_no_time(clock: SetClock) -> None:
    async with PretendTwilio(clock=clock) as twilio:
        acme = twilio.add_account()
        twilio.simulate(acme, 1_000_000, size_bytes=1000)
        deep = acme.shelf.find(next(iter(acme.shelf.after((-(clock.now().timestamp() - 50_000_000), "")))).sid)
        assert deep is not None
        assert len(deep.media) == 1000
        acme.shelf.remove(deep)
        assert len(acme.shelf) == 999_999
        again = acme.shelf.find(deep.sid)
        assert again is not None
        assert again.status == "deleted"


async def test_two_simulated_recordings_are_never_alike(clock: SetClock) -> None:
    async with PretendTwilio(clock=clock) as twilio:
        acme = twilio.add_account()
        twilio.simulate(acme, 40, size_bytes=1000)
        found = [acme.shelf.find(one.sid) for one in acme.shelf.after(None)]
        assert len({one.media for one in found if one is not None}) == 40


async def test_webhooks_are_signed_as_twilios_validator_expects(clock: SetClock) -> None:
    async with PretendTwilio(clock=clock) as twilio, CallbackReceiver() as receiver:
        acme = twilio.add_account()
        one = twilio.add_recording(acme)
        assert await twilio.send_webhook(one, f"{receiver.url}/hook?x=1&y=a%20b") == 204
        (came,) = receiver.received
        validator = RequestValidator(acme.auth_token)
        assert validator.validate(came.url, dict(came.parameters), came.signature)
        assert (came["RecordingSid"], came["RecordingStatus"]) == (one.sid, "completed")


def test_the_same_seed_and_requests_meet_the_same_faults() -> None:
    one, other = (RandomSourceFaults(0.5, seed=4) for _ in range(2))
    drawn = [one.draw("Media") for _ in range(50)]
    assert drawn == [other.draw("Media") for _ in range(50)]
    assert any(drawn)
    assert not all(drawn)


def test_a_lie_about_a_deletion_is_met_only_when_asked_for() -> None:
    drawn = {RandomSourceFaults(1, seed=seed).draw("Delete") for seed in range(200)}
    assert "delete-not-done" not in {name for name, _ in filter(None, drawn)}


@pytest.mark.parametrize("make", [lambda: fault("nonsense"), lambda: RandomSourceFaults(0.1, seed=1, kinds=["x"])])
def test_a_fault_nobody_knows_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        make()  # type: ignore[operator]


async def test_anybody_can_run_it() -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "callreel.rehearsal.pretend_twilio", "--recordings", "3", "--size-bytes", "1000"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    said = json.loads(await child.stdout.readline())
    async with aiohttp.ClientSession() as http, http.get(said["url"] + "/_rehearsal") as answer:
        state = await answer.json()
    child.terminate()
    last = json.loads((await child.stdout.read()).splitlines()[-1])
    await child.wait()
    assert state["recordings"] == last["recordings"] == {said["account_sid"]: 3}
