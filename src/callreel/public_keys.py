"""The public key that settings name: opened, or why it cannot be used.

Above the shelves and below the steps: it joins the ledger's credentials with the key ring.
"""

from __future__ import annotations

from callreel.errors import PublicKeyMissing
from callreel.ledger.ledger import Ledger
from callreel.model.credential import CredentialKind
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import StorageSettings
from callreel.sealing.keyring import Keyring


async def fetch_public_key(
    account_sid: AccountSid, settings: StorageSettings, *, ledger: Ledger, keyring: Keyring
) -> tuple[str, str]:
    """Its PEM and its SID, read anew each time: a key that was deleted a moment ago is not used again.

    Raises `PublicKeyMissing`, `SealBroken` when the stored key does not open, and `DatabaseAway`.
    """
    sid = settings.encryption_key_sid
    if sid is None:
        raise PublicKeyMissing("Encryption is on and EncryptionKeySid is not set")
    sealed = await ledger.credentials.find_sealed(account_sid, CredentialKind.PUBLIC_KEY, sid)
    if sealed is None:
        raise PublicKeyMissing(f"The public key {sid} no longer exists")
    return keyring.open(sealed, table="credentials", row=sid, account=account_sid).decode(), sid
