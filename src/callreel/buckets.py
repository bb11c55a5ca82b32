"""From a recording to the bucket it goes to, opened with its account's own key.

Below the steps and above the shelves: it joins the ledger's credentials, the key ring and the bucket shelf,
so that a step can say where without knowing how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp

from callreel.at_rest.file import KeptFile
from callreel.bucket.disk import DiskBucket
from callreel.bucket.roles import Roles
from callreel.bucket.s3 import S3Bucket
from callreel.clock import Clock
from callreel.errors import CredentialMissing, InvalidDestination, Refused
from callreel.ledger.ledger import Ledger
from callreel.media_keys import MediaKeys
from callreel.model.aws_role import AwsRole, parse_role
from callreel.model.credential import AccessKey, CredentialKind, parse_access_key
from callreel.model.destination import VIDEO_KEY_TEMPLATE, Destination, Network, object_key, parse_destination
from callreel.model.recording import Recording
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import StorageSettings
from callreel.sealing.keyring import Keyring

KEY_REMEMBERED_S = 5.0  # how long a credential may still be used after it was deleted


_parse_once = lru_cache(maxsize=1024)(parse_destination)  # each recording asks twice, and few have a URL of their own


@dataclass(frozen=True, slots=True)
class _Opened:
    bucket: S3Bucket
    until: float


class Buckets:
    """Opens the bucket of a recording: service storage, or the customer's with the customer's credential."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        keyring: Keyring,
        keys: MediaKeys,
        http: aiohttp.ClientSession,
        storage: DiskBucket,
        clock: Clock,
        private_networks: Sequence[Network],
        roles: Roles | None = None,
    ) -> None:
        self._ledger, self._keyring, self._http = ledger, keyring, http
        self.keys, self.storage = keys, storage
        self._clock, self._private_networks = clock, tuple(private_networks)
        self._roles = roles
        self._opened: dict[tuple[str, str, Destination], _Opened] = {}

    def destination_of(self, settings: StorageSettings) -> Destination | None:
        """Where settings send recordings; None for service storage. Raises `InvalidDestination`."""
        return self._named_by(settings) if settings.aws_storage_enabled else None

    def place_of(self, recording: Recording) -> dict[str, Any]:
        """The facts of a recording's place under its settings: bucket, object key and URL, fixed when it is sealed.

        Raises `InvalidDestination`.
        """
        destination = self.destination_of(recording.settings)
        if destination is None:
            hosted = f"{recording.account_sid}/{recording.sid}"
            if recording.video is not None:
                hosted += f".{recording.video.container}"
            return {"is_external": False, "bucket": None, "object_key": hosted, "object_url": None}
        created = recording.date_created
        key = object_key(
            destination,
            template=recording.settings.key_template or (VIDEO_KEY_TEMPLATE if recording.video else None),
            account_sid=recording.account_sid,
            recording_sid=recording.sid,
            call_sid=recording.call_sid,
            created=(created.year, created.month, created.day),
            extension=recording.video.container if recording.video else "wav",
        )
        return {
            "is_external": True,
            "bucket": destination.bucket,
            "object_key": key,
            "object_url": destination.url_of(key),
        }

    async def of(self, recording: Recording) -> S3Bucket | DiskBucket:
        """The bucket a sealed recording goes to, or lies in.

        Raises `CredentialMissing` and `InvalidDestination`, and as `open_with_role` where the settings name a role.
        """
        if not recording.is_external:
            return self.storage
        return await self.of_settings(recording.account_sid, recording.settings)

    async def of_settings(self, account_sid: AccountSid, settings: StorageSettings) -> S3Bucket:
        """The customer's bucket that settings name. Raises as `of`."""
        destination = self._named_by(settings)
        role = _role_of(settings)
        if role is not None:
            return await self.open_with_role(account_sid, role, destination)
        return await self.open(account_sid, settings.aws_credentials_sid, destination)

    async def hosted(self, recording: Recording) -> KeptFile:
        """The blob's file in service storage, whether it is there or not. Raises `SealBroken`, `DatabaseAway`."""
        assert recording.object_key is not None
        return KeptFile(self.storage.path_of(recording.object_key), await self.keys.of_blob(recording))

    async def open(self, account_sid: AccountSid, credential_sid: str | None, destination: Destination) -> S3Bucket:
        """A destination opened with one of the account's credentials. Raises `CredentialMissing`."""
        if credential_sid is None:
            raise CredentialMissing("The recording settings name no credential; set AwsCredentialsSid")
        name = (account_sid, credential_sid, destination)
        known = self._opened.get(name)
        if known is not None and known.until > self._clock.monotonic():
            return known.bucket
        key = await self._fetch_key(account_sid, credential_sid)
        if len(self._opened) > 1024:
            self._opened.clear()
        bucket = S3Bucket(destination, key, self._http, clock=self._clock)
        self._opened[name] = _Opened(bucket, self._clock.monotonic() + KEY_REMEMBERED_S)
        return bucket

    def parsed(self, settings: StorageSettings) -> Destination:
        """The destination that settings name, whether or not they are switched on. Raises `InvalidDestination`."""
        return self._named_by(settings)

    def _named_by(self, settings: StorageSettings) -> Destination:
        if not settings.aws_s3_url:
            raise InvalidDestination("External storage is on and AwsS3Url is not set")
        return _parse_once(settings.aws_s3_url, region=settings.aws_s3_region, private_networks=self._private_networks)

    async def open_with_role(self, account_sid: AccountSid, role: AwsRole, destination: Destination) -> S3Bucket:
        """A destination opened with keys of a role, taken on for the account.

        Raises `CredentialMissing` where roles cannot be used, `BucketRefused` when the role is denied, and
        `BucketStumbled` and `BucketUnreachable`.
        """
        if self._roles is None or (self._roles.work_only_at_amazon and not destination.is_aws):
            raise CredentialMissing("AwsRoleArn is for buckets on AWS; give this destination an access key instead")
        keys = await self._roles.keys_of(account_sid, role, region=destination.region)
        return S3Bucket(destination, keys.access_key, self._http, clock=self._clock, session_token=keys.token)

    def distrust(self, recording: Recording) -> None:
        """Use fresh keys for the recording's bucket next time: it has refused those of now."""
        role = _role_of(recording.settings)
        if role is not None and self._roles is not None:
            region = self._named_by(recording.settings).region
            self._roles.forget(recording.account_sid, role, region=region)

    async def _fetch_key(self, account_sid: AccountSid, credential_sid: str) -> AccessKey:
        sealed = await self._ledger.credentials.find_sealed(account_sid, CredentialKind.AWS, credential_sid)
        if sealed is None:
            raise CredentialMissing(
                f"The credential {credential_sid} no longer exists. Create one and save it in the recording settings."
            )
        opened = self._keyring.open(sealed, table="credentials", row=credential_sid, account=account_sid)
        return parse_access_key(opened.decode())


def _role_of(settings: StorageSettings) -> AwsRole | None:
    try:
        return parse_role(settings.aws_role_arn, settings.aws_external_id)
    except Refused as why:  # they were checked when they were saved, by the rules of that day
        raise InvalidDestination(why.message) from why
