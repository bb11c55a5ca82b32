from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Callreel, document


def test_show_names_the_origin_of_each_setting(callreel: Callreel, tmp_path: Path) -> None:
    (tmp_path / "callreel.toml").write_text("retention_days = 9\n")
    shown = document(
        callreel("config", "show", "--json", "--delivery-concurrency", "4", CALLREEL_RETRY_CAP_SECONDS="7")
    )
    found = {row["name"]: (row["value"], row["origin"]) for row in shown["settings"]}
    assert found["CALLREEL_DELIVERY_CONCURRENCY"] == ("4", "flag")
    assert found["CALLREEL_RETRY_CAP_SECONDS"] == ("7.0", "environment")
    assert found["CALLREEL_RETENTION_DAYS"] == ("9", "callreel.toml")
    assert found["CALLREEL_RETRY_WINDOW_SECONDS"][1] == "default"


def test_show_masks_secrets(callreel: Callreel) -> None:
    shown = callreel("config", "show", "--json", CALLREEL_DATABASE_URL="postgresql://me:hunter2@db/x")
    assert "CALLREEL_DATABASE_URL" in shown.stdout
    assert "hunter2" not in shown.output


def test_a_good_installation_passes_the_check(with_database: Callreel, data_dir: Path) -> None:
    checked = document(with_database("config", "check", "--json"))
    assert checked["ok"] is True
    assert data_dir.stat().st_mode & 0o777 == 0o700


def test_the_check_says_which_setting_is_wrong(callreel: Callreel) -> None:
    refused = callreel("config", "check", CALLREEL_RETENTION_DAYS="none")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "CALLREEL_RETENTION_DAYS" in refused.stderr


def test_the_check_fails_on_another_master_key(with_database: Callreel, tmp_path: Path) -> None:
    document(with_database("config", "check", "--json"))
    refused = with_database("config", "check", "--json", "--data-dir", str(tmp_path / "other"))
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["ok"] is False
    assert "master key" in json.loads(refused.stdout)["reason"]


def test_the_check_fails_when_the_database_does_not_answer(callreel: Callreel) -> None:
    refused = callreel("config", "check", CALLREEL_DATABASE_URL="postgresql://callreel@127.0.0.1:1/callreel")
    assert refused.exit_code == 1
    assert "database" in refused.stderr
