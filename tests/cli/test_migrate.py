"""`callreel migrate`: every verb as a person types it, on a terminal and into a pipe, and what it says to bad input."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import pytest
from click.testing import Result

from callreel.cli.installation import with_parts
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.parts import Parts
from callreel.settings import load_settings
from callreel.steps.choose_storage import choose_storage
from callreel.steps.keep_credential import keep_access_key
from tests.cli.conftest import Callreel, document
from tests.journeys.service import environment

KEY = ("AKREHEARSAL000000000", "r" * 40)
RECORDINGS = 12
LIMIT_S = 60.0
UNKNOWN = "MG" + "0" * 32
Run = Callable[..., Result]


def child(*words: str) -> Popen[str]:
    return Popen([sys.executable, "-m", *words], stdout=PIPE, text=True, env=environment())


@pytest.fixture
def twilio(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The pretend Twilio as anybody runs it, with a dozen recordings; the parameter is how many seconds it is away."""
    away = ("--answer-after", str(getattr(request, "param", 0)))
    holds = ("--recordings", str(RECORDINGS), "--size-bytes", "20000")
    with child("callreel.rehearsal.pretend_twilio", *holds, *away) as there:
        assert there.stdout is not None
        yield json.loads(there.stdout.readline())
        there.terminate()


@pytest.fixture
def s3_url(tmp_path: Path) -> Iterator[str]:
    words = ("--root", str(tmp_path / "s3"), "--bucket", "calls", "--key-id", KEY[0], "--secret", KEY[1])
    with child("callreel.rehearsal.embedded_s3", *words) as there:
        assert there.stdout is not None
        yield there.stdout.readline().removeprefix("listening on ").strip()
        there.terminate()


@pytest.fixture
def run(with_database: Callreel) -> Run:
    def run(*words: str, **environment: str) -> Result:
        return with_database(*words, CALLREEL_ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8", **environment)

    return run


@pytest.fixture
def account(run: Run) -> str:
    sid: str = document(run("accounts", "create", "--friendly-name", "Acme", "--json"))["sid"]
    return sid


@pytest.fixture
def source(run: Run, account: str, twilio: dict[str, str]) -> str:
    words = ("sources", "add", "--account", account, "--twilio-account-sid", twilio["account_sid"], "--json")
    added = run(
        *words,
        *("--base-url", twilio["url"], "--poll-seconds", "0"),
        CALLREEL_SOURCE_AUTH_TOKEN=twilio["auth_token"],
    )
    sid: str = document(added)["sid"]
    return sid


@pytest.fixture
def stored(account: str, s3_url: str, data_dir: Path, database_url: str) -> None:
    """External storage of the account in the embedded S3."""

    async def work(parts: Parts) -> None:
        of, p = AccountSid(account), parts
        kept = await keep_access_key(
            of, ":".join(KEY), "key", credentials=p.ledger.credentials, keyring=p.keyring, clock=p.clock
        )
        await choose_storage(
            of,
            RecordingKind.VOICE,
            StorageSettings(aws_storage_enabled=True, aws_s3_url=f"{s3_url}/calls", aws_credentials_sid=kept.sid),
            ledger=p.ledger,
            private_networks=p.chosen.private_networks,
            clock=p.clock,
        )

    with_parts(
        load_settings(data_dir=data_dir, database_url=database_url, allowed_private_networks="127.0.0.0/8"), work
    )


def on_a_terminal(data_dir: Path, database_url: str, *words: str, interrupt_at: str = "") -> tuple[int, str, str]:
    """Run a command with its standard error on a terminal; its exit code, its answer, and what the terminal showed."""
    leader, follower = pty.openpty()
    env = environment(CALLREEL_DATA_DIR=str(data_dir), CALLREEL_DATABASE_URL=database_url, TERM="xterm", COLUMNS="100")
    command = [sys.executable, "-m", "callreel.cli.main", *words]
    with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=follower, env=env, text=True) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # Linux says EIO when nobody holds the other end any more
                break
            if not piece:
                break
            shown += piece
            if interrupt_at and interrupt_at in shown.decode(errors="replace"):
                process.send_signal(signal.SIGINT)
                interrupt_at = ""
        os.close(leader)
        assert process.stdout is not None
        answer = process.stdout.read()
        return process.wait(LIMIT_S), answer, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))


