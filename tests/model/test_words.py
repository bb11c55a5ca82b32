"""SIDs, credentials, settings, retention and failure codes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callreel.errors import (
    BucketRefused,
    CredentialMissing,
    EncryptionFailed,
    Final,
    InvalidAwsCredentials,
    InvalidSid,
    PublicKeyMissing,
)
from callreel.model.credential import parse_access_key
from callreel.model.delivery_failure import error_code_of
from callreel.model.retention import Retention
from callreel.model.sid import is_sid, mint_sid, parse_sid
from callreel.model.storage_settings import ExternalMedia, FatalErrorPolicy, RecordingKind, StorageSettings
from tests.recordings import NOON

HEX = "0123456789abcdef" * 2


def test_a_minted_sid_is_one_and_never_the_same() -> None:
    assert is_sid("RE", mint_sid("RE"))
    assert len({mint_sid("RE") for _ in range(100)}) == 100


def test_upper_case_digits_are_the_same_sid() -> None:
    assert parse_sid("RE", "RE" + HEX.upper()) == "RE" + HEX


@pytest.mark.parametrize(
    "text",
    [
        "", "RE", "re" + HEX, "CA" + HEX, "RE" + HEX[:-1], "RE" + HEX + "0", "RE" + HEX[:-1] + "g", "RE" + HEX + "\n",
        "RE" + "٠" * 32, "RE" + "%2e" * 10 + "00", "RE../" + "a" * 29, "RE" + "\0" * 32, "R" * 10_000,
    ],
)  # fmt: skip
def test_everything_else_is_no_sid(text: str) -> None:
    assert not is_sid("RE", text)
    with pytest.raises(InvalidSid) as caught:
        parse_sid("RE", text)
    assert len(caught.value.message) < 200


@given(st.text())
def test_only_ascii_of_the_right_length_is_ever_a_sid(text: str) -> None:
    if is_sid(text[:2], text):
        assert text.isascii()
        assert len(text) == 34


# --- Credentials -----------------------------------------------------------------------------------------------------


def test_an_access_key_is_split_at_the_first_colon() -> None:
    key = parse_access_key(" AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n")
    assert key.key_id == "AKIAIOSFODNN7EXAMPLE"
    assert key.has_aws_shape
    assert parse_access_key("minio:with:colons").secret == "with:colons"


def test_another_providers_key_has_not_aws_shape() -> None:
    assert not parse_access_key("minioadmin:minioadmin").has_aws_shape
    assert not parse_access_key("A" * 20 + ":" + "a" * 39).has_aws_shape


def test_a_key_never_shows_itself() -> None:
    assert "secret" not in repr(parse_access_key("minio:secret-secret"))


@pytest.mark.parametrize("text", ["", ":", "minio", "mi:secret-secret", "minio:short", "mi nio:secret-secret",
                                  "minio:sec ret-secret", "minio:gehéim-gehéim", "minio:" + "x" * 257])  # fmt: skip
def test_what_is_no_access_key_is_refused_without_an_echo(text: str) -> None:
    with pytest.raises(InvalidAwsCredentials) as caught:
        parse_access_key(text)
    assert "ret-secret" not in caught.value.message


# --- Settings --------------------------------------------------------------------------------------------------------

SOME = StorageSettings(
    friendly_name="Main",
    aws_credentials_sid="CR" + HEX,
    encryption_key_sid="CR" + HEX,
    aws_s3_url="https://calls.s3.amazonaws.com/a",
    aws_storage_enabled=True,
    encryption_enabled=True,
    fatal_error_policy=FatalErrorPolicy.DELETE,
    aws_s3_region="eu-west-1",
    sse_algorithm="aws:kms",
    sse_kms_key_id="key",
    storage_class="STANDARD_IA",
    key_template="{recording_sid}",
    external_media=ExternalMedia.NOT_FOUND,
    aws_role_arn="arn",
    aws_external_id="id",
)


@pytest.mark.parametrize("settings", [StorageSettings(), SOME, SOME.changed(aws_storage_enabled=False)])
def test_a_snapshot_is_plain_json_and_reads_back_the_same(settings: StorageSettings) -> None:
    again = StorageSettings.from_json(json.loads(json.dumps(settings.as_json())))
    assert again == settings
    assert type(again.fatal_error_policy) is FatalErrorPolicy
    assert type(again.external_media) is ExternalMedia


def test_a_snapshot_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert StorageSettings.from_json({"aws_storage_enabled": True, "invented_later": 1}).aws_storage_enabled


# --- Retention and failures ------------------------------------------------------------------------------------------


def test_voice_is_kept_forty_days_and_video_thirty() -> None:
    retention = Retention()
    assert retention.purge_after(NOON, kind=RecordingKind.VOICE) - NOON == timedelta(days=40)
    assert retention.purge_after(NOON, kind=RecordingKind.VIDEO) - NOON == timedelta(days=30)


@pytest.mark.parametrize(
    ("why", "code"),
    [
        (EncryptionFailed(), 16104),
        (PublicKeyMissing(), 16105),
        (CredentialMissing(), 16111),
        (BucketRefused("NoSuchBucket"), 16111),
        (BucketRefused("InvalidAccessKeyId"), 16111),
        (BucketRefused("AccessDenied"), 16112),
        (BucketRefused("AllAccessDisabled"), 16112),
        (BucketRefused("KMS.AccessDeniedException"), 16112),
    ],
)
def test_each_final_failure_has_twilios_code(why: Final, code: int) -> None:
    assert error_code_of(why) == code
