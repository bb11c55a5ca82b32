"""Video's RecordingSettings/Default and voice's own."""

from __future__ import annotations

from typing import Any

import pytest

from callreel.parts import Parts
from tests.sealing.keys import public_pem, rsa_key
from tests.web.conftest import Caller

VIDEO = "/v1/RecordingSettings/Default"
ACCESS = "AKIAIOSFODNN7EXAMPLE:" + "k" * 40
BUCKET = "https://recordings.s3.eu-west-1.amazonaws.com/calls"


@pytest.fixture(params=["video", "voice"])
def path(request: pytest.FixtureRequest, acme: Caller) -> str:
    return VIDEO if request.param == "video" else f"{acme.own_path}/RecordingSettings/Voice"


@pytest.fixture
async def credential(acme: Caller) -> str:
    return str((await acme.post("/v1/Credentials/AWS", {"Credentials": ACCESS})).json()["sid"])


def form(credential: str, **more: str) -> dict[str, str]:
    return {
        "FriendlyName": "ours",
        "AwsCredentialsSid": credential,
        "AwsS3Url": BUCKET,
        "AwsStorageEnabled": "true",
    } | more


async def test_before_the_first_save_everything_is_empty_and_off(acme: Caller, path: str) -> None:
    told = (await acme.get(path)).json()
    assert told["account_sid"] == acme.sid
    assert (told["friendly_name"], told["aws_credentials_sid"], told["aws_s3_url"]) == (None, None, None)
    assert (told["aws_storage_enabled"], told["encryption_enabled"]) == (False, False)
    assert told["url"].startswith(acme.base)
    assert (await acme.get(told["url"].removeprefix(acme.base))).json() == told


async def test_what_is_saved_is_shown_and_what_is_not_sent_stays(acme: Caller, path: str, credential: str) -> None:
    saved = await acme.post(path, form(credential))
    assert saved.status == 200, saved.body
    assert saved.json()["aws_s3_url"] == BUCKET
    assert (await acme.get(path)).json() == saved.json()
    off = (await acme.post(path, {"FriendlyName": "ours", "AwsStorageEnabled": "false"})).json()
    assert (off["aws_storage_enabled"], off["aws_credentials_sid"], off["aws_s3_url"]) == (False, credential, BUCKET)
    cleared = (await acme.post(path, {"FriendlyName": "ours", "AwsS3Url": "", "AwsCredentialsSid": ""})).json()
    assert (cleared["aws_s3_url"], cleared["aws_credentials_sid"]) == (None, None)


async def test_a_friendly_name_is_required_for_video_and_optional_for_voice(acme: Caller) -> None:
    for sent in ({}, {"FriendlyName": ""}):
        answer = await acme.post(VIDEO, sent)
        assert (answer.status, answer.json()["code"]) == (400, 20001)
        assert answer.json()["message"] == "Missing required parameter FriendlyName in the post body"
    assert (await acme.post(f"{acme.own_path}/RecordingSettings/Voice", {"AwsS3Url": BUCKET})).status == 200


async def test_voice_takes_json_and_callreels_own_fields(acme: Caller, credential: str) -> None:
    path = f"{acme.own_path}/RecordingSettings/Voice"
    sent = form(credential) | {
        "AwsStorageEnabled": True,
        "FatalErrorPolicy": "delete",
        "SseAlgorithm": "aws:kms",
        "SseKmsKeyId": "alias/x",
        "StorageClass": "STANDARD_IA",
        "KeyTemplate": "{prefix}/{year}/{recording_sid}.wav",
        "ExternalMedia": "not-found",
    }
    saved = (await acme.send("POST", path, json=sent)).json()
    assert saved["aws_storage_enabled"] is True
    assert (saved["fatal_error_policy"], saved["external_media"]) == ("delete", "not-found")
    assert (saved["sse_algorithm"], saved["storage_class"]) == ("aws:kms", "STANDARD_IA")
    reset = (await acme.send("POST", path, json={"FatalErrorPolicy": None, "SseKmsKeyId": None})).json()
    assert (reset["fatal_error_policy"], reset["sse_kms_key_id"]) == ("hold", None)
    assert reset["external_media"] == "not-found"


async def test_video_ignores_what_only_voice_has(acme: Caller) -> None:
    saved = (await acme.post(VIDEO, {"FriendlyName": "v", "FatalErrorPolicy": "delete"})).json()
    assert "fatal_error_policy" not in saved


