"""What providers cannot do, as data. The story behind each entry is in `docs/providers.md`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a provider's S3 differs from AWS's.

    `takes_checksum`: x-amz-checksum-sha256 may be sent. `etag_is_md5`: the ETag of a single put that was not
    encrypted with a customer's key is its MD5. `part_etag_is_md5`: the same for a part. `keeps_lock_headers`:
    Object Lock asked for in a put's headers is in force or the put is refused; elsewhere it is asked for again,
    by a request of its own whose answer is the confirmation.
    """

    name: str
    takes_checksum: bool = True
    etag_is_md5: bool = True
    part_etag_is_md5: bool = True
    keeps_lock_headers: bool = False


AWS = Dialect(name="aws", keeps_lock_headers=True)
PLAIN = Dialect(name="plain")
"""Everybody we know nothing odd of: MinIO, Ceph, Wasabi, SeaweedFS, Garage, the embedded S3."""

BY_HOST_SUFFIX: dict[str, Dialect] = {
    "amazonaws.com": AWS,
    "amazonaws.com.cn": AWS,
    "backblazeb2.com": Dialect(name="backblaze-b2", takes_checksum=False),
    "r2.cloudflarestorage.com": Dialect(name="cloudflare-r2", takes_checksum=False, part_etag_is_md5=False),
    "storage.googleapis.com": Dialect(name="google-cloud-storage", takes_checksum=False),
}


def dialect_of(endpoint: str) -> Dialect:
    """The dialect of an endpoint (scheme, host and port), found by the host's last labels."""
    labels = (urlsplit(endpoint).hostname or "").split(".")
    for i in range(len(labels)):
        found = BY_HOST_SUFFIX.get(".".join(labels[i:]))
        if found:
            return found
    return PLAIN
