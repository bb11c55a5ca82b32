"""Callreel: call recordings taken in with Twilio's own API and delivered, with proof, into the customer's bucket."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["decrypt_recording"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: every command imports this package, and few of them decrypt.
    if name == "decrypt_recording":
        from callreel.opening import decrypt_recording

        return decrypt_recording
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
