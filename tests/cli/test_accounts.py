from __future__ import annotations

import re
from pathlib import Path

from tests.cli.conftest import Callreel, document

UNKNOWN = "AC" + "0" * 32


def test_an_account_is_made_with_sid_token_and_name(with_database: Callreel) -> None:
    made = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))
    assert set(made) == {"sid", "auth_token", "friendly_name"}
    assert re.fullmatch("AC[0-9a-f]{32}", made["sid"])
    assert re.fullmatch("[0-9a-f]{32}", made["auth_token"])


def test_a_token_is_shown_once_and_never_listed(with_database: Callreel) -> None:
    made = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))
    listed = with_database("accounts", "list", "--json")
    assert [row["sid"] for row in document(listed)["accounts"]] == [made["sid"]]
    assert made["auth_token"] not in listed.output


def test_a_subaccount_names_its_owner(with_database: Callreel) -> None:
    owner = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    document(with_database("accounts", "create", "--friendly-name", "Branch", "--parent", owner, "--json"))
    rows = document(with_database("accounts", "list", "--json"))["accounts"]
    assert [row["owner_account_sid"] for row in rows] == [owner, owner]


def test_an_account_is_suspended_activated_and_closed_for_good(with_database: Callreel) -> None:
    sid = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    for verb, status in (("suspend", "suspended"), ("activate", "active"), ("close", "closed"), ("close", "closed")):
        assert document(with_database("accounts", verb, sid, "--json"))["status"] == status
    refused = with_database("accounts", "activate", sid)
    assert refused.exit_code == 1
    assert "stays closed" in refused.stderr


def test_a_rotated_token_is_another(with_database: Callreel) -> None:
    made = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))
    changed = document(with_database("accounts", "rotate-token", made["sid"], "--json"))
    assert changed["sid"] == made["sid"]
    assert changed["auth_token"] != made["auth_token"]


def test_keys_are_made_listed_and_revoked(with_database: Callreel) -> None:
    sid = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    key = document(with_database("accounts", "keys", "create", sid, "--friendly-name", "dialer", "--json"))
    listed = document(with_database("accounts", "keys", "list", sid, "--json"))["keys"]
    assert [(row["sid"], row["friendly_name"]) for row in listed] == [(key["sid"], "dialer")]
    document(with_database("accounts", "keys", "revoke", sid, key["sid"], "--json"))
    assert document(with_database("accounts", "keys", "list", sid, "--json"))["keys"] == []
    assert with_database("accounts", "keys", "revoke", sid, key["sid"]).exit_code == 1


def test_an_unknown_account_is_a_failure_said_in_one_line(with_database: Callreel, data_dir: Path) -> None:
    data_dir.mkdir()
    for words in (("suspend", UNKNOWN), ("rotate-token", UNKNOWN), ("keys", "list", UNKNOWN)):
        refused = with_database("accounts", *words, "--json")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert len(refused.stderr.splitlines()) == 1


def test_a_name_is_required(with_database: Callreel) -> None:
    assert with_database("accounts", "create").exit_code == 2
    assert with_database("accounts", "create", "--friendly-name", "").exit_code == 1


def test_a_mistyped_directory_makes_no_installation(callreel: Callreel, tmp_path: Path) -> None:
    missing = tmp_path / "misstyped"
    refused = callreel("accounts", "list", "--data-dir", str(missing))
    assert refused.exit_code == 1
    assert str(missing) in refused.stderr
    assert not missing.exists()
