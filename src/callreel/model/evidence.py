"""Is what the bucket answered proof that it holds the blob? A status line is not."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import StrEnum

from callreel.errors import EvidenceMismatch

_MD5_ETAG = re.compile(r"[0-9a-f]{32}", re.ASCII)


class VerifyMethod(StrEnum):
    """How it was proved, strongest first. `ACCEPTED` releases our own copy after a grace time and nothing else."""

    READ = "read"
    CHECKSUM = "checksum"
    MD5 = "md5"
    ACCEPTED = "accepted"

    @property
    def is_proof(self) -> bool:
        """Whether a source may be deleted on the strength of it."""
        return self is not VerifyMethod.ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a bucket said after storing, each value exactly as it came.

    `part_md5s_match` is None for a single put; for a multipart upload it says whether every part's ETag was
    the MD5 of the part. `checksum_sha256` is Base64 as S3 writes it, `None` where the server returns none;
    `checksum_is_composite` marks the checksum of checksums of a multipart upload, and then
    `expected_composite` is what it must be.
    """

    etag: str | None
    version_id: str | None = None
    request_id: str | None = None
    checksum_sha256: str | None = None
    checksum_is_composite: bool = False
    expected_composite: str | None = None
    part_md5s_match: bool | None = None
    sse_algorithm: str | None = None
    sse_kms_key_id: str | None = None
    etag_is_md5: bool = True
    read_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the ledger keeps of the proof."""

    method: VerifyMethod
    etag: str
    version_id: str | None
    request_id: str | None


def weigh(
    answer: Answer, *, sha256: str, md5: str, sse_asked: str | None = None, kms_key_asked: str | None = None
) -> Evidence:
    """Weigh an answer against the blob's digests (lower-case hex).

    A value that is there and different is a mismatch, whatever the others say. Encryption that was asked for
    must be echoed, and where the key is echoed too it must be the one that was asked for. Raises
    `EvidenceMismatch`, which is tried again and never counts as delivered.
    """
    etag = (answer.etag or "").strip('"').lower()
    if not etag and answer.part_md5s_match is None:
        raise _mismatch(answer, "the answer has no ETag")
    if sse_asked and answer.sse_algorithm != sse_asked:
        raise _mismatch(answer, f"encryption {sse_asked} was asked for and not confirmed")
    if kms_key_asked and answer.sse_kms_key_id and not is_same_key(kms_key_asked, answer.sse_kms_key_id):
        raise _mismatch(answer, "the object was encrypted with another KMS key than was asked for")
    method = VerifyMethod.ACCEPTED
    if answer.part_md5s_match is not None:
        if not answer.part_md5s_match and answer.etag_is_md5:
            raise _mismatch(answer, "a part's ETag is not the MD5 of the part")
        if answer.part_md5s_match:
            method = VerifyMethod.MD5
    elif answer.etag_is_md5 and _MD5_ETAG.fullmatch(etag):
        if etag != md5:
            raise _mismatch(answer, "the ETag is not the MD5 of what was sent")
        method = VerifyMethod.MD5
    if answer.checksum_sha256 is not None:
        expected = answer.expected_composite if answer.checksum_is_composite else _base64(sha256)
        if answer.checksum_sha256 != expected:
            raise _mismatch(answer, "the SHA-256 checksum is not that of what was sent")
        method = VerifyMethod.CHECKSUM
    if answer.read_sha256 is not None:
        if answer.read_sha256 != sha256:
            raise _mismatch(answer, "reading the object back gave other bytes")
        method = VerifyMethod.READ
    return Evidence(method=method, etag=etag, version_id=answer.version_id, request_id=answer.request_id)


def is_same_key(asked: str, echoed: str) -> bool:
    """Whether a bucket's echo may be the KMS key that was asked for.

    AWS echoes the key's ARN for a bare key id; what an alias stands for cannot be known, so any key may be it.
    """
    if asked == echoed or "alias/" in asked:
        return True
    return echoed.rpartition("/")[2] == asked or asked.rpartition("/")[2] == echoed


def _base64(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode()


def _mismatch(answer: Answer, why: str) -> EvidenceMismatch:
    return EvidenceMismatch(f"The bucket's answer does not prove the upload: {why}", request_id=answer.request_id)
