"""Save what an account chose for its recordings, once it makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from callreel.clock import Clock
from callreel.errors import InvalidAwsCredentials, InvalidParameter, SettingsIncomplete
from callreel.ledger.ledger import Ledger
from callreel.model.aws_role import parse_role
from callreel.model.credential import CredentialKind
from callreel.model.deed import CALLREEL, Action, Actor, changes
from callreel.model.destination import Network, check_key_template, parse_destination
from callreel.model.object_lock import check_lock
from callreel.model.sid import AccountSid, parse_sid
from callreel.model.storage_settings import RecordingKind, StorageSettings

SSE_ALGORITHMS = ("aws:kms", "AES256")


async def choose_storage(
    account_sid: AccountSid,
    kind: RecordingKind,
    settings: StorageSettings,
    *,
    ledger: Ledger,
    private_networks: Sequence[Network],
    clock: Clock,
    by: Actor = CALLREEL,
) -> StorageSettings:
    """Check the settings and save them for recordings made from now on. No object is written.

    Raises `InvalidDestination`, `InvalidSid`, `InvalidAwsCredentials`, `InvalidParameter` and
    `SettingsIncomplete` with the reason; then the old settings stay.
    """
    await _check_credential(account_sid, settings, ledger, private_networks)
    await _check_encryption(account_sid, settings, ledger)
    if settings.key_template is not None:
        check_key_template(settings.key_template)
    if settings.sse_algorithm is not None and settings.sse_algorithm not in SSE_ALGORITHMS:
        raise InvalidParameter(f"SseAlgorithm must be one of {', '.join(SSE_ALGORITHMS)}", parameter="SseAlgorithm")
    if settings.sse_kms_key_id is not None and settings.sse_algorithm != "aws:kms":
        raise SettingsIncomplete("SseKmsKeyId needs SseAlgorithm=aws:kms")
    check_lock(settings.object_lock_mode, settings.object_lock_days)
    if settings.friendly_name is not None and len(settings.friendly_name) > 64:
        raise InvalidParameter("FriendlyName must have at most 64 characters", parameter="FriendlyName")
    _, before = await ledger.settings.current(account_sid, kind)
    told = changes(asdict(before), asdict(settings))
    deed = by.deed(Action.SETTINGS_CHANGED, account_sid, account_sid, kind=str(kind), changes=told)
    await ledger.settings.keep(account_sid, kind, settings, now=clock.now(), deed=deed)
    return settings


async def _check_credential(
    account_sid: AccountSid, settings: StorageSettings, ledger: Ledger, networks: Sequence[Network]
) -> None:
    destination = None
    if settings.aws_s3_url is not None:
        destination = parse_destination(settings.aws_s3_url, region=settings.aws_s3_region, private_networks=networks)
    if settings.aws_storage_enabled and destination is None:
        raise SettingsIncomplete("AwsStorageEnabled needs AwsS3Url")
    role = parse_role(settings.aws_role_arn, settings.aws_external_id)
    if settings.aws_storage_enabled and settings.aws_credentials_sid is None and role is None:
        raise SettingsIncomplete("AwsStorageEnabled needs AwsCredentialsSid or AwsRoleArn")
    if settings.aws_credentials_sid is None:
        return
    sid = parse_sid("CR", settings.aws_credentials_sid)
    credential = await ledger.credentials.find(account_sid, CredentialKind.AWS, sid)
    if credential is None:
        raise InvalidParameter(
            f"AwsCredentialsSid {sid} is not an AWS credential of this account", parameter="AwsCredentialsSid"
        )
    if destination is not None and destination.is_aws and not credential.has_aws_shape:
        raise InvalidAwsCredentials(
            "The credential does not have the shape of an AWS access key, and the bucket is on AWS"
        )


async def _check_encryption(account_sid: AccountSid, settings: StorageSettings, ledger: Ledger) -> None:
    if settings.encryption_key_sid is None:
        if settings.encryption_enabled:
            raise SettingsIncomplete("EncryptionEnabled needs EncryptionKeySid")
        return
    sid = parse_sid("CR", settings.encryption_key_sid)
    if await ledger.credentials.find(account_sid, CredentialKind.PUBLIC_KEY, sid) is None:
        raise InvalidParameter(
            f"EncryptionKeySid {sid} is not a public key of this account", parameter="EncryptionKeySid"
        )
