"""`callreel serve` from start to stop."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from callreel.rehearsal.speech import speech
from tests.journeys.service import Service, callreel, serving

pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


def _get(service: Service, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
    connection.request("GET", path, headers={"Connection": "close"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_port_0_is_told_once_the_service_answers(service: Service) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", service.url)
    assert _get(service, "/readyz").status == 200
    assert service.errors.count(f"listening on {service.url}") == 1


def test_the_server_does_not_name_itself(service: Service) -> None:
    assert _get(service, "/healthz").getheader("Server") is None


def test_the_first_account_signs_in(service: Service) -> None:
    assert service.account is not None
    keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    keys.add_password(None, service.url, service.account["sid"], service.account["auth_token"])
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(keys))
    with opener.open(f"{service.url}/2010-04-01/Accounts/{service.account['sid']}.json", timeout=30) as answer:
        assert json.load(answer)["friendly_name"] == "Main account"


def test_a_second_worker_on_the_same_directory_is_refused_with_the_reason(service: Service) -> None:
    refused = callreel("serve", "--port", "0", "--data-dir", str(service.data_dir), cwd=service.home)
    assert refused.returncode == 1
    assert f"pid {service.process.pid}" in refused.stderr
    assert _get(service, "/readyz").status == 200


def test_an_address_in_use_is_said_in_one_line(service: Service) -> None:
    port = str(urlsplit(service.url).port)
    refused = callreel("serve", "--port", port, "--data-dir", str(service.data_dir), cwd=service.home)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert port in refused.stderr


def test_commands_work_beside_the_service(service: Service) -> None:
    assert service.account is not None
    listed = callreel("accounts", "list", "--json", "--data-dir", str(service.data_dir), cwd=service.home)
    assert [row["sid"] for row in json.loads(listed.stdout)["accounts"]] == [service.account["sid"]]
    assert _get(service, "/readyz").status == 200


def test_sigterm_stops_everything_and_a_new_start_knows_the_account(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        account = first.account
        first.send(signal.SIGTERM)
        assert first.wait() == 0
        assert not first.postgres_is_up
    with serving(tmp_path) as second:
        listed = callreel("accounts", "list", "--json", "--data-dir", str(second.data_dir), cwd=tmp_path)
        assert account is not None
        assert [row["sid"] for row in json.loads(listed.stdout)["accounts"]] == [account["sid"]]
        assert second.account is None  # the sign-in was shown once


def test_a_request_under_way_is_finished_before_the_stop_and_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        first, second = _begun(service), _begun(service)
        service.send(signal.SIGTERM)
        first.sendall(_MEDIA[-1:])
        answer = b""
        while chunk := first.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert service.process.poll() is None  # the other request is still being sent
        service.send(signal.SIGTERM)
        assert service.wait() == 128 + signal.SIGTERM
        first.close()
        second.close()


def test_after_its_database_was_killed_the_service_brings_it_back(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        pid = int((service.data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        statuses = [503]
        while statuses[-1] != 200:
            statuses.append(_get(service, "/readyz").status)
        assert set(statuses) == {200, 503}
        service.send(signal.SIGTERM)
        assert service.wait() == 0


_MEDIA = speech(1, seed=1)


def _begun(service: Service) -> socket.socket:
    """An upload that lacks its last byte. The service has begun to read it."""
    assert service.account is not None
    sid = service.account["sid"]
    sign_in = base64.b64encode(f"{sid}:{service.account['auth_token']}".encode()).decode()
    host = urlsplit(service.url).netloc
    connection = socket.create_connection(host.split(":"), timeout=30)  # type: ignore[arg-type]
    head = (
        f"POST /callreel/v1/Accounts/{sid}/Recordings HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {sign_in}\r\n"
        f"Content-Type: audio/x-wav\r\nContent-Length: {len(_MEDIA)}\r\nExpect: 100-continue\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
    connection.sendall(_MEDIA[:-1])
    return connection


def _say(service: Service, request: bytes) -> bytes:
    """Send bytes, end our half, and read whatever comes until the other half ends."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as wire:
        wire.sendall(request)
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def _upload_head(service: Service, *more: str, path: str = "/callreel/v1/Accounts/{sid}/Recordings") -> bytes:
    assert service.account is not None
    sid, token = service.account["sid"], service.account["auth_token"]
    signed = base64.b64encode(f"{sid}:{token}".encode()).decode()
    lines = [f"POST {path.format(sid=sid)} HTTP/1.1", "Host: x", f"Authorization: Basic {signed}", *more, "", ""]
    return "\r\n".join(lines).encode()


def test_a_body_shorter_than_announced_is_told_so_and_nothing_is_kept(service: Service) -> None:
    media = speech(1.0, seed=1)
    head = _upload_head(service, "Content-Type: audio/x-wav", f"Content-Length: {len(media)}")
    answer = _say(service, head + media[:-100])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 20001
    assert list((service.data_dir / "spool" / "ready").iterdir()) == []


def test_a_chunked_body_without_its_end_is_never_taken(service: Service) -> None:
    media = speech(1.0, seed=1)
    head = _upload_head(service, "Content-Type: audio/x-wav", "Transfer-Encoding: chunked")
    answer = _say(service, head + f"{len(media):x}\r\n".encode() + media + b"\r\n")
    assert b" 201 " not in answer.partition(b"\r\n")[0]
    assert list((service.data_dir / "spool" / "ready").iterdir()) == []


def test_a_form_shorter_than_announced_changes_nothing(service: Service) -> None:
    head = _upload_head(
        service,
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 40",
        path="/2010-04-01/Accounts/{sid}.json",
    )
    answer = _say(service, head + b"FriendlyName=Mai")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert service.account is not None
    assert b'Mai"' not in answer


def test_what_is_no_http_is_answered_in_twilios_shape(service: Service) -> None:
    answer = _say(service, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 20001
