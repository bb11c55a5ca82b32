from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Callreel, document

WANTED = ("iam-policy", "--bucket", "my-bucket", "--prefix", "/calls/2026/")


def _statements(policy: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_write_is_twilios_own_policy(callreel: Callreel) -> None:
    found = _statements(document(callreel(*WANTED)))
    assert found == {
        "UploadUserDenyEverything": {
            "Sid": "UploadUserDenyEverything",
            "Effect": "Deny",
            "NotAction": "*",
            "Resource": "*",
        },
        "UploadUserListBucketMultipartUploads": {
            "Sid": "UploadUserListBucketMultipartUploads",
            "Effect": "Allow",
            "Action": ["s3:ListBucketMultipartUploads"],
            "Resource": "arn:aws:s3:::my-bucket",
        },
        "UploadUserAllowPutObjectAndMultipartUpload": {
            "Sid": "UploadUserAllowPutObjectAndMultipartUpload",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": "arn:aws:s3:::my-bucket/calls/2026/*",
        },
    }


def test_manage_adds_read_delete_versions_and_cors_and_nothing_else(callreel: Callreel) -> None:
    written, managed = (
        _statements(document(callreel(*WANTED))),
        _statements(document(callreel(*WANTED, "--for=manage"))),
    )
    assert managed.items() >= written.items()
    added = [managed[sid] for sid in managed.keys() - written.keys()]
    assert {action for one in added for action in one["Action"]} == {
        "s3:GetObject",
        "s3:DeleteObject",
        "s3:GetObjectVersion",
        "s3:DeleteObjectVersion",
        "s3:GetBucketCORS",
        "s3:PutBucketCORS",
    }


def test_every_format_carries_the_same_policy(callreel: Callreel) -> None:
    policy = document(callreel(*WANTED, "--json"))
    template = document(callreel(*WANTED, "--format", "cloudformation"))
    assert template["Resources"]["CallreelBucketPolicy"]["Properties"]["PolicyDocument"] == policy
    terraform = document(callreel(*WANTED, "--format", "terraform", "--json"))
    assert json.loads(terraform["resource"]["aws_iam_policy"]["callreel"]["policy"]) == policy
    hcl = callreel(*WANTED, "--format", "terraform").stdout
    assert '"arn:aws:s3:::my-bucket/calls/2026/*"' in hcl
    assert hcl.count("{") == hcl.count("}")


def test_other_partitions_have_their_own_names(callreel: Callreel) -> None:
    found = document(callreel(*WANTED, "--partition", "aws-cn"))["Statement"]
    assert found[1]["Resource"] == "arn:aws-cn:s3:::my-bucket"


def test_without_a_prefix_the_whole_bucket_is_below(callreel: Callreel) -> None:
    found = document(callreel("iam-policy", "--bucket", "my-bucket"))["Statement"]
    assert found[2]["Resource"] == "arn:aws:s3:::my-bucket/*"


@pytest.mark.parametrize(
    ("bucket", "prefix"), [("My_Bucket", ""), ("my-bucket/x", ""), ("my-bucket", "calls/*"), ("*", "")]
)
def test_what_would_widen_the_policy_is_wrong_usage(callreel: Callreel, bucket: str, prefix: str) -> None:
    refused = callreel("iam-policy", "--bucket", bucket, "--prefix", prefix)
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_manage_with_object_lock_has_what_versions_holds_and_the_test_need(callreel: Callreel) -> None:
    for shape in ("json", "cloudformation", "terraform"):
        shown = callreel(*WANTED, "--for", "manage", "--object-lock", "--format", shape).stdout
        for action in ("PutObjectRetention", "PutObjectLegalHold", "DeleteObjectVersion", "PutBucketCORS", "GetObject"):
            assert f"s3:{action}" in shown
    plain = json.dumps(document(callreel(*WANTED, "--for", "manage")))
    assert "LegalHold" not in plain


# --- A role in place of a key ----------------------------------------------------------------------------------------

ACCOUNT = "AC" + "1" * 32
TRUST = ("--trust", "arn:aws:iam::111111111111:role/callreel", "--external-id", "an-external-id", "--account", ACCOUNT)


def test_a_roles_trust_is_for_this_installation_this_external_id_and_this_account(callreel: Callreel) -> None:
    found = document(callreel(*WANTED, *TRUST))
    assert found["policy"] == document(callreel(*WANTED))
    (statement,) = found["trust_policy"]["Statement"]
    assert statement["Principal"] == {"AWS": "arn:aws:iam::111111111111:role/callreel"}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {
        "StringEquals": {"sts:ExternalId": "an-external-id", "sts:RoleSessionName": f"callreel-{ACCOUNT}"}
    }


def test_every_format_makes_the_role_and_gives_it_the_policy(callreel: Callreel) -> None:
    trust = document(callreel(*WANTED, *TRUST))["trust_policy"]
    template = document(callreel(*WANTED, *TRUST, "--format", "cloudformation"))
    role = template["Resources"]["CallreelRole"]["Properties"]
    assert role["AssumeRolePolicyDocument"] == trust
    assert role["ManagedPolicyArns"] == [{"Ref": "CallreelBucketPolicy"}]
    made = document(callreel(*WANTED, *TRUST, "--format", "terraform", "--json"))["resource"]
    assert json.loads(made["aws_iam_role"]["callreel"]["assume_role_policy"]) == trust
    assert made["aws_iam_role_policy_attachment"]["callreel"] == {
        "role": "${aws_iam_role.callreel.name}",
        "policy_arn": "${aws_iam_policy.callreel.arn}",
    }
    hcl = callreel(*WANTED, *TRUST, "--format", "terraform").stdout
    assert '"sts:ExternalId" = "an-external-id"' in hcl
    assert "policy_arn = aws_iam_policy.callreel.arn" in hcl
    assert hcl.count("{") == hcl.count("}")


@pytest.mark.parametrize(
    "asked",
    [
        TRUST[:2],
        TRUST[:4],
        TRUST[2:],
        ("--trust", "*", *TRUST[2:]),
        ("--trust", "arn:aws:iam::111111111111:*", *TRUST[2:]),
        (*TRUST[:3], "x", *TRUST[4:]),
        (*TRUST[:5], "AC1"),
    ],
)
def test_a_trust_that_would_be_wider_is_wrong_usage(callreel: Callreel, asked: tuple[str, ...]) -> None:
    refused = callreel(*WANTED, *asked)
    assert (refused.exit_code, refused.stdout) == (2, "")