@pytest.mark.usefixtures("stored")
def test_from_plan_to_verify(run: Run, source: str, twilio: dict[str, str], tmp_path: Path) -> None:
    told = document(run("migrate", "plan", "--source", source, "--json"))
    assert (told["source_sid"], told["recordings"], told["minutes"]) == (source, RECORDINGS, RECORDINGS)
    words = run("migrate", "plan", "--source", source).stdout
    assert re.search(rf"recordings\s+{RECORDINGS}\b", words)
    assert re.search(r"a month in the bucket\s+\$0\.00", words)

    started = run("migrate", "start", "--source", source, "--wait")
    assert started.exit_code == 0, started.output
    assert re.search(r"status\s+completed", started.stdout)
    assert re.search(rf"deleted_at_source\s+{RECORDINGS}\b", started.stdout)
    assert "\x1b" not in started.stdout + started.stderr  # into a pipe: neither bar nor colour
    sid = re.search(r"MG[0-9a-f]{32}", started.stdout)
    assert sid is not None

    row = document(run("migrate", "status", sid[0], "--json"))
    assert (row["status"], row["total"], row["moved"], row["failed"], row["eta_seconds"]) == (
        *("completed", RECORDINGS, RECORDINGS, 0),
        0,
    )
    report = run("migrate", "report", sid[0])
    file = tmp_path / "moved.json"
    file.write_text(report.stdout)
    assert len(json.loads(report.stdout)["items"]) == RECORDINGS
    table = list(csv.DictReader(io.StringIO(run("migrate", "report", sid[0], "--format", "csv").stdout)))
    assert {line["state"] for line in table} == {"link_cleared"}
    assert document(run("migrate", "verify", str(file), "--json")) == {
        "ok": True,
        "receipts": RECORDINGS,
        "forged": [],
    }
    forged = tmp_path / "forged.json"
    broken = json.loads(report.stdout)
    broken["items"][0]["receipt"]["facts"]["deleted_at"] = None
    broken["items"][1]["sha256"] = "0" * 64
    broken["items"][2]["receipt"]["document"] += " "
    forged.write_text(json.dumps(broken))
    found = run("migrate", "verify", str(forged))
    assert (found.exit_code, found.stdout.count("does not hold")) == (1, 3)
    for verb, said in (("pause", "cannot be paused"), ("cancel", "cannot be canceled")):
        late = run("migrate", verb, sid[0])
        assert (late.exit_code, said in late.stderr) == (1, True)
    assert document(run("migrate", "retry", sid[0], "--json")) == {"retried": 0}


