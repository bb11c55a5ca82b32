"""Twilio's own package, pointed at a listener of ours by its base URLs and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twilio.rest import Client

from tests.web.conftest import (  # noqa: F401 - fixtures are found by their names
    Caller,
    acme,
    base,
    branch,
    deliver,
    recorded,
    session,
    stranger,
)


def sdk_of(caller: Caller) -> Client:
    """The unmodified client of one caller."""
    client = Client(caller.sid, caller.token)
    for domain in (client.api, client.accounts, client.video):
        domain.base_url = caller.base
    return client


@pytest.fixture
def sdk(acme: Caller) -> Iterator[Client]:  # noqa: F811 - pytest hands the fixture in
    client = sdk_of(acme)
    yield client
    client.http_client.session.close()
