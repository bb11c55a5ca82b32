"""The least an access key must be allowed, as an IAM policy. Twilio's own for writing; more only where it is used."""

from __future__ import annotations

import json
from typing import Any, Literal

from callreel.errors import InvalidDestination
from callreel.model.destination import parse_destination

Purpose = Literal["write", "manage"]
Partition = Literal["aws", "aws-us-gov", "aws-cn"]

_WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
_MANAGE = ["s3:GetObject", "s3:DeleteObject"]
_VERSIONS = ["s3:GetObjectVersion", "s3:DeleteObjectVersion"]
_LOCK = ["s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:GetObjectRetention", "s3:GetObjectLegalHold"]
_LOCK_OF_BUCKET = ["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning"]
_CORS = ["s3:GetBucketCORS", "s3:PutBucketCORS"]
_KMS = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


def policy(
    bucket: str,
    prefix: str = "",
    *,
    purpose: Purpose = "write",
    partition: Partition = "aws",
    kms_key_arn: str | None = None,
    object_lock: bool = False,
) -> dict[str, Any]:
    """The policy document of a key that writes below a prefix; `manage` also reads, deletes and sets CORS;
    with `object_lock` also what `ObjectLockMode` and legal holds need.

    The first three statements are Twilio's, names and all. The first of them denies nothing by itself (`NotAction *`
    is every action but all of them) and stays for those who compare. Raises `InvalidDestination`.
    """
    check_names(bucket, prefix)
    whole = f"arn:{partition}:s3:::{bucket}"
    below = "/".join(part for part in (whole, prefix.strip("/"), "*") if part)
    statements: list[dict[str, Any]] = [
        {"Sid": "UploadUserDenyEverything", "Effect": "Deny", "NotAction": "*", "Resource": "*"},
        _allow("UploadUserListBucketMultipartUploads", ["s3:ListBucketMultipartUploads"], whole),
        _allow("UploadUserAllowPutObjectAndMultipartUpload", _WRITE, below),
    ]
    if purpose == "manage":
        statements.append(_allow("ManageUserAllowReadAndDelete", _MANAGE, below))
        statements.append(_allow("ManageUserAllowVersions", _VERSIONS, below))
        statements.append(_allow("ManageUserAllowCors", _CORS, whole))
    if object_lock:
        statements.append(_allow("UploadUserAllowObjectLock", _LOCK, below))
        statements.append(_allow("UploadUserSeeObjectLock", _LOCK_OF_BUCKET, whole))
    if kms_key_arn is not None:
        statements.append(_allow("UploadUserAllowKmsKey", _KMS, kms_key_arn))
    return {"Version": "2012-10-17", "Statement": statements}


def as_cloudformation(document: dict[str, Any]) -> dict[str, Any]:
    """A template with the policy, ready to be attached to a user."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What callreel's access key may do in its bucket",
        "Resources": {
            "CallreelBucketPolicy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
        },
        "Outputs": {"PolicyArn": {"Value": {"Ref": "CallreelBucketPolicy"}}},
    }


def as_terraform(document: dict[str, Any]) -> str:
    """A resource with the policy, in HCL."""
    body = _hcl(document, 1)
    return f'resource "aws_iam_policy" "callreel" {{\n  name   = "callreel"\n  policy = jsonencode({body})\n}}\n'


def as_terraform_json(document: dict[str, Any]) -> dict[str, Any]:
    """The same resource in Terraform's JSON syntax."""
    return {"resource": {"aws_iam_policy": {"callreel": {"name": "callreel", "policy": json.dumps(document)}}}}


def check_names(bucket: str, prefix: str) -> None:
    """Raise `InvalidDestination` for a bucket or prefix that S3 would not take, or that would widen the policy."""
    if any(sign in prefix for sign in "*?$"):
        raise InvalidDestination("The prefix must not have * ? or $, which would widen the policy")
    if "/" in bucket:
        raise InvalidDestination(f"'{bucket}' is not a bucket's name")
    parse_destination(f"https://s3.amazonaws.com/{bucket}/{prefix.strip('/')}")


def _allow(sid: str, actions: list[str], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _hcl(value: Any, depth: int) -> str:
    pad, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{inner}{name} = {_hcl(item, depth + 1)}\n" for name, item in value.items()]
        return f"{{\n{''.join(lines)}{pad}}}"
    if isinstance(value, list):
        lines = [f"{inner}{_hcl(item, depth + 1)},\n" for item in value]
        return f"[\n{''.join(lines)}{pad}]"
    return json.dumps(value)
