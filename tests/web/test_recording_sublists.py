"""The lists that a recording's and a conference's JSON name: empty, and only for those who may see the thing itself."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.web.conftest import UNKNOWN, Caller, Record

CONFERENCE = "CF" + "2" * 32
LISTS = [
    ("Recordings", "RE", "Transcriptions", "transcriptions"),
    ("Recordings", "RE", "AddOnResults", "add_on_results"),
    ("Conferences", "CF", "Participants", "participants"),
]


@pytest.fixture
async def there(recorded: Record) -> dict[str, str]:
    return {"RE": (await recorded(query=f"?ConferenceSid={CONFERENCE}"))["sid"], "CF": CONFERENCE}


@pytest.mark.parametrize(("parent", "prefix", "name", "key"), LISTS)
async def test_it_is_there_and_empty(
    acme: Caller, there: dict[str, str], parent: str, prefix: str, name: str, key: str
) -> None:
    whole = (await acme.get(f"{acme.account_path}/{parent}/{there[prefix]}.json")).json()
    url = whole["subresource_uris"][key]
    page = (await acme.get(f"{url}?PageSize=7")).json()
    assert page == {
        "first_page_uri": f"{url}?PageSize=7&Page=0",
        "next_page_uri": None,
        "previous_page_uri": None,
        "uri": f"{url}?PageSize=7&Page=0",
        "page": 0,
        "page_size": 7,
        "start": 0,
        "end": 0,
        key: [],
    }
    xml = await acme.get(url.removesuffix(".json"))
    assert ElementTree.fromstring(xml.body)[0].tag == name
    assert (await acme.get(f"{url}?PageSize=2000")).json()["code"] == 20007


@pytest.mark.parametrize(("parent", "prefix", "name", "key"), LISTS)
async def test_another_accounts_sid_is_404(
    acme: Caller, stranger: Caller, there: dict[str, str], parent: str, prefix: str, name: str, key: str
) -> None:
    for own in (acme.account_path, stranger.account_path):
        foreign = await stranger.get(f"{own}/{parent}/{there[prefix]}/{name}.json")
        missing = await stranger.get(f"{own}/{parent}/{prefix}{UNKNOWN}/{name}.json")
        assert foreign.status == missing.status == 404
        assert foreign.body.replace(there[prefix].encode(), f"{prefix}{UNKNOWN}".encode()) == missing.body


async def test_a_deleted_recording_has_no_lists(acme: Caller, there: dict[str, str]) -> None:
    path = f"{acme.account_path}/Recordings/{there['RE']}"
    assert (await acme.delete(f"{path}.json")).status == 204
    assert (await acme.get(f"{path}/Transcriptions.json")).status == 404
