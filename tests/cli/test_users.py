"""`callreel users`, as an operator types it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Callreel, document


def _account(run: Callreel) -> str:
    return str(document(run("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"])


def test_a_generated_password_is_shown_once(with_database: Callreel) -> None:
    account = _account(with_database)
    words = ("users", "create", "--email", " Ada@Acme.example ", "--account", account, "--role", "owner", "--json")
    made = document(with_database(*words))
    assert made["email"] == "ada@acme.example"
    assert len(made["password"]) == 24
    listed = document(with_database("users", "list", "--json"))["users"]
    assert [(row["email"], row["role"]) for row in listed] == [("ada@acme.example", "owner")]
    assert "password" not in listed[0]
    assert with_database(*words).exit_code == 1  # the address is taken


def test_a_password_comes_from_a_file_and_is_not_repeated(with_database: Callreel, tmp_path: Path) -> None:
    account, file = _account(with_database), tmp_path / "password"
    file.write_text("a long enough password\n")
    words = ("users", "create", "--email", "a@b.example", "--account", account, "--password-file", str(file))
    done = with_database(*words)
    assert done.exit_code == 0
    assert "a long enough" not in done.output
    file.write_text("short")
    assert "12 to 256 characters" in with_database("users", "set-password", *words[2:4], *words[6:]).output
    changed = document(with_database("users", "set-password", "--email", "a@b.example", "--json"))
    assert changed["password"]


def test_nobody_unknown_is_changed_and_no_unknown_account_gets_people(with_database: Callreel) -> None:
    _account(with_database)
    assert with_database("users", "remove", "--email", "x@y.example").exit_code == 1
    assert with_database("users", "set-password", "--email", "x@y.example").exit_code == 1
    assert with_database("users", "create", "--email", "x@y.example", "--account", "AC" + "0" * 32).exit_code == 1
    assert with_database("users", "create", "--email", "not-an-address", "--account", "AC" + "0" * 32).exit_code == 1


def test_who_is_removed_is_gone(with_database: Callreel) -> None:
    account = _account(with_database)
    document(with_database("users", "create", "--email", "a@b.example", "--account", account, "--json"))
    assert document(with_database("users", "remove", "--email", "A@b.example", "--json"))["removed"] is True
    assert document(with_database("users", "list", "--json")) == {"users": []}
