"""Every error of ours has a line in Twilio's table, and every answer its shape."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from callreel import errors
from callreel.errors import CallreelError
from callreel.web.twilio_errors import TABLE, error_body, shown_path, told_of
from tests.web.conftest import UNKNOWN, Caller


def classes(kind: type[CallreelError] = CallreelError) -> Iterator[type[CallreelError]]:
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from classes(below)


@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
def test_every_error_is_documented_mapped_and_levelled(kind: type[CallreelError]) -> None:
    assert kind.__doc__
    assert kind in TABLE
    assert kind.level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", list(classes(errors.Refused)), ids=lambda kind: kind.__name__)
def test_what_the_caller_did_wrong_is_a_4xx(kind: type[CallreelError]) -> None:
    assert 400 <= TABLE[kind].status < 500


@pytest.mark.parametrize("kind", list(classes(errors.NotNow)), ids=lambda kind: kind.__name__)
def test_what_may_work_later_says_when(kind: type[CallreelError]) -> None:
    assert TABLE[kind].status in (503, 507)
    assert TABLE[kind].retry_after_s


def test_an_error_that_is_not_in_the_table_is_told_as_its_parent() -> None:
    class Young(errors.NotFound):
        """Born after the table."""

    assert told_of(Young()).code == 20404


def test_the_body_never_switches_sdks_to_their_other_exception() -> None:
    body, kind = error_body(TABLE[errors.NotFound], "gone", as_xml=False)
    assert kind == "application/json"
    assert b'"type"' not in body
    assert b'"title"' not in body


def test_xml_messages_are_escaped() -> None:
    body, _ = error_body(TABLE[errors.NotFound], "<b>&\x00\x1b", as_xml=True)
    assert ElementTree.fromstring(body).findtext("RestException/Message") == "<b>&\ufffd\ufffd"


def test_v1_paths_are_shown_without_their_version() -> None:
    assert shown_path("/v1/Credentials/AWS/CR1") == "/Credentials/AWS/CR1"
    assert shown_path("/2010-04-01/Accounts/AC1.json") == "/2010-04-01/Accounts/AC1.json"


async def test_an_unknown_resource_is_404_in_json_with_its_path(acme: Caller) -> None:
    path = f"{acme.account_path}/Recordings/RE{UNKNOWN}.json"
    answer = await acme.get(path)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "code": 20404,
        "message": f"The requested resource {path} was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    }


async def test_errors_of_2010_paths_without_json_are_xml(acme: Caller) -> None:
    path = f"{acme.account_path}/Recordings/RE{UNKNOWN}.wav"
    answer = await acme.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/xml")
    refused = ElementTree.fromstring(answer.body).find("RestException")
    assert refused is not None
    assert [(child.tag, child.text) for child in refused] == [
        ("Code", "20404"),
        ("Message", f"The requested resource {path} was not found"),
        ("MoreInfo", "https://www.twilio.com/docs/errors/20404"),
        ("Status", "404"),
    ]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/Credentials/Nothing", "/Credentials/Nothing"),
        (f"/v1/Credentials/AWS/CR{UNKNOWN}", f"/Credentials/AWS/CR{UNKNOWN}"),
        ("/2010-04-01/Nothing.json", "/2010-04-01/Nothing.json"),
        ("/api/2010-04-01/Nothing.json", "/2010-04-01/Nothing.json"),
        ("/nothing", "/nothing"),
        ("/callreel/v1/Nothing", "/Nothing"),
        ("/n%00%0A%3Cb%3E", "/n%00%0A%3Cb%3E"),
    ],
)
async def test_unknown_paths_are_404_in_twilios_shape(acme: Caller, path: str, shown: str) -> None:
    answer = await acme.get(path)
    assert (answer.status, answer.json()["code"]) == (404, 20404)
    assert answer.json()["message"] == f"The requested resource {shown} was not found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", ".json", {"GET", "POST"}),
        ("PUT", "/Keys.json", {"GET", "POST"}),
        ("POST", "/Recordings.json", {"GET"}),
        ("PATCH", "/Recordings/RE" + UNKNOWN + ".json", {"GET", "DELETE"}),
    ],
)
async def test_wrong_methods_are_405_and_name_the_right_ones(
    acme: Caller, method: str, path: str, allowed: set[str]
) -> None:
    answer = await acme.send(method, acme.account_path + path)
    assert (answer.status, answer.json()["code"]) == (405, 20004)
    assert allowed <= set(answer.headers["Allow"].split(", "))
