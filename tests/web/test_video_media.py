"""Media of a video recording: the temporary URL, and what it gives to whom."""

from __future__ import annotations

import json

import pytest

from callreel.clock import SetClock
from callreel.model.storage_settings import ExternalMedia
from tests.sealing.keys import public_pem, rsa_key
from tests.video import Studio
from tests.web.conftest import Caller, Carry
from tests.web.video_tracks import CAMERA, MICROPHONE, recorded_video


async def ticket(caller: Caller, path: str) -> str:
    """The path of a temporary URL."""
    answer = await caller.get(path)
    assert answer.status == 302, answer.body
    url = answer.json()["redirect_to"]
    assert answer.headers["Location"] == url
    assert answer.headers["Cache-Control"] == "no-store"
    assert url.startswith(f"{caller.base}/callreel/media/")
    return str(url.removeprefix(caller.base))


@pytest.fixture
async def camera(acme: Caller, deliver: Carry) -> str:
    made = await recorded_video(acme)
    await deliver(made["sid"])
    return str(made["sid"])


async def test_the_url_gives_the_media_to_whoever_holds_it(acme: Caller, camera: str) -> None:
    given = await acme.get(await ticket(acme, f"/v1/Recordings/{camera}/Media"), auth=None)
    assert (given.status, given.body) == (200, CAMERA)
    assert given.headers["Content-Type"] == "video/x-matroska"
    assert given.headers["Content-Disposition"] == f'attachment; filename="{camera}.mkv"'
    assert given.headers["Referrer-Policy"] == "no-referrer"


async def test_every_path_leads_there(acme: Caller, camera: str) -> None:
    room = (await acme.get(f"/v1/Recordings/{camera}")).json()["grouping_sids"]["room_sid"]
    for base in (f"/v1/Recordings/{camera}", f"/v1/Rooms/{room}/Recordings/{camera}"):
        for tail in ("/Media", "/Media/"):
            assert (await acme.get(await ticket(acme, base + tail), auth=None)).body == CAMERA


async def test_inline_sound_has_its_own_type(acme: Caller, deliver: Carry) -> None:
    made = await recorded_video(acme, MICROPHONE)
    await deliver(made["sid"])
    path = await ticket(acme, f"/v1/Recordings/{made['sid']}/Media?ContentDisposition=inline")
    given = await acme.get(path, auth=None)
    assert (given.headers["Content-Type"], given.headers["Content-Disposition"]) == ("audio/x-matroska", "inline")


async def test_a_range_gives_a_part(acme: Caller, camera: str) -> None:
    path = await ticket(acme, f"/v1/Recordings/{camera}/Media")
    part = await acme.get(path, auth=None, headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, CAMERA[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(CAMERA)}"
    head = await acme.send("HEAD", path, auth=None)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(CAMERA)))


@pytest.mark.parametrize(("query", "lives_s"), [("", 600), ("?Ttl=1", 1), ("?Ttl=3600", 3600)])
async def test_the_url_lives_as_long_as_asked(
    acme: Caller, camera: str, clock: SetClock, query: str, lives_s: int
) -> None:
    path = await ticket(acme, f"/v1/Recordings/{camera}/Media{query}")
    clock.advance(lives_s - 0.5)
    assert (await acme.get(path, auth=None)).status == 200
    clock.advance(0.5)
    expired = await acme.get(path, auth=None)
    assert (expired.status, "expired" in expired.json()["message"]) == (403, True)


async def test_a_forged_ticket_is_403(acme: Caller, camera: str) -> None:
    path = await ticket(acme, f"/v1/Recordings/{camera}/Media")
    last = "A" if path[-1] != "A" else "B"
    for forged in (path[:-3] + last * 3, "/callreel/media/x", "/callreel/media/%C3%A4", path + "AAAA"):
        assert (await acme.get(forged, auth=None)).status == 403


@pytest.mark.parametrize("query", ["Ttl=0", "Ttl=3601", "Ttl=x", "ContentDisposition=save"])
async def test_a_parameter_out_of_bounds_is_400(acme: Caller, camera: str, query: str) -> None:
    assert (await acme.get(f"/v1/Recordings/{camera}/Media?{query}")).status == 400


async def test_there_is_none_while_processing_and_no_more_once_deleted(acme: Caller, deliver: Carry) -> None:
    made = await recorded_video(acme)
    path = f"/v1/Recordings/{made['sid']}"
    assert (await acme.get(f"{path}/Media")).status == 404
    await deliver(made["sid"])
    old = await ticket(acme, f"{path}/Media")
    await acme.delete(path)
    await deliver(made["sid"])
    assert (await acme.get(f"{path}/Media")).status == 404
    assert (await acme.get(old, auth=None)).status == 404


async def test_an_external_recording_leads_to_a_signed_url_of_its_bucket(
    acme: Caller, deliver: Carry, studio: Studio
) -> None:
    await studio.store_outside()
    made = await recorded_video(acme)
    await deliver(made["sid"])
    shown = (await acme.get(f"/v1/Recordings/{made['sid']}")).json()
    assert shown["media_external_location"].endswith(f"/video/{acme.sid}/{made['sid']}.mkv")
    answer = await acme.get(f"/v1/Recordings/{made['sid']}/Media?Ttl=60")
    url = answer.json()["redirect_to"]
    assert answer.status == 302
    assert url.startswith(shown["media_external_location"])
    assert "X-Amz-Expires=60" in url


async def test_an_external_recording_is_404_where_the_account_wants_that(
    acme: Caller, deliver: Carry, studio: Studio
) -> None:
    await studio.store_outside(external_media=ExternalMedia.NOT_FOUND)
    made = await recorded_video(acme)
    await deliver(made["sid"])
    assert (await acme.get(f"/v1/Recordings/{made['sid']}/Media")).status == 404


async def test_an_encrypted_recording_comes_with_what_opens_it(acme: Caller, deliver: Carry) -> None:
    key = (await acme.post("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key())})).json()["sid"]
    form = {"FriendlyName": "x", "EncryptionEnabled": "true", "EncryptionKeySid": key}
    assert (await acme.post("/v1/RecordingSettings/Default", form)).status == 200
    made = await recorded_video(acme)
    await deliver(made["sid"])
    given = await acme.get(await ticket(acme, f"/v1/Recordings/{made['sid']}/Media"), auth=None)
    assert given.headers["Content-Type"] == "application/octet-stream"
    assert json.loads(given.headers["x-amz-meta-x-amz-matdesc"]) == {}
    assert given.headers["x-amz-meta-x-amz-unencrypted-content-length"] == str(len(CAMERA))
    assert given.body != CAMERA


async def test_another_accounts_sid_is_404(stranger: Caller, camera: str) -> None:
    assert (await stranger.get(f"/v1/Recordings/{camera}/Media")).status == 404
