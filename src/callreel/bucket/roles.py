"""Roles of customers, taken on with the installation's own identity and kept until shortly before they end."""

from __future__ import annotations

from callreel.bucket.own_identity import OwnIdentity
from callreel.bucket.refreshing import Refreshing
from callreel.bucket.sts import Sts
from callreel.clock import Clock
from callreel.model.aws_role import AwsRole, session_name_of
from callreel.model.credential import SessionKey
from callreel.model.sid import AccountSid

REMEMBERED = 1024


class Roles:
    """The keys of every role in use, one request at a time for each."""

    def __init__(self, sts: Sts, own: OwnIdentity, *, clock: Clock) -> None:
        self._sts, self._own, self._clock = sts, own, clock
        self._taken: dict[tuple[AccountSid, AwsRole, str], Refreshing] = {}

    @property
    def work_only_at_amazon(self) -> bool:
        """Whether the keys mean nothing to any other provider."""
        return self._sts.is_amazons

    async def keys_of(self, account_sid: AccountSid, role: AwsRole, *, region: str) -> SessionKey:
        """Keys of the role, taken on for this account and under its name.

        Raises `BucketRefused` when the role is denied, `BucketStumbled` and `BucketUnreachable`.
        """
        return await self._of(account_sid, role, region).current()

    def forget(self, account_sid: AccountSid, role: AwsRole, *, region: str) -> None:
        """Take the role on anew when next asked. The bucket refused its keys: perhaps they were revoked."""
        self._of(account_sid, role, region).forget()

    def _of(self, account_sid: AccountSid, role: AwsRole, region: str) -> Refreshing:
        name = (account_sid, role, region)
        if name not in self._taken:
            if len(self._taken) >= REMEMBERED:
                self._taken.clear()

            async def take_on() -> SessionKey:
                return await self._sts.assume_role(
                    role,
                    identity=await self._own.current(),
                    session_name=session_name_of(account_sid),
                    region=region,
                )

            self._taken[name] = Refreshing(take_on, clock=self._clock)
        return self._taken[name]
