"""Credentials: the shape of an access key, and what may be shown of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callreel.errors import InvalidAwsCredentials
from callreel.model.sid import AccountSid, CredentialSid

# Twilio's own patterns (error 70106).
_AWS_KEY_ID = re.compile(r"[A-Z0-9]{20}", re.ASCII)
_AWS_SECRET = re.compile(r"[A-Za-z0-9/+=]{40}", re.ASCII)
# MinIO asks for 3 and 8 characters at least; Ceph, R2, B2 and Wasabi use letters, digits and a few signs.
_OTHER_KEY_ID = re.compile(r"[\x21-\x39\x3b-\x7e]{3,128}", re.ASCII)
_OTHER_SECRET = re.compile(r"[\x21-\x7e]{8,256}", re.ASCII)


class CredentialKind(StrEnum):
    """Both kinds share the prefix CR; the surface tells them apart by path."""

    AWS = "aws"
    PUBLIC_KEY = "public-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What everybody may see of a credential. The secret stays sealed in the ledger."""

    sid: CredentialSid
    account_sid: AccountSid
    kind: CredentialKind
    friendly_name: str
    date_created: datetime
    date_updated: datetime
    has_aws_shape: bool


@dataclass(frozen=True, slots=True, repr=False)
class AccessKey:
    """A key id and its secret. Its repr shows neither."""

    key_id: str
    secret: str

    @property
    def has_aws_shape(self) -> bool:
        """Whether AWS could have issued it: 20 characters and 40."""
        return bool(_AWS_KEY_ID.fullmatch(self.key_id) and _AWS_SECRET.fullmatch(self.secret))

    def __repr__(self) -> str:
        return "AccessKey(…)"


@dataclass(frozen=True, slots=True, repr=False)
class SessionKey:
    """An access key that works only together with its token, and, where `expires_at` is given, only until then."""

    access_key: AccessKey
    token: str | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"SessionKey(expires_at={self.expires_at})"


def parse_access_key(text: str) -> AccessKey:
    """Split `KEY_ID:SECRET` at the first colon.

    Keys of S3-compatible providers are accepted here; whether the destination is AWS, and so asks for AWS's
    shape, is known when the settings are saved. Raises `InvalidAwsCredentials`.
    """
    key_id, colon, secret = text.strip().partition(":")
    if not colon or not _OTHER_KEY_ID.fullmatch(key_id) or not _OTHER_SECRET.fullmatch(secret):
        raise InvalidAwsCredentials()
    return AccessKey(key_id, secret)
