"""`Idempotency-Key` of creates that carry parameters: bound to the operation and everything that was sent."""

from __future__ import annotations

import hashlib
import json

from fastapi import Request

from callreel.model.create_key import CreateKey
from callreel.web.forms import Parameters
from callreel.web.uploads import idempotency_key


def create_key(request: Request, sent: Parameters) -> CreateKey | None:
    """The key of a create, None without one. Raises `InvalidParameter` for one that is empty or too long."""
    key = idempotency_key(request)
    if key is None:
        return None
    asked = json.dumps([request.scope["path"], sent.pairs()]).encode()
    return CreateKey(key=key, request_hash=hashlib.sha256(asked).hexdigest())
