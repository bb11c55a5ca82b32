"""Try a destination as a delivery, a player and a deletion would, and name what is missing.

It writes one small object, and removes it where it may. It never locks it: what is locked could not be removed. Each
check stands by itself in the answer; what an earlier one makes pointless is skipped and says why.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import aiohttp

from callreel.bucket.bucket import PutOptions
from callreel.bucket.cors import lets_play, with_rule_for
from callreel.bucket.documents import NotADocument, read_document
from callreel.bucket.s3 import S3Bucket
from callreel.bucket.wire import Reply
from callreel.clock import Clock
from callreel.errors import (
    AddressBlocked,
    BucketRefused,
    BucketStumbled,
    BucketUnreachable,
    CallreelError,
    EvidenceMismatch,
)
from callreel.model.destination import Destination
from callreel.model.evidence import Answer, weigh

CHECK_S = 20.0  # the longest one check may take: longer than a connection may take to come about
SKEW_S = 900.0  # S3 refuses signatures that are 15 minutes off
SKEW_WARNING_S = 60.0
KEYS_WRONG = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired"}
)
LACKED = frozenset({"NotImplemented", "Http501", "Http405", "MethodNotAllowed", "XNotImplemented"})


class Outcome(StrEnum):
    """How a check went. A warning is something that will be missed; only `failed` stops deliveries."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the result: what was found, and what to do about it (empty when there is nothing to do)."""

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


