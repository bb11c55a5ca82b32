from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Callreel, document


def test_what_the_operator_does_is_listed_and_exported(with_database: Callreel) -> None:
    sid = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    with_database("accounts", "rotate-token", sid)
    key = document(with_database("accounts", "keys", "create", sid, "--json"))["sid"]
    with_database("accounts", "keys", "revoke", sid, key)
    with_database("accounts", "suspend", sid)
    expected = ["account.created", "token.rotated", "key.created", "key.deleted", "account.suspended"]
    rows = document(with_database("audit", "list", "--account", sid, "--json"))["audit"]
    assert [row["action"] for row in rows] == expected[::-1]
    assert {row["actor"] for row in rows} == {"operator"}
    listed = document(with_database("audit", "list", "--account", sid, "--subject", key, "--limit", "1", "--json"))
    assert [row["action"] for row in listed["audit"]] == ["key.deleted"]
    lines = with_database("audit", "export", "--account", sid).stdout.splitlines()
    assert [json.loads(line)["action"] for line in lines] == expected
    assert document(with_database("audit", "export", "--account", sid, "--json"))["audit"][0] == json.loads(lines[0])
    assert "key.deleted" in with_database("audit", "list", "--account", sid).stdout
    assert with_database("audit", "list").stdout.strip() == "Nothing yet."


def test_verify_ends_with_1_when_a_row_was_altered(with_database: Callreel, database_url: str, tmp_path: Path) -> None:
    sid = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    whole = document(with_database("audit", "verify", "--json"))
    assert whole["ok"]
    assert [head["chain"] for head in whole["heads"]] == [sid]
    assert "all hold" in with_database("audit", "verify").stdout
    heads = tmp_path / "heads.json"
    heads.write_text(json.dumps(whole))
    assert document(with_database("audit", "verify", "--heads", str(heads), "--json"))["ok"]
    whole["heads"][0]["hash"] = "0" * 64
    heads.write_text(json.dumps(whole))
    refused = with_database("audit", "verify", "--heads", str(heads), "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["broken"] == [
        {"chain": sid, "number": 1, "what": "the row is not the one whose hash was kept elsewhere"}
    ]


def test_bad_arguments_are_usage_errors(with_database: Callreel, tmp_path: Path) -> None:
    with_database("accounts", "create", "--friendly-name", "Acme")
    assert with_database("audit", "list", "--action", "nothing").exit_code == 2
    assert with_database("audit", "verify", "--heads", str(tmp_path / "none")).exit_code == 2
    unknown = with_database("audit", "list", "--account", "AC" + "0" * 32)
    assert unknown.exit_code == 1
    assert "no account" in unknown.stderr
