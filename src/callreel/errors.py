"""Every error callreel raises, sorted by what to do next.

CallreelError
├─ Refused                     the caller's request is wrong: 4xx in Twilio's shape, nothing kept
│  ├─ InvalidParameter         a value that cannot be used
│  ├─ MissingParameter         a required value is not there
│  ├─ InvalidSid               not the shape of a SID
│  ├─ PageTooLarge             more rows a page than the surface gives
│  ├─ NotAuthenticated         no credential, or not one of ours
│  ├─ AccountNotActive         the account is suspended or closed
│  ├─ NotAllowed               signed in, but not entitled
│  ├─ NotFound                 no such thing for this caller
│  ├─ MethodNotAllowed         the thing exists, the verb does not
│  ├─ TooManyAttempts          failed sign-ins from here, or for this account, too often
│  ├─ TooManyRequests          more of one account's requests at once than the limit
│  ├─ IdempotencyConflict      a key used before with another request
│  ├─ StateConflict            not in the state this needs
│  ├─ SidTaken                 a recording of this SID was here before
│  ├─ NotConfirmed             it would delete, and the count to confirm it was not given
│  ├─ MigrationRunning         the source has a migration that is not over
│  ├─ ReceiptForged            the receipt is not what its key signed
│  ├─ LegalHold                a recording that nobody may delete now
│  ├─ CampaignExists           an active campaign has this name
│  ├─ RoomExists               a room in progress has this name
│  ├─ RoomNotFound             the room named in a parameter is none of this account
│  ├─ CompositionsUnavailable  compositions cannot be made, and why
│  ├─ RecordingNotFinished     only completed recordings can be deleted
│  ├─ CallNotInProgress        recording needs a live call
│  ├─ CallsNotPlaced           this installation places no calls
│  ├─ RecordingIsMono          two channels asked of one
│  ├─ RecordingIsEncrypted     MP3 asked of ciphertext
│  ├─ NotAudio                 the body is not audio callreel can keep
│  ├─ BodyTooLarge             more bytes than the limit
│  ├─ BodyEncoded              the body is compressed or of a type this resource does not take
│  ├─ BodyCutShort             fewer bytes than announced
│  ├─ RangeNotSatisfiable      asked for bytes behind the end
│  ├─ InvalidFriendlyName      not 1 to 64 characters
│  ├─ InvalidDestination       the bucket URL cannot be used
│  ├─ ForbiddenAddress         a URL leads where callreel must not call
│  ├─ InvalidAwsCredentials    not the shape of an access key
│  ├─ PublicKeyNotRsa · PublicKeyWrongLength · PublicKeyWrongExponent · PublicKeyUnreadable
│  └─ SettingsIncomplete       switched on without what it needs
├─ NotNow                      the outside stumbled: wait; doors say 503 or 507
│  ├─ BucketUnreachable        no answer, or not one of S3's
│  ├─ BucketStumbled           S3 answered, and it may work later
│  ├─ EvidenceMismatch         the bucket's answer contradicts the blob
│  ├─ TimeDistrusted           the wall clock jumped: nothing is destroyed because its time has come
│  ├─ SpoolFull                no room to promise anything
│  ├─ SpoolFailed              the disk refused a write
│  ├─ DatabaseAway             the ledger cannot be written
│  ├─ CallbackFailed           the receiver did not take the event
│  ├─ RenditionUnavailable     the disk of the rendition cache refused
│  ├─ SourceUnreachable        the source did not answer, or not in Twilio's words
│  │  └─ SourceRedirects       it sends callreel to another host, where callreel does not go
│  ├─ SourceStumbled           the source answered that it cannot now
│  ├─ SourceRateLimited        429: the source asks for a slower pace; uses up no try
│  ├─ MediaNotReady            the source still works on the recording
│  ├─ MediaMismatch            what came is not the media that was announced
│  ├─ MailFailed               the mail server did not take a receipt
│  └─ AddressBlocked           a name resolved to an address callreel must not call
├─ Final                       the outside said no and meant it: FATAL, policy, event
│  ├─ BucketRefused            S3 refused in its own words
│  ├─ CredentialMissing        the key to the bucket is gone
│  ├─ PublicKeyMissing         no key to encrypt with
│  ├─ SourceUnauthorized       the source does not accept the credential, or not for this
│  ├─ SourceRefused            the source refused in its own words
│  ├─ MediaGone                the source has no media of this recording and will have none
│  └─ EncryptionFailed         the key is there and does not work
├─ Outrun                      another worker was faster: stop quietly
├─ PromiseBroken               what we hold is not what we said: stop, keep everything, wake someone
│  ├─ BlobAltered              the spooled bytes are not those we hashed
│  ├─ BlobMissing              the spooled bytes are gone
│  ├─ SealBroken               a sealed secret does not open
│  └─ NameTaken                the spool would have to overwrite a recording
└─ Misconfigured               the installation cannot start like this
"""

