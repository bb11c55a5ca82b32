"""Twilio's Debugger codes for video recordings that do not reach the bucket of their settings.

Until the settings are fixed the media is held: a held recording is still `processing`, and only these tell why.
"""

from __future__ import annotations

from callreel.errors import (
    BucketRefused,
    CredentialMissing,
    EncryptionFailed,
    Final,
    InvalidDestination,
    PublicKeyMissing,
)

INVALID_CALLBACK_URL = 53662
UPLOAD_TROUBLE = 53604  # another attempt follows after a delay
BAD_URL = 53610
BAD_CREDENTIALS = 53611
BAD_KEY = 53612
CREDENTIAL_GONE = 53613
KEY_GONE = 53614
ACCESS_DENIED = 53615

VIDEO_CODES = frozenset({UPLOAD_TROUBLE, BAD_URL, BAD_CREDENTIALS, BAD_KEY, CREDENTIAL_GONE, KEY_GONE, ACCESS_DENIED})

_NO_SUCH_PLACE = {"NoSuchBucket", "InvalidBucketName"}
_NOT_A_CREDENTIAL = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"}


def video_code_of(why: Final | InvalidDestination) -> int:
    """The code of the alert that says why a video recording is held."""
    if isinstance(why, InvalidDestination):
        return BAD_URL
    if isinstance(why, CredentialMissing):
        return CREDENTIAL_GONE
    if isinstance(why, PublicKeyMissing):
        return KEY_GONE
    if isinstance(why, EncryptionFailed):
        return BAD_KEY
    if isinstance(why, BucketRefused):
        if why.code in _NO_SUCH_PLACE:
            return BAD_URL
        if why.code in _NOT_A_CREDENTIAL:
            return BAD_CREDENTIALS
    return ACCESS_DENIED
