"""The receipt of a moved recording: canonical JSON, signed with the installation's key, checked by anybody offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from callreel.errors import ReceiptForged
from callreel.model.moved_item import MovedItem
from callreel.model.receipt import Receipt
from callreel.model.recording import Recording
from callreel.sealing.receipt_key import ReceiptKey, verify_signature

VERSION = 1


def write_receipt(item: MovedItem, recording: Recording, *, key: ReceiptKey, now: datetime) -> Receipt:
    """What can be said of the recording now: where it lies, how that was proved, and whether the original is gone.

    Sizes in bytes, digests in lower-case hex, times in UTC with microseconds. `deleted_at` is when the source
    confirmed the deletion, null while the original is still there.
    """
    facts = {
        "version": VERSION,
        "recording_sid": item.recording_sid,
        "account_sid": item.account_sid,
        "source_sid": item.source_sid,
        "source_account_sid": item.origin.account_sid,
        "source_recording_sid": item.source_recording_sid,
        "call_sid": item.origin.call_sid,
        "size_bytes": item.media_size_bytes,
        "sha256": item.media_sha256,
        "blob_size_bytes": recording.blob_size_bytes,
        "blob_sha256": recording.blob_sha256,
        "encrypted_at_source": item.origin.encryption_details is not None,
        "bucket": recording.bucket,
        "object_key": recording.object_key,
        "object_url": recording.object_url,
        "etag": recording.etag,
        "version_id": recording.version_id,
        "verify_method": recording.verify_method,
        "verified_at": _moment(recording.verified_at),
        "fetched_at": _moment(item.fetched_at),
        "intent_at": _moment(item.intent_at),
        "deleted_at": _moment(item.delete_confirmed_at),
        "kept_because": item.reason if item.delete_confirmed_at is None else None,
        "issued_at": _moment(now),
        "key_id": key.id,
    }
    document = canonical(facts)
    return Receipt(
        recording_sid=item.recording_sid,
        account_sid=item.account_sid,
        source_sid=item.source_sid,
        document=document,
        signature=key.sign(document),
        key_id=key.id,
        date_created=now,
    )


def canonical(facts: Mapping[str, Any]) -> str:
    """JSON in one way only: names sorted, no spaces, nothing escaped that need not be."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def verify_receipt(receipt: Mapping[str, Any], public_pem: bytes) -> dict[str, Any]:
    """Check a receipt as a report gives it (`document` and `signature`); returns what it says.

    Raises `ReceiptForged` when it was altered or signed by another key, `InvalidParameter` for an unusable key.
    """
    document, signature = receipt.get("document"), receipt.get("signature")
    if not isinstance(document, str) or not isinstance(signature, str):
        raise ReceiptForged("This is no receipt: it has no document and signature")
    key_id = verify_signature(document, signature, public_pem)
    facts: dict[str, Any] = json.loads(document)
    if facts.get("key_id") != key_id:
        raise ReceiptForged("The receipt names another key than the one that signed it")
    return facts


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
