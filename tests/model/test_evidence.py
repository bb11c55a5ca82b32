"""What proves that a bucket holds a blob, and what proves the opposite."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from callreel.errors import EvidenceMismatch
from callreel.model.evidence import Answer, Evidence, VerifyMethod, weigh

BLOB = b"RIFF....WAVE"
SHA256, MD5 = hashlib.sha256(BLOB).hexdigest(), hashlib.md5(BLOB).hexdigest()
CHECKSUM = base64.b64encode(hashlib.sha256(BLOB).digest()).decode()
OTHER_CHECKSUM = base64.b64encode(hashlib.sha256(b"other").digest()).decode()


def weighed(*, sse_asked: str | None = None, **answer: Any) -> Evidence:
    return weigh(Answer(**answer), sha256=SHA256, md5=MD5, sse_asked=sse_asked)


def test_a_checksum_proves() -> None:
    evidence = weighed(etag=f'"{MD5}"', checksum_sha256=CHECKSUM, version_id="v1", request_id="R1")
    assert evidence == Evidence(method=VerifyMethod.CHECKSUM, etag=MD5, version_id="v1", request_id="R1")


def test_an_md5_etag_proves_in_either_case() -> None:
    assert weighed(etag=f'"{MD5}"').method is VerifyMethod.MD5
    assert weighed(etag=f'"{MD5.upper()}"').method is VerifyMethod.MD5


def test_reading_back_is_the_strongest_proof() -> None:
    assert weighed(etag=f'"{MD5}"', checksum_sha256=CHECKSUM, read_sha256=SHA256).method is VerifyMethod.READ


@pytest.mark.parametrize("etag", ['"abc"', '"0123-2"', f'"{MD5}-1"'])
def test_an_etag_that_is_no_md5_is_only_acceptance(etag: str) -> None:
    assert weighed(etag=etag).method is VerifyMethod.ACCEPTED


def test_an_etag_under_a_customers_key_is_only_acceptance() -> None:
    assert weighed(etag=f'"{"0" * 32}"', etag_is_md5=False).method is VerifyMethod.ACCEPTED


def test_acceptance_is_no_proof_and_everything_else_is() -> None:
    assert [m for m in VerifyMethod if not m.is_proof] == [VerifyMethod.ACCEPTED]


@pytest.mark.parametrize(
    "answer",
    [
        {"etag": None},
        {"etag": ""},
        {"etag": '""'},
        {"etag": f'"{"0" * 32}"'},
        {"etag": f'"{MD5}"', "checksum_sha256": OTHER_CHECKSUM},
        {"etag": f'"{MD5}"', "checksum_sha256": ""},
        {"etag": f'"{MD5}"', "read_sha256": "0" * 64},
        {"etag": f'"{"0" * 32}"', "checksum_sha256": CHECKSUM},
        {"etag": None, "checksum_sha256": CHECKSUM},
        {"etag": '"x-2"', "part_md5s_match": False},
        {"etag": '"x-2"', "part_md5s_match": True, "checksum_sha256": CHECKSUM, "checksum_is_composite": True},
        {
            "etag": '"x-2"',
            "part_md5s_match": True,
            "checksum_sha256": "a-2",
            "checksum_is_composite": True,
            "expected_composite": "b-2",
        },
    ],
)
def test_a_value_that_is_there_and_different_is_a_mismatch_whatever_the_others_say(answer: dict[str, Any]) -> None:
    with pytest.raises(EvidenceMismatch) as caught:
        weighed(request_id="R9", **answer)
    assert caught.value.request_id == "R9"


def test_parts_whose_etags_are_their_md5s_prove() -> None:
    assert weighed(etag='"x-2"', part_md5s_match=True).method is VerifyMethod.MD5
    assert weighed(etag="", part_md5s_match=True).method is VerifyMethod.MD5  # Ceph's Complete has an empty ETag


def test_parts_whose_etags_are_no_md5s_are_only_acceptance() -> None:
    assert weighed(etag='"x-2"', part_md5s_match=False, etag_is_md5=False).method is VerifyMethod.ACCEPTED


def test_the_composite_checksum_of_parts_proves() -> None:
    evidence = weighed(
        etag='"x-2"',
        part_md5s_match=True,
        checksum_sha256="a-2",
        checksum_is_composite=True,
        expected_composite="a-2",
    )
    assert evidence.method is VerifyMethod.CHECKSUM


@pytest.mark.parametrize(("asked", "said"), [("AES256", None), ("aws:kms", "AES256"), ("AES256", "aws:kms")])
def test_encryption_that_was_asked_for_must_be_confirmed(asked: str, said: str | None) -> None:
    with pytest.raises(EvidenceMismatch, match=asked):
        weighed(etag=f'"{MD5}"', checksum_sha256=CHECKSUM, sse_algorithm=said, sse_asked=asked)


def test_encryption_that_was_confirmed_or_not_asked_for_is_no_obstacle() -> None:
    assert weighed(etag=f'"{MD5}"', sse_algorithm="AES256", sse_asked="AES256").method is VerifyMethod.MD5
    assert weighed(etag=f'"{MD5}"', sse_algorithm="AES256").method is VerifyMethod.MD5
