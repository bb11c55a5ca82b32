"""The trust policy a customer puts on a role, so that this installation may take it on, and only for them."""

from __future__ import annotations

import re
from typing import Any

from callreel.errors import InvalidParameter
from callreel.model.aws_role import check_external_id, session_name_of
from callreel.model.sid import AccountSid

_PRINCIPAL = re.compile(
    r"arn:(?:aws|aws-cn|aws-us-gov):iam::[0-9]{12}:(?:root|(?:role|user)/[A-Za-z0-9+=,.@_/-]{1,576})", re.ASCII
)


def trust_policy(principal_arn: str, external_id: str, *, account_sid: AccountSid) -> dict[str, Any]:
    """The document, as IAM reads it. `principal_arn` is the installation's own role, user or AWS account.

    Two conditions: the external id, which the account chose, and the session's name, which it cannot choose.
    With the second, another account of the same installation that has learnt ARN and external id gets nothing.
    Raises `InvalidParameter`.
    """
    if not _PRINCIPAL.fullmatch(principal_arn):
        raise InvalidParameter(
            "The trusted identity must be the ARN of an IAM role, of a user, or of an account's root"
        )
    check_external_id(external_id)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "CallreelTakesOnThisRole",
                "Effect": "Allow",
                "Principal": {"AWS": principal_arn},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {
                        "sts:ExternalId": external_id,
                        "sts:RoleSessionName": session_name_of(account_sid),
                    }
                },
            }
        ],
    }