from __future__ import annotations

import logging


class CallreelError(Exception):
    """Something went wrong."""

    level = logging.ERROR

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n")[0])

    @property
    def message(self) -> str:
        """One sentence for the person who has to act."""
        return str(self.args[0])


# --- Refused ---------------------------------------------------------------------------------------------------------


class Refused(CallreelError):
    """The request cannot be done as asked."""

    level = logging.INFO


class InvalidParameter(Refused):
    """A parameter has a value that cannot be used."""

    def __init__(self, message: str | None = None, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class MissingParameter(Refused):
    """A required parameter is missing."""

    def __init__(self, parameter: str) -> None:
        super().__init__(f"Missing required parameter {parameter} in the post body")
        self.parameter = parameter


class InvalidSid(Refused):
    """The SID is not two letters and 32 hexadecimal digits."""


class PageTooLarge(Refused):
    """The page size is larger than this list gives."""


class NotAuthenticated(Refused):
    """Authenticate"""


class AccountNotActive(Refused):
    """The account is not active."""


class NotAllowed(Refused):
    """This credential may not do that."""


class NotFound(Refused):
    """The requested resource was not found"""


class MethodNotAllowed(Refused):
    """The method is not allowed on this resource."""


class TooManyAttempts(Refused):
    """Too many failed sign-ins. Wait a minute before you try again."""

    def __init__(self, message: str | None = None, *, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequests(Refused):
    """Too Many Requests"""


class IdempotencyConflict(Refused):
    """This Idempotency-Key was used before with another request."""


class StateConflict(Refused):
    """The resource is not in a state that allows this."""


class SidTaken(Refused):
    """A recording of this SID was here before; a SID is never used again."""

    def __init__(self, sid: str) -> None:
        super().__init__(f"{sid} was a recording here before; a SID is never used again")


class NotConfirmed(Refused):
    """This would delete recordings at once; say how many to confirm it."""


class MigrationRunning(Refused):
    """A migration of this source is running or paused. Wait for it, resume it or cancel it first."""


class ReceiptForged(Refused):
    """The receipt was altered, or signed with another key."""


class LegalHold(Refused):
    """The recording is under a legal hold. Its owner has to lift it before anything can be deleted."""


class CampaignExists(Refused):
    """An active campaign of the account has this FriendlyName. Use it, or choose another name."""


class RoomExists(Refused):
    """A room in progress has this UniqueName. Complete it first, or choose another name."""


class RoomNotFound(Refused):
    """The room named in the request was not found."""


class CompositionsUnavailable(Refused):
    """Compositions cannot be made here."""


class RecordingNotFinished(Refused):
    """The recording cannot be deleted before it is complete."""


class CallNotInProgress(Refused):
    """Requested resource is not eligible for recording"""


class CallsNotPlaced(Refused):
    """Calls are not placed here. Place them with your phone platform and hand in the recordings."""


class RecordingIsMono(Refused):
    """The recording has one channel; ask for it with RequestedChannels=1."""


class RecordingIsEncrypted(Refused):
    """The recording is encrypted; ask for .wav and decrypt it with your private key."""


class NotAudio(Refused):
    """The body is not audio callreel can keep."""


class BodyTooLarge(Refused):
    """The body is larger than this installation accepts."""


class BodyEncoded(Refused):
    """The body is compressed or of another type than this resource takes."""


class BodyCutShort(Refused):
    """The body ended before its announced length. Nothing was kept; send it again."""


class RangeNotSatisfiable(Refused):
    """The requested range lies behind the end of the media."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes


class InvalidFriendlyName(Refused):
    """FriendlyName must be 1 to 64 characters."""


class InvalidDestination(Refused):
    """The bucket URL cannot be used."""


class ForbiddenAddress(Refused):
    """The URL leads to an address that callreel must not call."""


class InvalidAwsCredentials(Refused):
    """Credentials must be ACCESS_KEY_ID:SECRET_ACCESS_KEY in the shape the destination's provider uses."""


class PublicKeyNotRsa(Refused):
    """The public key is not an RSA key."""


class PublicKeyWrongLength(Refused):
    """The public key must have 2048, 3072 or 4096 bits."""


class PublicKeyWrongExponent(Refused):
    """The public key's exponent must be 65537."""


class PublicKeyUnreadable(Refused):
    """The public key is not an X.509 SubjectPublicKeyInfo in PEM."""


class SettingsIncomplete(Refused):
    """The settings are switched on without what they need."""


# --- NotNow ----------------------------------------------------------------------------------------------------------


class NotNow(CallreelError):
    """The outside stumbled; it may work later."""

    level = logging.WARNING


class BucketUnreachable(NotNow):
    """The bucket did not answer in S3's own words."""


class BucketStumbled(NotNow):
    """The bucket answered that it cannot store this now."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int = 0,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.status, self.request_id, self.retry_after_s = code, status, request_id, retry_after_s


class EvidenceMismatch(NotNow):
    """The bucket's answer contradicts the blob we sent."""

    def __init__(self, message: str | None = None, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class TimeDistrusted(NotNow):
    """The wall clock is distrusted. See `callreel clock show`; if it is right say so with `callreel clock confirm`."""


class SpoolFull(NotNow):
    """There is no room left for another recording. Free disk space, then send it again."""


class SpoolFailed(NotNow):
    """The disk refused the recording. Nothing was kept; send it again."""

    level = logging.ERROR


class DatabaseAway(NotNow):
    """The database cannot be written now. Nothing was acknowledged; try again."""

    level = logging.ERROR


class CallbackFailed(NotNow):
    """The callback's receiver did not take the event."""

    def __init__(
        self, message: str | None = None, *, twilio_code: int = 11200, policy: str = "all", retryable: bool = True
    ) -> None:
        super().__init__(message)
        self.twilio_code, self.policy, self.retryable = twilio_code, policy, retryable


class RenditionUnavailable(NotNow):
    """The rendition cannot be kept or read now; ask again, or ask for the recording as it came."""

    level = logging.ERROR


class SourceUnreachable(NotNow):
    """The source did not answer, or not in Twilio's words."""


class SourceRedirects(SourceUnreachable):
    """The source sends callreel to another host. Nothing is fetched from there; check the source's base URL."""


class SourceStumbled(NotNow):
    """The source answered that it cannot do this now."""

    def __init__(self, message: str | None = None, *, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class SourceRateLimited(NotNow):
    """The source asks for a slower pace."""

    level = logging.INFO

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MediaNotReady(NotNow):
    """The source still works on this recording; its media will be there later."""

    level = logging.INFO

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MediaMismatch(NotNow):
    """What the source sent is not the media it announced."""


class MailFailed(NotNow):
    """The mail server did not take the receipt."""


class AddressBlocked(NotNow):
    """The name resolved to an address that callreel must not call."""


# --- Final -----------------------------------------------------------------------------------------------------------


class Final(CallreelError):
    """The outside said no and meant it."""

    level = logging.WARNING


class BucketRefused(Final):
    """The bucket refused the upload and would refuse it again."""

    def __init__(self, code: str, message: str = "", *, status: int = 0, request_id: str | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.status, self.request_id = code, status, request_id


class CredentialMissing(Final):
    """The credential of the bucket no longer exists. Create one and save it in the recording settings."""


class PublicKeyMissing(Final):
    """The public key named in the settings no longer exists."""


class SourceUnauthorized(Final):
    """The source does not accept the credential. Check it: callreel sources check"""


class SourceRefused(Final):
    """The source refused, and would refuse it again."""

    def __init__(self, message: str | None = None, *, status: int = 0, code: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class MediaGone(Final):
    """The source has no media of this recording, and will have none."""


class EncryptionFailed(Final):
    """The recording could not be encrypted with the public key of the settings."""


# --- Outrun ----------------------------------------------------------------------------------------------------------


class Outrun(CallreelError):
    """Another worker moved this recording first."""

    level = logging.DEBUG

    def __init__(self, sid: str) -> None:
        super().__init__(f"{sid} was moved by somebody else")
        self.sid = sid


# --- PromiseBroken ---------------------------------------------------------------------------------------------------


class PromiseBroken(CallreelError):
    """What we hold is not what we said we hold."""

    level = logging.CRITICAL


class BlobAltered(PromiseBroken):
    """The spooled bytes are not the bytes that were acknowledged."""


class BlobMissing(PromiseBroken):
    """The spooled bytes of an acknowledged recording are gone."""


class SealBroken(PromiseBroken):
    """A sealed secret does not open. It was altered, moved to another row, or sealed under another master key."""


class NameTaken(PromiseBroken):
    """The spool already holds a recording of this name; it was not overwritten."""


# --- Misconfigured ---------------------------------------------------------------------------------------------------


class Misconfigured(CallreelError):
    """The installation cannot start like this."""
