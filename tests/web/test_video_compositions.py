"""/v1/Compositions and CompositionSettings: none are made, and a caller learns why."""

from __future__ import annotations

import pytest

from tests.sealing.keys import public_pem, rsa_key
from tests.video import Studio
from tests.web.conftest import UNKNOWN, Caller

COMPOSITIONS = "/v1/Compositions"
SETTINGS = "/v1/CompositionSettings/Default"


async def ask(caller: Caller, **more: str) -> tuple[int, int, str]:
    room = (await caller.post("/v1/Rooms", {})).json()["sid"]
    refused = await caller.post(COMPOSITIONS, {"RoomSid": room, "AudioSources": "*"} | more)
    told = refused.json()
    return refused.status, told["code"], told["message"]


async def test_the_list_is_empty(acme: Caller) -> None:
    page = (await acme.get(f"{COMPOSITIONS}?Status=completed")).json()
    assert (page["compositions"], page["meta"]["key"]) == ([], "compositions")


async def test_creating_says_that_none_are_made_here(acme: Caller) -> None:
    status, code, message = await ask(acme)
    assert (status, code) == (409, 20409)
    assert "does not make compositions" in message


async def test_external_storage_is_named_first_and_what_to_do(acme: Caller, studio: Studio) -> None:
    await studio.store_outside()
    status, code, message = await ask(acme)
    assert (status, code) == (409, 20409)
    assert "AwsStorageEnabled=false" in message
    assert "EncryptionEnabled" not in message


async def test_encryption_is_named_too(acme: Caller) -> None:
    key = (await acme.post("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key())})).json()["sid"]
    form = {"FriendlyName": "x", "EncryptionEnabled": "true", "EncryptionKeySid": key}
    await acme.post("/v1/RecordingSettings/Default", form)
    assert "EncryptionEnabled=false" in (await ask(acme))[2]


@pytest.mark.parametrize("form", [{}, {"RoomSid": "RM" + "1" * 32}, {"RoomSid": "x", "AudioSources": "*"}])
async def test_a_request_that_is_wrong_anyway_is_400(acme: Caller, form: dict[str, str]) -> None:
    assert (await acme.post(COMPOSITIONS, form)).status == 400


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller) -> None:
    room = (await stranger.post("/v1/Rooms", {})).json()["sid"]
    for sid in (room, f"RM{UNKNOWN}"):
        answer = await acme.post(COMPOSITIONS, {"RoomSid": sid, "AudioSources": "*"})
        assert (answer.status, answer.json()["code"]) == (404, 53106)
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/Media")):
        assert (await acme.send(method, f"{COMPOSITIONS}/CJ{UNKNOWN}{tail}")).status == 404


async def test_its_settings_are_kept_apart_from_those_of_recordings(acme: Caller) -> None:
    assert (await acme.get(SETTINGS)).json()["friendly_name"] is None
    answer = await acme.post(SETTINGS, {"FriendlyName": "mixes"})
    assert (answer.status, answer.json()["url"]) == (200, f"{acme.base}{SETTINGS}")
    assert (await acme.get(SETTINGS)).json()["friendly_name"] == "mixes"
    assert (await acme.get("/v1/RecordingSettings/Default")).json()["friendly_name"] is None
    assert (await acme.post(SETTINGS, {})).status == 400
