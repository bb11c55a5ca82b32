"""What a person sees first."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from callreel.cli.main import COMMANDS
from callreel.settings import SECRETS, Settings
from tests.cli.conftest import Callreel

EVERY = (
    "serve",
    "demo",
    "accounts create",
    "accounts list",
    "accounts suspend",
    "accounts activate",
    "accounts close",
    "accounts rotate-token",
    "accounts keys create",
    "accounts keys list",
    "accounts keys revoke",
    "deliveries list",
    "deliveries restart",
    "check",
    "backup",
    "restore",
    "keys rotate",
    "sources add",
    "sources list",
    "sources check",
    "sources renew",
    "sources remove",
    "recover",
    "quarantine list",
    "quarantine remove",
    "clock show",
    "clock confirm",
    "config show",
    "config check",
    "iam-policy",
    "decrypt",
)


@pytest.mark.parametrize("command", EVERY)
def test_every_command_has_json_a_data_dir_and_an_example(callreel: Callreel, command: str) -> None:
    shown = callreel(*command.split(), "--help", COLUMNS="200", TERM="dumb")
    assert shown.exit_code == 0
    assert f"Example: callreel {command}" in shown.output
    assert "--json" in shown.output
    assert "--data-dir" in shown.output


def test_help_lists_every_command_and_loads_none(callreel: Callreel) -> None:
    shown = callreel("--help")
    assert all(f"  {name} " in shown.output for name in COMMANDS)
    program = (
        "import sys, callreel.cli.main; print(sorted({'sqlalchemy', 'pydantic', 'aiohttp', 'rich'} & {*sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_file_has_its_name(name: str) -> None:
    assert importlib.import_module(f"callreel.cli.{name.replace('-', '_')}").app


def test_an_unknown_command_is_wrong_usage(callreel: Callreel) -> None:
    assert callreel("recover-everything").exit_code == 2


def test_every_setting_but_the_secrets_is_a_flag(callreel: Callreel) -> None:
    for name in Settings.model_fields:
        flag = f"--{name.replace('_', '-')}"
        answer = callreel("config", "show", f"{flag}=")
        assert ("No such option" in answer.output) is (name in SECRETS), flag


def test_the_version_is_told(callreel: Callreel) -> None:
    assert callreel("--version").output.startswith("callreel 0.")
