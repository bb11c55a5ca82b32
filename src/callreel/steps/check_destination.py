"""Try a destination before recordings depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callreel.bucket.bucket import PutOptions
from callreel.bucket.doctor import CHECK_S, Check, Outcome, Wanted, examine, nothing_but
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import (
    BucketRefused,
    BucketStumbled,
    BucketUnreachable,
    CredentialMissing,
    InvalidDestination,
    SealBroken,
    SettingsIncomplete,
)
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import StorageSettings


@dataclass(frozen=True, slots=True)
class Examination:
    """Every check, in order. `ok`: recordings can be delivered there; warnings are about the rest."""

    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        return all(check.outcome is not Outcome.FAILED for check in self.checks)


async def check_destination(
    account_sid: AccountSid,
    settings: StorageSettings,
    *,
    origin: str,
    configure_cors: bool,
    buckets: Buckets,
    clock: Clock,
    check_s: float = CHECK_S,
) -> Examination:
    """Try the destination of these settings, saved or not, switched on or not.

    Changes nothing but one test object, which it removes where it may, and the bucket's CORS rules when it is told to;
    `origin` is where our pages come from. Raises `SettingsIncomplete` when there is nothing to try.
    """
    if settings.aws_s3_url is None:
        raise SettingsIncomplete("There is no destination to try: send AwsS3Url, or save it first")
    try:
        destination = buckets.parsed(settings)
    except InvalidDestination as why:
        remedy = "Write the bucket as https://bucket.s3.region.amazonaws.com/folder or https://host/bucket/folder"
        return Examination(nothing_but("reach", why.message, remedy))
    try:
        bucket = await buckets.of_settings(account_sid, settings)
    except (CredentialMissing, SealBroken, InvalidDestination) as why:
        return Examination(nothing_but("credentials", why.message, "Create a credential and name it in the settings"))
    except (BucketRefused, BucketStumbled, BucketUnreachable) as why:
        remedy = "Check the role's trust policy: `callreel iam-policy … --trust ARN` prints the one it should have"
        return Examination(nothing_but("credentials", f"The role could not be taken on: {why.message}", remedy))
    wanted = Wanted(
        destination=destination,
        options=PutOptions(
            content_type="text/plain",
            sse_algorithm=settings.sse_algorithm,
            sse_kms_key_id=settings.sse_kms_key_id,
            storage_class=settings.storage_class,
        ),
        wants_lock=bool(settings.object_lock_mode or settings.object_lock_legal_hold),
        origin=origin,
        configure_cors=configure_cors,
    )
    return Examination(await examine(bucket, wanted, clock=clock, check_s=check_s))
