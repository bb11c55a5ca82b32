"""A role in a customer's AWS account that this installation may take on, instead of a key that lies about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from callreel.errors import InvalidParameter, SettingsIncomplete
from callreel.model.sid import AccountSid

# AWS's own limits: IAM's ARN and path characters, STS's ExternalId of 2 to 1224 characters.
_ARN = re.compile(r"arn:(?:aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,576}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9+=,.@:/_-]{2,1224}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AwsRole:
    """The role's ARN and the id by which its owner knows that it is taken on for them."""

    arn: str
    external_id: str


def parse_role(arn: str | None, external_id: str | None) -> AwsRole | None:
    """The role of an account's settings; None when none is named.

    An external id is required, although AWS would do without: without one, whoever may sign in to this
    installation could have it take on anybody's role (the confused deputy). Raises `InvalidParameter` and
    `SettingsIncomplete`.
    """
    if arn is None:
        if external_id is not None:
            raise SettingsIncomplete("AwsExternalId needs AwsRoleArn")
        return None
    if not _ARN.fullmatch(arn):
        raise InvalidParameter(
            "AwsRoleArn must be the ARN of an IAM role: arn:aws:iam::123456789012:role/NAME", parameter="AwsRoleArn"
        )
    if external_id is None:
        raise SettingsIncomplete("AwsRoleArn needs AwsExternalId")
    check_external_id(external_id)
    return AwsRole(arn, external_id)


def check_external_id(external_id: str) -> None:
    """Raise `InvalidParameter` for what STS would not take as one."""
    if not _EXTERNAL_ID.fullmatch(external_id):
        raise InvalidParameter(
            "AwsExternalId must be 2 to 1224 characters: letters, digits and +=,.@:/_-", parameter="AwsExternalId"
        )


def session_name_of(account_sid: AccountSid) -> str:
    """What the role's owner sees in CloudTrail, and may require: the account cannot choose it."""
    return f"callreel-{account_sid}"
