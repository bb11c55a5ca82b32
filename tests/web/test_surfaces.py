"""One listener, three ways to name a surface."""

from __future__ import annotations

import pytest

from callreel.web.surfaces import Surface, surface_of
from tests.web.conftest import Caller


@pytest.mark.parametrize(
    ("host", "path", "surface", "prefix"),
    [
        ("127.0.0.1:8080", "/2010-04-01/Accounts.json", Surface.API, ""),
        ("127.0.0.1:8080", "/api/2010-04-01/Accounts.json", Surface.API, "/api"),
        ("api.example.com", "/2010-04-01/Accounts.json", Surface.API, ""),
        ("accounts.example.com", "/v1/Credentials/AWS", Surface.ACCOUNTS, ""),
        ("127.0.0.1", "/accounts/v1/Credentials/AWS", Surface.ACCOUNTS, "/accounts"),
        ("api.example.com", "/v1/Credentials/AWS", Surface.ACCOUNTS, ""),
        ("video.example.com:443", "/openapi.json", Surface.VIDEO, ""),
        ("VIDEO.example.com", "/docs", Surface.VIDEO, ""),
        ("x", "/video/v1/RecordingSettings/Default", Surface.VIDEO, "/video"),
        ("x", "/callreel/v1/Accounts/AC1/Recordings", Surface.CALLREEL, "/callreel"),
        ("api.example.com", "/callreel/openapi.json", Surface.CALLREEL, "/callreel"),
        ("api.example.com", "/healthz", Surface.LISTENER, ""),
        ("x", "/", Surface.LISTENER, ""),
        ("x", "/docs", Surface.LISTENER, ""),
        ("x", "/apiary", Surface.LISTENER, ""),
        ("", "/nothing", Surface.LISTENER, ""),
    ],
)
def test_prefix_then_bare_path_then_host_label_decide(host: str, path: str, surface: Surface, prefix: str) -> None:
    assert surface_of(host, path) == (surface, prefix)


async def test_the_same_list_by_prefix_by_host_and_bare(acme: Caller) -> None:
    bare = await acme.get("/2010-04-01/Accounts.json")
    by_prefix = await acme.get("/api/2010-04-01/Accounts.json")
    by_host = await acme.get("/2010-04-01/Accounts.json", headers={"Host": "api.example.com"})
    assert bare.status == 200
    assert bare.body == by_prefix.body == by_host.body


async def test_the_landing_page_names_version_docs_and_surfaces(acme: Caller) -> None:
    told = (await acme.get("/", auth=None)).json()
    assert told["name"] == "callreel"
    assert told["docs"] == "/docs"
    assert set(told["surfaces"]) == {"api", "accounts", "video", "callreel"}
    for surface in told["surfaces"].values():
        assert (await acme.get(surface["openapi"], auth=None)).status == 200


@pytest.mark.parametrize("surface", ["api", "accounts", "video", "callreel"])
async def test_each_surface_describes_itself_for_machines_and_people(acme: Caller, surface: str) -> None:
    described = (await acme.get(f"/{surface}/openapi.json", auth=None)).json()
    assert described["servers"] == [{"url": f"/{surface}"}]
    for operations in described["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert "422" not in operation["responses"]
    page = await acme.get(f"/{surface}/docs", auth=None)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    text = page.body.decode()
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    for path in described["paths"]:
        assert path in text


async def test_the_description_covers_every_route_that_is_served(acme: Caller) -> None:
    paths = (await acme.get("/callreel/openapi.json", auth=None)).json()["paths"]
    assert "post" in paths["/v1/Accounts/{account_sid}/Recordings"]
    assert "get" in paths["/v1/Accounts/{account_sid}/Deliveries"]
    media = (await acme.get("/api/openapi.json", auth=None)).json()["paths"]
    assert "get" in media["/2010-04-01/Accounts/{account_sid}/Recordings/{name}"]