NAMES = (
    "reach",
    "tls",
    "clock",
    "region",
    "credentials",
    "put",
    "multipart",
    "read",
    "delete",
    "cors",
    "encryption",
    "versioning",
    "object-lock",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is tried: the destination as it was given, how objects would be kept, and the origin pages come from."""

    destination: Destination
    options: PutOptions
    wants_lock: bool
    origin: str
    configure_cors: bool


def nothing_but(name: str, detail: str, remedy: str) -> list[Check]:
    """The result when one thing is wrong before anything can be tried."""
    failed = Check(name, Outcome.FAILED, detail, remedy)
    return [failed if n == name else Check(n, Outcome.SKIPPED, f"not tried, since {name} failed") for n in NAMES]


async def examine(bucket: S3Bucket, wanted: Wanted, *, clock: Clock, check_s: float = CHECK_S) -> list[Check]:
    """Every check, in order of `NAMES`. Raises nothing: whatever goes wrong is a result."""
    return await _Doctor(bucket, wanted, clock, check_s).examine()


@dataclass
class _Doctor:
    bucket: S3Bucket
    wanted: Wanted
    clock: Clock
    check_s: float
    found: dict[str, Check] = field(default_factory=dict)
    stored: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = f"callreel-test-{secrets.token_hex(8)}.txt"
        self.key = "/".join(part for part in (self.wanted.destination.prefix, name) if part)
        self.blob = _TestBlob(f"A test of callreel, safe to delete. {secrets.token_hex(16)}\n".encode())

    async def examine(self) -> list[Check]:
        if await self._contact():
            await self._within("put", self._put)
            if self.found["put"].outcome is Outcome.PASSED:
                await self._within("multipart", self._multipart)
                await self._within("read", self._read)
            try:
                await self._within("cors", self._cors)
                if self.wanted.wants_lock:
                    await self._within("versioning", self._versioning)
                    await self._within("object-lock", self._object_lock)
            finally:
                if self.stored:  # last, so that nothing is left behind whatever the others found
                    await self._within("delete", self._delete)
        first = next((check.name for check in self.found.values() if check.outcome is Outcome.FAILED), None)
        return [self.found.get(name) or self._skipped(name, first) for name in NAMES]

    # --- Contact -----------------------------------------------------------------------------------------------------

    async def _contact(self) -> bool:
        """The first question, whose answer tells of five things. False when there is no going on."""
        try:
            async with asyncio.timeout(self.check_s):
                reply = await self.bucket.probe(self.key)
        except (BucketUnreachable, AddressBlocked, TimeoutError) as why:
            self._unreachable(why)
            return False
        secured = self.wanted.destination.scheme == "https"
        self._pass("tls", "The certificate is good" if secured else "Plain http, inside an allowed private network")
        if not secured:
            self._warn("tls", "Plain http: nothing is encrypted on the way", "Use https, also inside your own network")
        code, message = _code_of(reply)
        if not code and not reply.is_success:
            where = f"{self.wanted.destination.host} answered with status {reply.status}, and not in S3's words"
            return self._fail("reach", where, "Check that the URL is the S3 endpoint itself, not a web page or a proxy")
        self._look_at_clock(reply, code)
        self._look_at_region(code)
        if code in KEYS_WRONG:
            self._pass("reach", f"{self.wanted.destination.host} answered")
            return self._fail("credentials", f"{code}: {message}", _KEY_REMEDY[code])
        if code == "NoSuchBucket":
            where = f"{self.wanted.destination.host} answered, and has no bucket {self.wanted.destination.bucket}"
            return self._fail("reach", where, "Create the bucket, or correct its name or region in AwsS3Url")
        self._pass("reach", f"{self.wanted.destination.host} answered")
        self._pass("credentials", "The key was accepted")
        return not any(check.outcome is Outcome.FAILED for check in self.found.values())

    def _unreachable(self, why: Exception) -> None:
        host = self.wanted.destination.host
        if isinstance(why, AddressBlocked):
            remedy = "Use a public address, or have the operator add its network to ALLOWED_PRIVATE_NETWORKS"
            self._fail("reach", why.message, remedy)
        elif isinstance(why.__cause__, aiohttp.ClientSSLError):
            self._pass("reach", f"{host} takes connections")
            self._fail(
                "tls",
                f"{host}: {getattr(why, 'message', why)}",
                "Give the endpoint a certificate of a known authority for exactly this host name. If it speaks plain "
                "http, write http:// and have the operator allow its network",
            )
        elif isinstance(why, TimeoutError):
            self._fail("reach", f"{host} did not answer within {self.check_s:g} s", _FIREWALL)
        else:
            self._fail("reach", f"{host}: {getattr(why, 'message', why)}", _FIREWALL)

    def _look_at_clock(self, reply: Reply, code: str) -> None:
        off_s = _skew(reply, self.clock.now())
        if code == "RequestTimeTooSkewed" or (off_s is not None and abs(off_s) > SKEW_S):
            off = "more than 15 minutes" if off_s is None else f"{abs(off_s):.0f} s"
            self._fail("clock", f"This machine's clock and the bucket's differ by {off}", "Set the clock by NTP")
        elif off_s is None:
            self._skip("clock", "The answer carries no date")
        elif abs(off_s) > SKEW_WARNING_S:
            self._warn(
                "clock", f"The clocks differ by {abs(off_s):.0f} s; S3 refuses from 900 s", "Set the clock by NTP"
            )
        else:
            self._pass("clock", f"The clocks differ by {abs(off_s):.0f} s")

    def _look_at_region(self, code: str) -> None:
        given, actual = self.wanted.destination.region, self.bucket.destination.region
        if code in ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"):
            self._fail(
                "region", f"The bucket is not in {given}, and did not say where", "Set AwsS3Region to its region"
            )
        elif actual != given:
            detail = f"The bucket is in {actual}; requests were signed for {given}, and are sent twice"
            self._warn("region", detail, f"Save AwsS3Region={actual}")
        else:
            self._pass("region", f"Requests for {given} are accepted")

    # --- The object --------------------------------------------------------------------------------------------------

    async def _put(self) -> Check:
        try:
            answer = await self.bucket.put(self.key, self.blob, self.wanted.options)
        except BucketRefused as why:
            if why.code.startswith("KMS."):
                self.found["encryption"] = _kms(why)
            return Check("put", Outcome.FAILED, why.message, self._put_remedy(why.code))
        self.stored.append(answer.version_id)
        self.found["encryption"] = self._look_at_encryption(answer)
        try:
            evidence = weigh(answer, sha256=self.blob.sha256, md5=self.blob.md5, sse_asked=None, kms_key_asked=None)
        except EvidenceMismatch as why:
            return Check("put", Outcome.FAILED, why.message, "The provider stores something else than it is sent")
        return Check("put", Outcome.PASSED, f"Stored as {self.key}; the bucket's evidence: {evidence.method}")

    async def _multipart(self) -> Check:
        upload_id = await self.bucket.begin_upload(self.key, self.wanted.options)
        answer = await self.bucket.finish_upload(self.key, upload_id, self.blob, self.wanted.options)
        self.stored.append(answer.version_id)
        left = await self.bucket.begin_upload(self.key, self.wanted.options)
        try:
            await self.bucket.abort_upload(self.key, left)
        except BucketRefused as why:
            detail = f"Large recordings can be stored, broken uploads cannot be cleared away: {why.message}"
            return Check("multipart", Outcome.WARNING, detail, self._allow("s3:AbortMultipartUpload"))
        return Check("multipart", Outcome.PASSED, "A recording in parts was stored, and an upload aborted")

    async def _read(self) -> Check:
        read = b"".join([piece async for piece in self.bucket.read(self.key)])
        if read != await asyncio.to_thread(self.blob.read, 0, self.blob.size_bytes):
            return Check("read", Outcome.FAILED, "What was read is not what was stored", "Do not use this destination")
        return Check("read", Outcome.PASSED, "What was stored was read back")

    async def _delete(self) -> Check:
        try:
            for version_id in reversed(self.stored):
                await self.bucket.remove(self.key, version_id=version_id)
        except (BucketRefused, BucketStumbled) as why:
            if locked := await self._locked_by_the_bucket():
                return locked
            raise why
        return Check("delete", Outcome.PASSED, "The test object is removed")

    async def _locked_by_the_bucket(self) -> Check | None:
        """What is to be said when the bucket's default retention keeps the test object; None when it does not."""
        try:
            facts = await self.bucket.head(self.key)
        except CallreelError:
            return None  # a key that may not look: what was said of the removal stands
        if facts is None or facts.lock is None or facts.lock.retain_until is None:
            return None
        until = f"{facts.lock.retain_until:%Y-%m-%d %H:%M} UTC"
        detail = f"The bucket locks what it is given, by its default retention: the test object stays until {until}"
        remedy = f"{self.key} may be removed after that; recordings are kept as long, whatever callreel is asked"
        return Check("delete", Outcome.WARNING, detail, remedy)

    # --- The bucket --------------------------------------------------------------------------------------------------

    async def _cors(self) -> Check:
        origin = self.wanted.origin
        rules = await self.bucket.read_cors()
        if lets_play(rules, origin):
            return Check("cors", Outcome.PASSED, f"Pages of {origin} may play from the bucket")
        if not self.wanted.configure_cors:
            remedy = "Ask with ConfigureCors=true: a rule is added, and those that are there stay"
            return Check("cors", Outcome.WARNING, f"No rule lets pages of {origin} play from the bucket", remedy)
        try:
            await self.bucket.write_cors(with_rule_for(rules, origin))
        except BucketRefused as why:
            return Check("cors", Outcome.WARNING, why.message, self._allow("s3:PutBucketCORS", whole=True))
        if not lets_play(await self.bucket.read_cors(), origin):
            return Check(
                "cors", Outcome.WARNING, "The bucket took the rule and does not show it", "Ask again in a minute"
            )
        return Check("cors", Outcome.PASSED, f"A rule for {origin} was added; the others are as they were")

    def _look_at_encryption(self, answer: Answer) -> Check:
        asked, asked_key = self.wanted.options.sse_algorithm, self.wanted.options.sse_kms_key_id
        if asked is None:
            says = (
                f"the bucket encrypts by itself ({answer.sse_algorithm})"
                if answer.sse_algorithm
                else "left to the bucket"
            )
            return Check("encryption", Outcome.SKIPPED, f"None is asked for: {says}")
        if answer.sse_algorithm != asked:
            detail = f"{asked} was asked for, and the bucket answered {answer.sse_algorithm or 'nothing of it'}"
            remedy = "The provider does not encrypt like this: take SseAlgorithm out, or use another provider"
            return Check("encryption", Outcome.FAILED, detail, remedy)
        if (
            asked_key
            and answer.sse_kms_key_id
            and asked_key.rpartition("/")[2] != answer.sse_kms_key_id.rpartition("/")[2]
        ):
            detail = f"The object was encrypted with {answer.sse_kms_key_id}, not with the key asked for"
            return Check("encryption", Outcome.WARNING, detail, "Give SseKmsKeyId as the key's ARN")
        return Check("encryption", Outcome.PASSED, f"The object was encrypted with {asked}")

    async def _versioning(self) -> Check:
        if await self.bucket.keeps_versions():
            return Check("versioning", Outcome.PASSED, "The bucket keeps versions")
        return Check(
            "versioning", Outcome.FAILED, "The bucket keeps no versions", "Object Lock needs them: switch them on"
        )

    async def _object_lock(self) -> Check:
        if await self.bucket.has_object_lock():
            return await self._legal_hold()
        detail = "The settings ask for Object Lock, and the bucket has none: every delivery would be refused"
        remedy = "Switch Object Lock on for the bucket, or take ObjectLockMode and ObjectLockLegalHold out"
        return Check("object-lock", Outcome.FAILED, detail, remedy)

    async def _legal_hold(self) -> Check:
        """Lift a hold the test object does not have: that changes nothing, and takes the permission to set one."""
        not_tried = "Locking was not tried: a locked test object could not be removed"
        if not self.stored:
            return Check("object-lock", Outcome.PASSED, f"The bucket has Object Lock. {not_tried}")
        try:
            await self.bucket.hold(self.key, version_id=self.stored[-1], is_on=False)
        except (BucketRefused, BucketStumbled) as why:
            detail = f"The bucket has Object Lock, and this key may neither set nor lift a legal hold: {why.message}"
            return Check("object-lock", Outcome.WARNING, detail, self._allow("s3:PutObjectLegalHold"))
        detail = f"The bucket has Object Lock, and this key may set and lift a legal hold. {not_tried}"
        return Check("object-lock", Outcome.PASSED, detail)

    # --- Words -------------------------------------------------------------------------------------------------------

    async def _within(self, name: str, check: Callable[[], Awaitable[Check]]) -> None:
        """One check, bounded; what it meets becomes its result."""
        try:
            async with asyncio.timeout(self.check_s):
                self.found[name] = await check()
        except TimeoutError:
            self.found[name] = Check(name, self._worst(name), f"No answer within {self.check_s:g} s", _FIREWALL)
        except NotADocument:
            self.found[name] = Check(name, self._worst(name), "The answer cannot be read", "Ask the provider")
        except CallreelError as why:
            code = getattr(why, "code", "")
            remedy = "The provider lacks this" if code in LACKED else self._remedy(name, code)
            self.found[name] = Check(name, self._worst(name), why.message, remedy)

    def _worst(self, name: str) -> Outcome:
        """What deliveries cannot do without fails; what only players, deletions and clean-ups need is a warning."""
        return Outcome.FAILED if name in ("put", "multipart") else Outcome.WARNING

    def _remedy(self, name: str, code: str) -> str:
        needs = {
            "put": ["s3:PutObject"],
            "multipart": ["s3:PutObject"],
            "read": ["s3:GetObject"],
            "delete": ["s3:DeleteObject", *(["s3:DeleteObjectVersion"] if any(self.stored) else [])],
        }
        on_bucket = {
            "cors": "s3:GetBucketCORS",
            "versioning": "s3:GetBucketVersioning",
            "object-lock": "s3:GetBucketObjectLockConfiguration",
        }
        if code not in ("AccessDenied", "AllAccessDisabled", "Http403"):
            return "Try again; if it stays, ask the provider with the words above"
        lost = f". The test object {self.key} stays" if name == "delete" else ""
        if name in on_bucket:
            return self._allow(on_bucket[name], whole=True)
        return self._allow(*needs[name]) + lost

    def _put_remedy(self, code: str) -> str:
        if code == "AccessDenied":
            return self._allow("s3:PutObject") + ". Some servers say AccessDenied for an unknown key too"
        return self._remedy("put", code)

    def _allow(self, *actions: str, whole: bool = False) -> str:
        d = self.wanted.destination
        resource = d.bucket if whole else "/".join(part for part in (d.bucket, d.prefix, "*") if part)
        return f"Allow {' and '.join(actions)} on arn:aws:s3:::{resource}"

    def _pass(self, name: str, detail: str) -> None:
        self.found[name] = Check(name, Outcome.PASSED, detail)

    def _warn(self, name: str, detail: str, remedy: str) -> None:
        self.found[name] = Check(name, Outcome.WARNING, detail, remedy)

    def _skip(self, name: str, detail: str) -> None:
        self.found[name] = Check(name, Outcome.SKIPPED, detail)

    def _fail(self, name: str, detail: str, remedy: str) -> bool:
        self.found[name] = Check(name, Outcome.FAILED, detail, remedy)
        return False

    def _skipped(self, name: str, first: str | None) -> Check:
        if first is not None and not (name in ("versioning", "object-lock") and not self.wanted.wants_lock):
            return Check(name, Outcome.SKIPPED, f"not tried, since {first} failed")
        return Check(name, Outcome.SKIPPED, "the settings do not ask for it")


_FIREWALL = "Check host name and port, and that a firewall lets this machine out to it"
_KEY_REMEDY = {
    "InvalidAccessKeyId": "The access key does not exist there: create one and save it as a new credential",
    "SignatureDoesNotMatch": "The secret is not the one of this access key: save both again as a new credential",
    "InvalidToken": "Save the access key of a user, not a temporary one, or use AwsRoleArn",
    "ExpiredToken": "Save the access key of a user, not a temporary one, or use AwsRoleArn",
    "TokenRefreshRequired": "Save the access key of a user, not a temporary one, or use AwsRoleArn",
}


class _TestBlob:
    """A few bytes as a blob."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size_bytes = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()

    def read(self, start: int, length: int) -> bytes:
        return self._content[start : start + length]


def _kms(why: BucketRefused) -> Check:
    remedy = (
        "Allow kms:GenerateDataKey and kms:Decrypt on the key to this access key, and check that the key is enabled"
    )
    return Check("encryption", Outcome.FAILED, why.message, remedy)


def _code_of(reply: Reply) -> tuple[str, str]:
    try:
        document = read_document(reply.body)
    except NotADocument:
        return "", ""
    if document.name != "Error":
        return "", ""
    words = "".join(c for c in document.text("Message") or "" if c.isprintable())
    return document.text("Code") or "", words[:300]


def _skew(reply: Reply, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(reply.headers.get("Date", ""))
        return (at - now).total_seconds()
    except (ValueError, TypeError):
        return None
