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

_ROLE_NAME, _POLICY_ARN = "aws_iam_role.callreel.name", "aws_iam_policy.callreel.arn"  # as Terraform refers to them


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


def as_cloudformation(document: dict[str, Any], trust: dict[str, Any] | None = None) -> dict[str, Any]:
    """A template with the policy, ready to be attached to a user; with `trust` also the role that has it."""
    resources: dict[str, Any] = {
        "CallreelBucketPolicy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
    }
    outputs: dict[str, Any] = {"PolicyArn": {"Value": {"Ref": "CallreelBucketPolicy"}}}
    if trust is not None:
        role = {"AssumeRolePolicyDocument": trust, "ManagedPolicyArns": [{"Ref": "CallreelBucketPolicy"}]}
        resources["CallreelRole"] = {"Type": "AWS::IAM::Role", "Properties": role}
        outputs["RoleArn"] = {"Value": {"Fn::GetAtt": ["CallreelRole", "Arn"]}}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What callreel may do in its bucket",
        "Resources": resources,
        "Outputs": outputs,
    }


def as_terraform(document: dict[str, Any], trust: dict[str, Any] | None = None) -> str:
    """A resource with the policy, in HCL; with `trust` also the role that has it."""
    body = _hcl(document, 1)
    shown = f'resource "aws_iam_policy" "callreel" {{\n  name   = "callreel"\n  policy = jsonencode({body})\n}}\n'
    if trust is None:
        return shown
    return (
        f'{shown}\nresource "aws_iam_role" "callreel" {{\n  name               = "callreel"\n'
        f"  assume_role_policy = jsonencode({_hcl(trust, 1)})\n}}\n"
        '\nresource "aws_iam_role_policy_attachment" "callreel" {\n'
        f"  role       = {_ROLE_NAME}\n  policy_arn = {_POLICY_ARN}\n}}\n"
    )


def as_terraform_json(document: dict[str, Any], trust: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same resources in Terraform's JSON syntax."""
    made: dict[str, Any] = {"aws_iam_policy": {"callreel": {"name": "callreel", "policy": json.dumps(document)}}}
    if trust is not None:
        made["aws_iam_role"] = {"callreel": {"name": "callreel", "assume_role_policy": json.dumps(trust)}}
        attached = {"role": f"${{{_ROLE_NAME}}}", "policy_arn": f"${{{_POLICY_ARN}}}"}
        made["aws_iam_role_policy_attachment"] = {"callreel": attached}
    return {"resource": made}


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
        # "sts:ExternalId" is no identifier, and a key in quotes is as good.
        keys = {name: name if name.isidentifier() else json.dumps(name) for name in value}
        lines = [f"{inner}{keys[name]} = {_hcl(item, depth + 1)}\n" for name, item in value.items()]
        return f"{{\n{''.join(lines)}{pad}}}"
    if isinstance(value, list):
        lines = [f"{inner}{_hcl(item, depth + 1)},\n" for item in value]
        return f"[\n{''.join(lines)}{pad}]"
    return json.dumps(value)
