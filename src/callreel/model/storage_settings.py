"""What an account chose for its recordings, and the snapshot of it that each recording keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self


class RecordingKind(StrEnum):
    """Voice and video have settings, retention and SIDs of their own; compositions have settings only."""

    VOICE = "voice"
    VIDEO = "video"
    COMPOSITION = "composition"


class FatalErrorPolicy(StrEnum):
    """What happens to the media when the bucket refuses for good."""

    HOLD = "hold"  # kept in the spool until its owner restarts it
    DELETE = "delete"  # erased at once, as Twilio voice documents


class ExternalMedia(StrEnum):
    """What a media URL answers for a recording that lies in the customer's bucket."""

    REDIRECT = "redirect"  # 302 to a signed URL
    NOT_FOUND = "not-found"  # Twilio's own answer


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """An account's recording settings of one kind. Twilio's field names in snake case, then callreel's own."""

    friendly_name: str | None = None
    aws_credentials_sid: str | None = None
    encryption_key_sid: str | None = None
    aws_s3_url: str | None = None
    aws_storage_enabled: bool = False
    encryption_enabled: bool = False
    fatal_error_policy: FatalErrorPolicy = FatalErrorPolicy.HOLD
    aws_s3_region: str | None = None
    sse_algorithm: str | None = None
    sse_kms_key_id: str | None = None
    storage_class: str | None = None
    key_template: str | None = None
    external_media: ExternalMedia = ExternalMedia.REDIRECT
    aws_role_arn: str | None = None
    aws_external_id: str | None = None
    object_lock_mode: str | None = None
    object_lock_days: int | None = None
    object_lock_legal_hold: bool = False

    def as_json(self) -> dict[str, Any]:
        """The snapshot a recording keeps: plain values, nothing secret."""
        return {k: v for k, v in asdict(self).items() if v is not None and v is not False}

    @classmethod
    def from_json(cls, snapshot: Mapping[str, Any]) -> Self:
        """Read a snapshot back; fields of later versions are ignored."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {k: v for k, v in snapshot.items() if k in known}
        if "fatal_error_policy" in values:
            values["fatal_error_policy"] = FatalErrorPolicy(values["fatal_error_policy"])
        if "external_media" in values:
            values["external_media"] = ExternalMedia(values["external_media"])
        return cls(**values)

    def fit_for(self, kind: RecordingKind) -> Self:
        """The same settings as this kind may have them: only voice media may be erased on a fatal error."""
        if kind is RecordingKind.VOICE:
            return self
        return replace(self, fatal_error_policy=FatalErrorPolicy.HOLD)

    def changed(self, **values: Any) -> Self:
        """The same settings with these values in place of the old ones."""
        return replace(self, **values)