def test_a_migration_is_paused_resumed_and_canceled_while_nobody_works(run: Run, source: str) -> None:
    row = document(run("migrate", "start", "--source", source, "--json"))
    assert (row["status"], row["total"], row["eta_seconds"]) == ("running", 0, None)
    sid = row["sid"]
    assert "not known yet" in run("migrate", "status", sid).stdout
    second = run("migrate", "start", "--source", source)
    assert (second.exit_code, "running or paused" in second.stderr) == (1, True)
    removed = run("sources", "remove", source)
    assert (removed.exit_code, "migrate cancel" in removed.stderr) == (1, True)
    for verb, status in (("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("resume", "running")):
        assert document(run("migrate", verb, sid, "--json"))["status"] == status
    for _ in "twice":
        assert document(run("migrate", "cancel", sid, "--json"))["status"] == "canceled"
    late = run("migrate", "resume", sid)
    assert (late.exit_code, "canceled" in late.stderr) == (1, True)
    assert (run("migrate", "retry", sid).exit_code, run("migrate", "retry", source).exit_code) == (1, 0)


def test_bad_input_ends_with_one_line_that_says_why(run: Run, source: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>")
    nothing = "SR" + "0" * 32
    for words, code, said in (
        (("plan", "--source", nothing), 1, "no source"),
        (("start", "--source", nothing, "--wait"), 1, "no source"),
        (("status", UNKNOWN), 1, "no migration"),
        (("pause", UNKNOWN), 1, "no migration"),
        (("resume", "what"), 1, "no migration"),
        (("cancel", UNKNOWN), 1, "no migration"),
        (("report", UNKNOWN), 1, "no migration"),
        (("retry", UNKNOWN), 1, "no migration"),
        (("retry", nothing), 1, "no source"),
        (("retry", source, "--recording", "RE" + "0" * 32), 1, "no recording"),
        (("verify", str(page)), 1, "not what"),
        (("verify", str(tmp_path / "none")), 1, "not what"),
        (("plan",), 2, "--source"),
        (("start", "--source", source, "--created-after", "yesterday"), 2, "ISO 8601"),
        (("plan", "--source", source, "--created-after", "2026-02-01", "--created-before", "2026-01-01"), 2, "before"),
        (("report", UNKNOWN, "--format", "xml"), 2, "json or csv"),
        (("retry",), 2, "Missing"),
    ):
        result = run("migrate", *words)
        assert (words, result.exit_code, said in result.stderr) == (words, code, True), result.stderr
        if code == 1:
            assert len(result.stderr.strip().splitlines()) == 1


def test_a_source_that_refuses_the_credential_stops_it_with_the_reason(
    run: Run, account: str, twilio: dict[str, str]
) -> None:
    words = ("sources", "add", "--account", account, "--twilio-account-sid", twilio["account_sid"], "--json")
    wrong = run(*words, "--base-url", twilio["url"], "--poll-seconds", "0", CALLREEL_SOURCE_AUTH_TOKEN="wrong-token")
    source = document(wrong)["sid"]
    planned = run("migrate", "plan", "--source", source)
    assert (planned.exit_code, "20003" in planned.stderr) == (1, True)
    ended = run("migrate", "start", "--source", source, "--wait", "--json")
    row = json.loads(ended.stdout)
    assert (ended.exit_code, row["status"], row["total"]) == (1, "failed", 0)
    assert "20003" in row["reason"]
    assert "migrate resume" in row["remedy"]
    assert run("migrate", "retry", row["sid"]).exit_code == 1
    again = run("sources", "renew", source, CALLREEL_SOURCE_AUTH_TOKEN=twilio["auth_token"])
    assert again.exit_code == 0
    assert document(run("migrate", "resume", row["sid"], "--json"))["status"] == "running"


@pytest.mark.usefixtures("stored")
def test_a_terminal_sees_how_far_it_is_and_the_answer_stays_clean(
    source: str, data_dir: Path, database_url: str
) -> None:
    code, answer, shown = on_a_terminal(data_dir, database_url, "migrate", "start", "--source", source, "--wait")
    assert code == 0, shown
    assert re.search(rf"{RECORDINGS}/{RECORDINGS}", shown)
    assert "\x1b" not in answer
    assert re.search(r"status\s+completed", answer)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("twilio", [0.3], indirect=True)
def test_ctrl_c_leaves_a_migration_that_goes_on_when_it_is_typed_again(
    run: Run, source: str, data_dir: Path, database_url: str
) -> None:
    words = ("migrate", "start", "--source", source, "--wait")
    code, answer, shown = on_a_terminal(data_dir, database_url, *words, interrupt_at="moving")
    assert (code, answer) == (130, ""), shown
    assert "Traceback" not in shown
    assert "What is in hand is finished" in shown
    again = run(*words)
    assert again.exit_code == 0, again.output
    assert re.search(rf"deleted_at_source\s+{RECORDINGS}\b", again.stdout)


@pytest.mark.usefixtures("stored")
def test_whoever_waits_takes_over_from_a_service_that_dies(
    run: Run, source: str, data_dir: Path, database_url: str
) -> None:
    with ExitStack() as stack:

        def started(*words: str) -> Popen[str]:
            env = environment(CALLREEL_DATA_DIR=str(data_dir), CALLREEL_DATABASE_URL=database_url)
            process = Popen(
                [sys.executable, "-m", "callreel.cli.main", *words], env=env, stdout=PIPE, stderr=PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        service = started("serve", "--role", "worker", "--json")
        assert service.stdout is not None
        assert json.loads(service.stdout.readline())["url"] is None
        service.send_signal(signal.SIGSTOP)  # it has the spool, and moves nothing
        sid = document(run("migrate", "start", "--source", source, "--json"))["sid"]
        waiting = started("migrate", "status", sid, "--wait", "--json")
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        assert "looks on" in waiting.stderr.readline()
        service.kill()
        assert "goes on here" in waiting.stderr.readline()
        row: dict[str, Any] = json.loads(waiting.stdout.read())
        assert (waiting.wait(LIMIT_S), row["status"], row["deleted_at_source"]) == (0, "completed", RECORDINGS)