async def test_encryption_needs_a_public_key_of_the_account(acme: Caller, path: str, credential: str) -> None:
    sent = {"FriendlyName": "ours", "EncryptionEnabled": "true"}
    assert (await acme.post(path, sent)).status == 400
    assert (await acme.post(path, sent | {"EncryptionKeySid": credential})).status == 400
    key = (await acme.post("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key())})).json()["sid"]
    assert (await acme.post(path, sent | {"EncryptionKeySid": key})).json()["encryption_enabled"] is True


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"AwsS3Url": "https://key:secret@bucket.s3.amazonaws.com"}, "credentials"),
        ({"AwsS3Url": "https://bucket.s3.amazonaws.com/x?versioning"}, "query"),
        ({"AwsS3Url": "https://bucket.s3.amazonaws.com/x#y"}, "fragment"),
        ({"AwsS3Url": "https://10.0.0.1/bucket"}, "DNS"),
        ({"AwsS3Url": "https://[fd00::1]/bucket"}, "DNS"),
        ({"AwsS3Url": "ftp://files.example.com/bucket"}, "https"),
        ({"AwsS3Url": "https://bucket.s3.amazonaws.com/../x"}, ".."),
        ({"AwsS3Url": "https://b\u00fccket.example.com/x"}, "ASCII"),
        ({"AwsCredentialsSid": "CR1"}, "AwsCredentialsSid"),
        ({"AwsCredentialsSid": "CR" + "0" * 32}, "not an AWS credential"),
        ({"AwsCredentialsSid": ""}, "AwsCredentialsSid"),
        ({"AwsStorageEnabled": "yes"}, "true or false"),
        ({"FriendlyName": "x" * 65}, "64"),
    ],
)
async def test_settings_that_make_no_sense_are_400_and_change_nothing(
    acme: Caller, path: str, credential: str, change: dict[str, str], word: str
) -> None:
    await acme.post(path, form(credential))
    before = (await acme.get(path)).json()
    answer = await acme.post(path, form(credential) | change)
    assert answer.status == 400, answer.body
    assert word in answer.json()["message"]
    assert "secret@" not in answer.json()["message"]
    assert (await acme.get(path)).json() == before


async def test_plain_http_is_refused_where_no_private_network_is_allowed(
    acme: Caller, path: str, credential: str, parts: Parts
) -> None:
    from dataclasses import replace

    parts.chosen = replace(parts.chosen, private_networks=())
    answer = await acme.post(path, form(credential) | {"AwsS3Url": "http://storage.example.com/bucket"})
    assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert "https" in answer.json()["message"]


@pytest.mark.parametrize(
    "change", [{"SseAlgorithm": "rot13"}, {"SseKmsKeyId": "x"}, {"KeyTemplate": "x"}, {"ExternalMedia": "x"}]
)
async def test_voices_own_fields_are_checked(acme: Caller, change: dict[str, str]) -> None:
    answer = await acme.post(f"{acme.own_path}/RecordingSettings/Voice", change)
    assert (answer.status, answer.json()["code"]) == (400, 20001)


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b'{"FriendlyName": {"a": 1}}', b"\xff", b"[" * 100_000])
async def test_json_that_is_no_object_of_values_is_400(acme: Caller, body: bytes) -> None:
    answer = await acme.send(
        "POST",
        f"{acme.own_path}/RecordingSettings/Voice",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status, answer.json()["code"]) == (400, 20001)


async def test_the_last_of_a_repeated_parameter_wins_and_the_body_over_the_query(acme: Caller) -> None:
    pairs: Any = [("FriendlyName", "one"), ("FriendlyName", "two"), ("Unknown", "x")]
    assert (await acme.post(f"{VIDEO}?FriendlyName=query", pairs)).json()["friendly_name"] == "two"


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, credential: str) -> None:
    path = f"{acme.own_path}/RecordingSettings/Voice"
    assert (await stranger.get(path)).status == (await stranger.post(path, {})).status == 404
    answer = await stranger.post(f"{stranger.own_path}/RecordingSettings/Voice", form(credential))
    assert answer.status == 400, "a foreign credential is no credential of this account"


async def test_write_once_is_chosen_and_cleared(acme: Caller, credential: str) -> None:
    voice = f"{acme.own_path}/RecordingSettings/Voice"
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockDays": "2555", "ObjectLockLegalHold": "true"}
    saved = (await acme.post(voice, form(credential, **lock))).json()
    assert (saved["object_lock_mode"], saved["object_lock_days"]) == ("COMPLIANCE", 2555)
    assert saved["object_lock_legal_hold"] is True
    cleared = (await acme.post(voice, {"ObjectLockMode": "", "ObjectLockDays": ""})).json()
    assert (cleared["object_lock_mode"], cleared["object_lock_days"]) == (None, None)
    assert cleared["object_lock_legal_hold"] is True


@pytest.mark.parametrize(
    "sent",
    [
        {"ObjectLockMode": "FOREVER", "ObjectLockDays": "1"},
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockDays": "30"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockDays": "0"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockDays": "36501"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockDays": "ten"},
        {"ObjectLockLegalHold": "perhaps"},
    ],
)
async def test_a_lock_that_makes_no_sense_is_refused_and_nothing_is_saved(acme: Caller, sent: dict[str, str]) -> None:
    voice = f"{acme.own_path}/RecordingSettings/Voice"
    assert (await acme.post(voice, sent)).status == 400
    told = (await acme.get(voice)).json()
    assert (told["object_lock_mode"], told["object_lock_days"], told["object_lock_legal_hold"]) == (None, None, False)
