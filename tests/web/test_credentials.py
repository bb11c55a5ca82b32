"""AWS credentials and public keys on the accounts surface."""

from __future__ import annotations

from io import BytesIO

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from callreel.parts import Parts
from tests.sealing.keys import private_pem, public_pem, rsa_key
from tests.web.conftest import UNKNOWN, Caller

AWS, KEYS = "/v1/Credentials/AWS", "/v1/Credentials/PublicKeys"
ACCESS = "AKIAIOSFODNN7EXAMPLE:" + "k" * 40


def elliptic_pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def test_a_credential_from_creation_to_deletion(acme: Caller) -> None:
    made = await acme.post(AWS, {"Credentials": ACCESS, "FriendlyName": "bucket"})
    assert made.status == 201
    credential = made.json()
    assert credential == {
        "sid": credential["sid"],
        "account_sid": acme.sid,
        "friendly_name": "bucket",
        "date_created": "2026-11-21T12:00:00Z",
        "date_updated": "2026-11-21T12:00:00Z",
        "url": f"{acme.base}{AWS}/{credential['sid']}",
    }
    assert b"k" * 40 not in made.body
    path = f"{AWS}/{credential['sid']}"
    assert (await acme.get(path)).json() == credential
    assert (await acme.post(path, {"FriendlyName": "renamed"})).json()["friendly_name"] == "renamed"
    assert (await acme.post(path, {})).json()["friendly_name"] == "renamed"
    assert [row["sid"] for row in (await acme.get(AWS)).json()["credentials"]] == [credential["sid"]]
    assert (await acme.get(f"{KEYS}/{credential['sid']}")).status == 404, "the other kind"
    assert (await acme.delete(path)).status == 204
    assert (await acme.get(path)).status == 404


async def test_a_public_key_is_kept_also_without_its_line_ends(acme: Caller) -> None:
    for pem in (public_pem(rsa_key()), public_pem(rsa_key()).replace("\n", "")):
        made = await acme.post(KEYS, {"PublicKey": pem})
        assert made.status == 201, made.body
        assert made.json()["url"] == f"{acme.base}{KEYS}/{made.json()['sid']}"


async def test_a_private_key_pasted_as_public_is_refused_and_not_repeated(acme: Caller) -> None:
    answer = await acme.post(KEYS, {"PublicKey": private_pem(rsa_key()).decode()})
    assert (answer.status, answer.json()["code"]) == (400, 70104)
    assert "private" in answer.json()["message"].lower()
    assert b"MII" not in answer.body
    assert (await acme.get(KEYS)).json()["credentials"] == []


@pytest.mark.parametrize(
    ("pem", "code"),
    [
        (elliptic_pem(), 70101),
        (public_pem(rsa_key(1024)), 70102),
        (public_pem(rsa_key(2048, 3)), 70103),
        (public_pem(rsa_key())[:300], 70104),
    ],
    ids=["elliptic", "short", "exponent", "cut short"],
)
async def test_a_weak_or_malformed_key_is_refused_with_its_code_and_not_kept(acme: Caller, pem: str, code: int) -> None:
    answer = await acme.post(KEYS, {"PublicKey": pem})
    assert (answer.status, answer.json()["code"]) == (400, code)
    assert (await acme.get(KEYS)).json()["credentials"] == []


@pytest.mark.parametrize("bits", [3072, 4096])
async def test_longer_keys_are_callreels_own_extension(acme: Caller, bits: int) -> None:
    assert (await acme.post(KEYS, {"PublicKey": public_pem(rsa_key(bits))})).status == 201


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        (AWS, {}, 20001),
        (AWS, {"Credentials": ""}, 20001),
        (AWS, {"Credentials": "no-colon"}, 70106),
        (AWS, {"Credentials": ACCESS, "FriendlyName": "x" * 65}, 20002),
        (AWS, {"Credentials": ACCESS, "AccountSid": "AC1"}, 20001),
        (KEYS, {}, 20001),
        (KEYS, {"PublicKey": "not pem"}, 70104),
        (KEYS, {"PublicKey": "x" * 900_000}, 70104),
        (KEYS, {"PublicKey": "a\x00b"}, 20001),
    ],
)
async def test_what_cannot_be_kept_is_400_with_twilios_code(
    acme: Caller, path: str, form: dict[str, str], code: int
) -> None:
    answer = await acme.post(path, form)
    assert (answer.status, answer.json()["code"]) == (400, code)
    assert (await acme.get(path)).json()["credentials"] == []


async def test_a_form_above_1_mib_is_413(acme: Caller) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await acme.post(KEYS, BytesIO(b"PublicKey=" + b"x" * (1 << 20)), headers=headers)
    assert (answer.status, answer.headers["Connection"]) == (413, "close")


async def test_a_compressed_form_is_415(acme: Caller) -> None:
    answer = await acme.post(AWS, {"Credentials": ACCESS}, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415


async def test_the_owner_creates_a_subaccounts_credential(acme: Caller, branch: Caller, stranger: Caller) -> None:
    made = await acme.post(AWS, {"Credentials": ACCESS, "AccountSid": branch.sid})
    assert made.json()["account_sid"] == branch.sid
    assert (await branch.get(f"{AWS}/{made.json()['sid']}")).status == 200
    assert (await acme.get(f"{AWS}/{made.json()['sid']}")).status == 404
    assert (await branch.post(AWS, {"Credentials": ACCESS, "AccountSid": acme.sid})).status == 404
    assert (await acme.post(AWS, {"Credentials": ACCESS, "AccountSid": stranger.sid})).status == 404


async def test_the_secret_is_nowhere_in_plain_text(acme: Caller, parts: Parts) -> None:
    from callreel.model.credential import CredentialKind

    sid = (await acme.post(AWS, {"Credentials": ACCESS})).json()["sid"]
    sealed = await parts.ledger.credentials.find_sealed(acme.account.sid, CredentialKind.AWS, sid)
    assert sealed is not None
    assert b"k" * 40 not in sealed


@pytest.mark.parametrize("path", [AWS, KEYS])
async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, path: str) -> None:
    form = {"Credentials": ACCESS} if path == AWS else {"PublicKey": public_pem(rsa_key())}
    sid = (await acme.post(path, form)).json()["sid"]
    for method in ("GET", "POST", "DELETE"):
        foreign = await stranger.send(method, f"{path}/{sid}")
        missing = await stranger.send(method, f"{path}/CR{UNKNOWN}")
        assert foreign.status == missing.status == 404
        assert foreign.body.replace(sid.encode(), f"CR{UNKNOWN}".encode()) == missing.body
    assert (await acme.get(f"{path}/{sid}")).status == 200
