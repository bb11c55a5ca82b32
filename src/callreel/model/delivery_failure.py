"""Twilio's error codes for recordings that were not stored where their owner wanted them.

16107 is not among them: it tells of a recording encrypted with another key than the one chosen, which callreel
never does.
"""

from __future__ import annotations

from callreel.errors import BucketRefused, EncryptionFailed, Final, InvalidDestination, PublicKeyMissing
from callreel.model.storage_settings import RecordingKind
from callreel.model.video_failure import UPLOAD_TROUBLE, VIDEO_CODES, video_code_of

TOO_SHORT = 16101
ENCRYPTION_FAILED = 16104
NO_PUBLIC_KEY = 16105
ENCRYPTION_INTERNAL = 16106  # ours to mend: the stored public key does not open
BAD_CONFIGURATION = 16111
ACCESS_DENIED = 16112

_DENIED = {"AccessDenied", "AllAccessDisabled", "KMS.AccessDeniedException", "MethodNotAllowed", "EntityTooLarge"}


def error_code_of(why: Final) -> int:
    """What a recording's `error_code` and its callback's `ErrorCode` say about a final failure."""
    if isinstance(why, PublicKeyMissing):
        return NO_PUBLIC_KEY
    if isinstance(why, EncryptionFailed):
        return ENCRYPTION_FAILED
    if isinstance(why, BucketRefused) and why.code in _DENIED:
        return ACCESS_DENIED
    return BAD_CONFIGURATION


def refusal_code(why: Final | InvalidDestination, *, kind: RecordingKind) -> int:
    """The code of a final failure of a recording of this kind."""
    if kind is RecordingKind.VIDEO:
        return video_code_of(why)
    return error_code_of(why) if isinstance(why, Final) else BAD_CONFIGURATION


def parking_code(kind: RecordingKind) -> int:
    """The code of a recording of this kind that was tried for the whole window."""
    return UPLOAD_TROUBLE if kind is RecordingKind.VIDEO else BAD_CONFIGURATION


def level_of(code: int) -> str:
    """How Twilio grades the alert of a failed delivery: video's are warnings, since its media is held."""
    return "warning" if code in VIDEO_CODES else "error"
