"""`callreel iam-policy`: print the least an access key must be allowed."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from callreel.bucket.policy import (
    Partition,
    Purpose,
    as_cloudformation,
    as_terraform,
    as_terraform_json,
    policy,
)
from callreel.cli.asked import Asked, command
from callreel.errors import InvalidDestination

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
) -> None:
    """Print the least an access key must be allowed, as an IAM policy."""
    try:
        document = policy(
            bucket, prefix, purpose=purpose, partition=partition, kms_key_arn=kms_key, object_lock=object_lock
        )
    except InvalidDestination as why:
        raise typer.BadParameter(why.message) from why
    if shape == "terraform":
        asked.answer(as_terraform_json(document), as_terraform(document).rstrip())
        return
    shown = as_cloudformation(document) if shape == "cloudformation" else document
    asked.answer(shown, json.dumps(shown, indent=2))
