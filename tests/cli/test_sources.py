"""`callreel sources`: the secret from a file, the environment or standard input, never from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.cli.conftest import Callreel, document

THEIRS = "AC" + "7" * 32
TOKEN = "t0ken-of-the-source-0123456789ab"


@pytest.fixture
def account(with_database: Callreel) -> str:
    sid: str = document(with_database("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    return sid


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


@pytest.fixture
def twilio() -> Iterator[dict[str, str]]:
    """The pretend Twilio as anybody runs it."""
    words = [sys.executable, "-m", "callreel.rehearsal.pretend_twilio", "--recordings", "3", "--size-bytes", "1000"]
    with Popen(words, stdout=PIPE, text=True) as child:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())
        child.terminate()


def test_a_source_is_added_listed_checked_renewed_and_removed(
    with_database: Callreel, account: str, twilio: dict[str, str], token_file: Path
) -> None:
    local = {"CALLREEL_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}
    added = with_database(
        *("sources", "add", "--account", account, "--twilio-account-sid", twilio["account_sid"]),
        *("--base-url", twilio["url"], "--poll-seconds", "0", "--auth-token-file", str(token_file), "--json"),
        **local,
    )
    source = document(added)
    assert source["webhook_url"].endswith(f"/Sources/{source['sid']}/Webhook")
    assert document(with_database("sources", "list", "--json")) == {"sources": [source]}
    wrong = with_database("sources", "check", source["sid"], **local)
    assert wrong.exit_code == 1
    assert "20003" in wrong.stdout
    renewed = with_database("sources", "renew", source["sid"], CALLREEL_SOURCE_AUTH_TOKEN=twilio["auth_token"])
    assert renewed.exit_code == 0
    found = document(with_database("sources", "check", source["sid"], "--json", **local))
    assert (found["ok"], [one["outcome"] for one in found["checks"]]) == (True, ["passed"] * 5)
    assert document(with_database("sources", "remove", source["sid"], "--json")) == {
        "sid": source["sid"],
        "removed": True,
    }
    gone = with_database("sources", "remove", source["sid"])
    assert (gone.exit_code, source["sid"] in gone.stderr) == (1, True)
    for result in (added, wrong, renewed):
        assert twilio["auth_token"] not in result.output
        assert TOKEN not in result.output


def test_the_secret_comes_from_the_environment_too(with_database: Callreel, account: str) -> None:
    made = with_database(
        *("sources", "add", "--account", account, "--twilio-account-sid", THEIRS, "--json"),
        CALLREEL_SOURCE_AUTH_TOKEN=TOKEN,
    )
    assert document(made)["twilio_account_sid"] == THEIRS
    assert "CALLREEL_PUBLIC_URL" in document(made)["webhook_trouble"]
    assert TOKEN not in made.output


def test_what_cannot_be_a_source_ends_with_one_line_that_says_why(
    with_database: Callreel, account: str, tmp_path: Path, token_file: Path
) -> None:
    add = ("sources", "add", "--twilio-account-sid", THEIRS)
    own = (*add, "--account", account)
    with_token = ("--auth-token-file", str(token_file))
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for words, said in (
        ((*add, "--account", "AC" + "0" * 32, *with_token), "no account"),
        ((*own, "--auth-token-file", str(tmp_path / "none")), "cannot be read"),
        ((*own, "--auth-token-file", str(empty)), "is empty"),
        (own, "CALLREEL_SOURCE_AUTH_TOKEN"),
        ((*own, *with_token, "--base-url", "http://127.0.0.1:9100"), "loopback"),
        ((*own, *with_token, "--api-key", "AC12"), "SK"),
        (("sources", "check", "SR" + "0" * 32), "no source"),
    ):
        result = with_database(*words)
        assert (words, result.exit_code) == (words, 1)
        assert said in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert with_database(*own, "--auth-token", TOKEN).exit_code == 2  # nothing on the command line, where `ps` looks


def test_where_twilio_cannot_reach_the_webhook_it_is_said_what_to_set(with_database: Callreel, account: str) -> None:
    add = ("sources", "add", "--account", account, "--twilio-account-sid")
    token = {"CALLREEL_SOURCE_AUTH_TOKEN": TOKEN}
    assert "set PUBLIC_URL (CALLREEL_PUBLIC_URL)" in with_database(*add, THEIRS, **token).stdout
    outside = {"CALLREEL_PUBLIC_URL": "https://calls.example.com"} | token
    told = with_database(*add, "AC" + "8" * 32, **outside)
    assert (told.exit_code, "PUBLIC_URL" in told.stdout) == (0, False)
    assert "https://calls.example.com/callreel/v1/Accounts/" in told.stdout
