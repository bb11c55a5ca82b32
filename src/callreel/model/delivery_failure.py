"""Twilio's error codes for recordings that were not stored where their owner wanted them.

16107 is not among them: it tells of a recording encrypted with another key than the one chosen, which callreel
never does.
"""

from __future__ import annotations

from callreel.errors import BucketRefused, EncryptionFailed, Final, PublicKeyMissing

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
