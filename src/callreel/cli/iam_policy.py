"""`callreel iam-policy`: print the least an access key must be allowed."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from callreel.bucket.policy import (
    Partition,
    Purpose,
    as_cloudformation,
    as_terraform,
    as_terraform_json,
    policy,
)
from callreel.bucket.trust_policy import trust_policy
from callreel.cli.asked import Asked, command
from callreel.errors import Refused
from callreel.model.sid import AccountSid, parse_sid

app = typer.Typer(add_completion=False)


@command(app, "iam-policy", example="callreel iam-policy --bucket my-bucket --prefix calls --for manage")
def iam_policy(
    asked: Asked,
    bucket: Annotated[str, typer.Option(help="The bucket's name.")],
    prefix: Annotated[str, typer.Option(help="The folder that recordings go to.")] = "",
    purpose: Annotated[
        Purpose, typer.Option("--for", help="write: put and multipart only; manage: also read, delete and CORS.")
    ] = "write",
    shape: Annotated[Literal["json", "terraform", "cloudformation"], typer.Option("--format")] = "json",
    partition: Annotated[Partition, typer.Option(help="GovCloud and China have partitions of their own.")] = "aws",
    kms_key: Annotated[str | None, typer.Option(metavar="ARN", help="The key of a bucket with SSE-KMS.")] = None,
    object_lock: Annotated[
        bool, typer.Option("--object-lock", help="Also what Object Lock and legal holds need.")
    ] = False,
    trust: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="For a role in place of a key: also its trust policy, for this identity of callreel's own. "
            "Needs --external-id and --account.",
        ),
    ] = None,
    external_id: Annotated[str | None, typer.Option(metavar="ID", help="AwsExternalId of the settings.")] = None,
    account: Annotated[str | None, typer.Option(metavar="AC…", help="The account the role is taken on for.")] = None,
) -> None:
    """Print the least an access key or a role must be allowed, as an IAM policy; on wish with the role's trust."""
    try:
        document = policy(
            bucket, prefix, purpose=purpose, partition=partition, kms_key_arn=kms_key, object_lock=object_lock
        )
        trusted = _trust(trust, external_id, account)
    except Refused as why:
        raise typer.BadParameter(why.message) from why
    if shape == "terraform":
        asked.answer(as_terraform_json(document, trusted), as_terraform(document, trusted).rstrip())
        return
    both = document if trusted is None else {"policy": document, "trust_policy": trusted}
    shown = as_cloudformation(document, trusted) if shape == "cloudformation" else both
    asked.answer(shown, json.dumps(shown, indent=2))


def _trust(principal: str | None, external_id: str | None, account: str | None) -> dict[str, Any] | None:
    if principal is None:
        if external_id is not None or account is not None:
            raise typer.BadParameter("--external-id and --account belong to --trust")
        return None
    if external_id is None or account is None:
        raise typer.BadParameter(
            "--trust needs --external-id and --account: without them anybody of this installation could use the role"
        )
    return trust_policy(principal, external_id, account_sid=AccountSid(parse_sid("AC", account)))
