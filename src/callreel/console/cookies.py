"""The Console's cookies: out of reach of scripts, never sent from another site's form, over TLS where there is TLS."""

from __future__ import annotations


def cookie(name: str, value: str, public_url: str, *, max_age_s: int | None = None) -> bytes:
    """The value of a Set-Cookie header. Without an age it lasts as long as the browser runs."""
    parts = [f"{name}={value}", "Path=/console", "HttpOnly", "SameSite=Lax"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if public_url.startswith("https://"):
        parts.append("Secure")
    return "; ".join(parts).encode("latin-1")
