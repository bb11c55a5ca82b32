"""The Console's credentials: kept, shown without what they hold, renamed, and removed with a warning."""

from __future__ import annotations

import re

from callreel.clock import SetClock
from callreel.model.credential import CredentialKind
from callreel.parts import Parts
from tests.console.conftest import Browser
from tests.sealing.keys import private_pem, public_pem, rsa_key
from tests.stage import Stage

PATH = "/console/credentials"
ACCESS = {"do": "add-access-key", "name": "Production writer", "key_id": "AKIAIOSFODNN7EXAMPLE", "secret": "k" * 40}


async def made(owner: Browser, form: dict[str, str]) -> str:
    page = await owner.get(PATH)
    answer = await owner.post(PATH, form, token=page.token)
    assert answer.status == 303, answer.text
    found = re.search(r"made=(CR[0-9a-f]{32})", answer.where)
    assert found is not None
    return found.group(1)


async def test_an_access_key_is_kept_and_its_secret_is_nowhere(owner: Browser) -> None:
    sid = await made(owner, ACCESS)
    listed = await owner.get(f"{PATH}?made={sid}")
    assert "Production writer" in listed.text
    assert sid in listed.text
    one = await owner.get(f"{PATH}/{sid}")
    for page in (listed, one):
        assert "k" * 40 not in page.text
        assert "AKIAIOSFODNN7EXAMPLE" not in page.text


async def test_a_public_key_is_kept_and_a_private_one_refused_and_not_shown_again(owner: Browser) -> None:
    key = rsa_key()
    await made(owner, {"do": "add-public-key", "key_name": "Compliance", "public_key": public_pem(key)})
    page = await owner.get(PATH)
    pasted = {"do": "add-public-key", "key_name": "oops", "public_key": private_pem(key).decode()}
    refused = await owner.post(PATH, pasted, token=page.token)
    assert refused.status == 400
    assert "PRIVATE KEY" not in refused.text.replace("never paste", "")
    assert "Nothing was kept" in refused.text
    assert "oops" in refused.text  # what may be shown of what was typed is


async def test_what_is_malformed_is_refused_with_what_was_typed_but_not_the_secret(owner: Browser) -> None:
    page = await owner.get(PATH)
    refused = await owner.post(PATH, ACCESS | {"secret": "s3cr t"}, token=page.token)
    assert refused.status == 400
    assert "AKIAIOSFODNN7EXAMPLE" in refused.text
    assert "s3cr t" not in refused.text


async def test_a_credential_says_who_uses_it_and_who_waits_for_it(owner: Browser, stage: Stage) -> None:
    await stage.sealed()
    page = await owner.get(f"{PATH}/{stage.credential_sid}")
    assert "Voice recordings" in page.text
    assert "1 recording waits" in page.text
    assert "16111" in page.text


async def test_a_credential_is_renamed_and_removed_when_confirmed(
    owner: Browser, stage: Stage, parts: Parts, clock: SetClock
) -> None:
    path = f"{PATH}/{stage.credential_sid}"
    page = await owner.get(path)
    assert (await owner.post(path, {"do": "rename", "name": "<b>Writer</b>"}, token=page.token)).status == 303
    assert "&lt;b&gt;Writer&lt;/b&gt;" in (await owner.get(path)).text
    unsure = await owner.post(path, {"do": "remove", "confirm": "nope"}, token=page.token)
    assert (unsure.status, stage.credential_sid[-4:] in unsure.text) == (400, True)
    gone = await owner.post(path, {"do": "remove", "confirm": stage.credential_sid[-4:]}, token=page.token)
    assert (gone.status, gone.where) == (303, f"{PATH}?removed=1")
    kind = CredentialKind.AWS
    assert await parts.ledger.credentials.find(stage.account_sid, kind, stage.credential_sid) is None
    assert "credential.deleted" in (await owner.get("/console/audit")).text


async def test_a_listener_is_refused(listener: Browser, stage: Stage) -> None:
    for path in (PATH, f"{PATH}/{stage.credential_sid}"):
        assert (await listener.get(path)).status == 403
    assert "/console/credentials" not in (await listener.get("/console/recordings")).text


async def test_another_accounts_sid_is_404(stranger: Browser, stage: Stage) -> None:
    path = f"{PATH}/{stage.credential_sid}"
    assert (await stranger.get(path)).status == 404
    own = await stranger.get(PATH)
    form = {"do": "remove", "confirm": stage.credential_sid[-4:]}
    assert (await stranger.post(path, form, token=own.token)).status == 404


async def test_a_forged_form_changes_nothing(owner: Browser, stage: Stage) -> None:
    path = f"{PATH}/{stage.credential_sid}"
    form = {"do": "remove", "confirm": stage.credential_sid[-4:]}
    assert (await owner.post(path, form, token="forged")).status == 403
    assert (await owner.get(path)).status == 200
