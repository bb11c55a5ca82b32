"""Our errors in Twilio's words: one table from error class to HTTP status and Twilio's code, and both bodies."""

from __future__ import annotations

import json
from dataclasses import dataclass

from callreel import errors as e
from callreel.web.twilio_xml import to_xml

MORE_INFO = "https://www.twilio.com/docs/errors/"


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller is told: the HTTP status, Twilio's code, and seconds to wait where waiting helps."""

    status: int
    code: int
    retry_after_s: int | None = None


TABLE: dict[type[e.CallreelError], Told] = {
    e.CallreelError: Told(500, 20500),
    e.Refused: Told(400, 20001),
    e.InvalidParameter: Told(400, 20001),
    e.MissingParameter: Told(400, 20001),
    e.InvalidSid: Told(400, 20001),
    e.PageTooLarge: Told(400, 20007),
    e.NotAuthenticated: Told(401, 20003),
    e.AccountNotActive: Told(401, 20005),
    e.NotAllowed: Told(403, 20006),
    e.NotFound: Told(404, 20404),
    e.MethodNotAllowed: Told(405, 20004),
    e.TooManyAttempts: Told(429, 20429, 60),
    e.TooManyRequests: Told(429, 20429, 1),
    e.IdempotencyConflict: Told(409, 20409),
    e.StateConflict: Told(409, 20409),
    e.SidTaken: Told(409, 20409),
    e.NotConfirmed: Told(409, 20409),
    e.MigrationRunning: Told(409, 20409),
    e.ReceiptForged: Told(400, 20001),
    e.LegalHold: Told(409, 20409),
    e.CampaignExists: Told(409, 20409),
    e.RoomExists: Told(400, 53113),
    e.RoomNotFound: Told(404, 53106),
    e.CompositionsUnavailable: Told(409, 20409),
    e.RecordingNotFinished: Told(409, 20009),
    e.CallNotInProgress: Told(400, 21220),
    e.CallsNotPlaced: Told(403, 20403),
    e.RecordingIsMono: Told(400, 16113),
    e.RecordingIsEncrypted: Told(400, 16109),
    e.NotAudio: Told(400, 20001),
    e.BodyTooLarge: Told(413, 20001),
    e.BodyEncoded: Told(415, 20001),
    e.BodyCutShort: Told(400, 20001),
    e.RangeNotSatisfiable: Told(416, 20001),
    e.InvalidFriendlyName: Told(400, 20002),
    e.InvalidDestination: Told(400, 20001),
    e.ForbiddenAddress: Told(400, 20001),
    e.InvalidAwsCredentials: Told(400, 70106),
    e.PublicKeyNotRsa: Told(400, 70101),
    e.PublicKeyWrongLength: Told(400, 70102),
    e.PublicKeyWrongExponent: Told(400, 70103),
    e.PublicKeyUnreadable: Told(400, 70104),
    e.SettingsIncomplete: Told(400, 20001),
    e.NotNow: Told(503, 20503, 5),
    e.BucketUnreachable: Told(503, 20503, 5),
    e.BucketStumbled: Told(503, 20503, 5),
    e.EvidenceMismatch: Told(503, 20503, 5),
    e.RenditionUnavailable: Told(503, 20503, 5),
    e.TimeDistrusted: Told(503, 20503, 600),
    e.SpoolFull: Told(507, 20503, 60),
    e.SpoolFailed: Told(503, 20503, 5),
    e.DatabaseAway: Told(503, 20503, 5),
    e.CallbackFailed: Told(503, 20503, 5),
    e.MailFailed: Told(503, 20503, 5),
    e.AddressBlocked: Told(503, 20503, 5),
    e.SourceUnreachable: Told(503, 20503, 5),
    e.SourceRedirects: Told(503, 20503, 60),
    e.SourceStumbled: Told(503, 20503, 5),
    e.SourceRateLimited: Told(503, 20503, 5),
    e.MediaNotReady: Told(503, 20503, 60),
    e.MediaMismatch: Told(503, 20503, 5),
    e.Final: Told(409, 20409),
    e.BucketRefused: Told(409, 20409),
    e.CredentialMissing: Told(409, 20409),
    e.PublicKeyMissing: Told(409, 20409),
    e.SourceUnauthorized: Told(409, 20409),
    e.SourceRefused: Told(409, 20409),
    e.MediaGone: Told(409, 20409),
    e.EncryptionFailed: Told(409, 20409),
    e.Outrun: Told(409, 20409),
    e.PromiseBroken: Told(500, 20500),
    e.BlobAltered: Told(500, 20500),
    e.BlobMissing: Told(500, 20500),
    e.SealBroken: Told(500, 20500),
    e.NameTaken: Told(500, 20500),
    e.Misconfigured: Told(500, 20500),
}


def told_of(why: e.CallreelError) -> Told:
    """What the caller is told of this error; a class that is missing in the table is told as its parent is."""
    for kind in type(why).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    raise AssertionError("the table has a line for CallreelError")


def error_body(told: Told, message: str, *, as_xml: bool) -> tuple[bytes, str]:
    """Twilio's error body and its content type."""
    if as_xml:
        facts = {"code": told.code, "message": message, "more_info": more_info(told.code), "status": told.status}
        return to_xml({"RestException": facts}), "application/xml"
    body = {"code": told.code, "message": message, "more_info": more_info(told.code), "status": told.status}
    return json.dumps(body).encode(), "application/json"


def more_info(code: int) -> str:
    """The page of Twilio's error dictionary."""
    return f"{MORE_INFO}{code}"


def shown_path(raw_path: str) -> str:
    """The path as Twilio's 404 names it: percent-encoded, bounded, and without the version on the v1 hosts."""
    return raw_path.removeprefix("/v1")[:1000]
