"""Where a setting comes from, and what is said about a bad one."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from callreel.errors import Misconfigured
from callreel.settings import load_settings, origins


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`callreel.toml` is read from where the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_toml(text: str) -> None:
    Path("callreel.toml").write_text(text)


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().delivery_concurrency == 32
    write_toml("delivery_concurrency = 5")
    assert load_settings().delivery_concurrency == 5
    monkeypatch.setenv("CALLREEL_DELIVERY_CONCURRENCY", "6")
    assert load_settings().delivery_concurrency == 6
    assert load_settings(delivery_concurrency=7).delivery_concurrency == 7
    assert load_settings(delivery_concurrency=None).delivery_concurrency == 6


def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("postgresql://from-file/x\n")
    write_toml('database_url = "postgresql://from-toml/x"')
    monkeypatch.setenv("CALLREEL_DATABASE_URL_FILE", "secret")

    def url(**flags: str) -> str:
        found = load_settings(**flags).database_url
        assert found is not None
        return found.get_secret_value()

    assert url() == "postgresql://from-file/x"
    monkeypatch.setenv("CALLREEL_DATABASE_URL", "postgresql://from-environment/x")
    assert url() == "postgresql://from-environment/x"
    assert url(database_url="postgresql://from-flag/x") == "postgresql://from-flag/x"


def test_origins_are_told_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("canary-file")
    write_toml("retention_days = 50")
    monkeypatch.setenv("CALLREEL_MASTER_KEY_FILE", "secret")
    monkeypatch.setenv("CALLREEL_SMTP_URL", "smtp://user:canary@host")
    told = {o.name: (o.value, o.origin) for o in origins(delivery_concurrency=9)}
    assert told["CALLREEL_DELIVERY_CONCURRENCY"] == ("9", "flag")
    assert told["CALLREEL_RETENTION_DAYS"] == ("50", "callreel.toml")
    assert told["CALLREEL_VIDEO_RETENTION_DAYS"] == ("30", "default")
    assert told["CALLREEL_SMTP_URL"][1] == "environment"
    assert told["CALLREEL_MASTER_KEY"][1] == "file"
    assert "canary" not in str(told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETRY_WINDOW_SECONDS", "0"),
        ("RETRY_WINDOW_SECONDS", "two hours"),
        ("RETRY_WINDOW_SECONDS", "inf"),
        ("RETRY_CAP_SECONDS", "inf"),
        ("RETRY_CAP_SECONDS", "nan"),
        ("ACCEPTED_GRACE_SECONDS", "inf"),
        ("ACCEPTED_GRACE_SECONDS", "-1"),
        ("RETENTION_DAYS", "0"),
        ("DELIVERY_CONCURRENCY", "513"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("PUBLIC_URL", "callreel.example.com"),
        ("ALLOWED_PRIVATE_NETWORKS", "10.0.0.1/8"),
        ("ALLOWED_PRIVATE_NETWORKS", "10.0.0.0/8,nonsense"),
    ],
)
def test_a_bad_value_is_a_misconfiguration_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CALLREEL_{name}", value)
    with pytest.raises(Misconfigured, match=f"CALLREEL_{name}"):
        load_settings()


def test_a_bad_secret_is_not_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLREEL_MASTER_KEY_FILE", "/nowhere/canary")
    with pytest.raises(Misconfigured, match="MASTER_KEY_FILE") as caught:
        load_settings()
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("text", ["retention_days = ", "retention_dais = 40", "[retention]\ndays = 40"])
def test_a_bad_file_is_a_misconfiguration(text: str) -> None:
    write_toml(text)
    with pytest.raises(Misconfigured):
        load_settings()


def test_networks_are_read_from_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('allowed_private_networks = ["10.0.0.0/8", "fd00::/8"]')
    wanted = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert load_settings().networks == wanted
    monkeypatch.setenv("CALLREEL_ALLOWED_PRIVATE_NETWORKS", " 10.0.0.0/8 , fd00::/8,")
    assert load_settings().networks == wanted


def test_directories_are_beside_each_other_unless_they_are_named(tmp_path: Path) -> None:
    usual = load_settings(data_dir=tmp_path)
    assert (usual.spool_dir, usual.storage_dir) == (tmp_path / "spool", tmp_path / "storage")
    named = load_settings(data_dir=tmp_path, spool_url="file:///srv/spool", storage_url="/srv/storage")
    assert (named.spool_dir, named.storage_dir) == (Path("/srv/spool"), Path("/srv/storage"))
    with pytest.raises(Misconfigured, match="SPOOL_URL"):
        _ = load_settings(spool_url="s3://bucket").spool_dir


def test_the_public_url_has_no_slash_at_its_end() -> None:
    assert load_settings(public_url="https://calls.example.com/x/").public_url == "https://calls.example.com/x"
