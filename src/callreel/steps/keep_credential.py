"""Keep a customer's key: checked, sealed, and never shown again."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import InvalidFriendlyName
from callreel.ledger.credentials import Credentials
from callreel.model.credential import Credential, CredentialKind, parse_access_key
from callreel.model.deed import CALLREEL, Action, Actor, fingerprint
from callreel.model.sid import AccountSid, CredentialSid, mint_sid
from callreel.sealing.keyring import Keyring
from callreel.sealing.public_key import read_public_key

NAME_LIMIT = 64  # Twilio's error 20002


async def keep_access_key(
    account_sid: AccountSid,
    text: str,
    friendly_name: str,
    *,
    credentials: Credentials,
    keyring: Keyring,
    clock: Clock,
    by: Actor = CALLREEL,
) -> Credential:
    """Keep `KEY_ID:SECRET`. Raises `InvalidAwsCredentials` and `InvalidFriendlyName`; then nothing is stored."""
    key = parse_access_key(text)
    return await _keep(
        account_sid,
        CredentialKind.AWS,
        f"{key.key_id}:{key.secret}",
        friendly_name,
        has_aws_shape=key.has_aws_shape,
        told=fingerprint(key.key_id),
        credentials=credentials,
        keyring=keyring,
        clock=clock,
        by=by,
    )


async def keep_public_key(
    account_sid: AccountSid,
    text: str,
    friendly_name: str,
    *,
    credentials: Credentials,
    keyring: Keyring,
    clock: Clock,
    by: Actor = CALLREEL,
) -> Credential:
    """Keep a public key. Raises one of the `PublicKey…` errors, for a private key too; then nothing is stored."""
    key = read_public_key(text)
    return await _keep(
        account_sid,
        CredentialKind.PUBLIC_KEY,
        key,
        friendly_name,
        has_aws_shape=False,
        told=fingerprint(key),
        credentials=credentials,
        keyring=keyring,
        clock=clock,
        by=by,
    )


def check_name(name: str) -> str:
    """A credential's name may be empty, not longer than 64 characters. Raises `InvalidFriendlyName`."""
    if len(name) > NAME_LIMIT:
        raise InvalidFriendlyName()
    return name


async def _keep(
    account_sid: AccountSid,
    kind: CredentialKind,
    secret: str,
    friendly_name: str,
    *,
    has_aws_shape: bool,
    told: str,
    credentials: Credentials,
    keyring: Keyring,
    clock: Clock,
    by: Actor = CALLREEL,
) -> Credential:
    now = clock.now()
    credential = Credential(
        sid=CredentialSid(mint_sid("CR")),
        account_sid=account_sid,
        kind=kind,
        friendly_name=check_name(friendly_name),
        date_created=now,
        date_updated=now,
        has_aws_shape=has_aws_shape,
    )
    sealed = keyring.seal(secret.encode(), table="credentials", row=credential.sid, account=account_sid)
    deed = by.deed(
        Action.CREDENTIAL_CREATED,
        account_sid,
        credential.sid,
        kind=str(kind),
        friendly_name=credential.friendly_name,
        fingerprint=told,
    )
    await credentials.keep(credential, secret_sealed=sealed, deed=deed)
    return credential
