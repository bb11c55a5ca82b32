"""Runs somebody's program with Twilio's hosts leading to a callreel: what DNS or one `base_url` line does in earnest.

python redirected.py URL PROGRAM [ARGUMENT…]
"""

from __future__ import annotations

import re
import runpy
import sys
from typing import Any

from twilio.http.http_client import TwilioHttpClient

_HOST = re.compile(r"^https://(api|accounts|video)\.twilio\.com(?=/)")


def main(url: str, program: str, *arguments: str) -> None:
    ask = TwilioHttpClient.request

    def request(self: TwilioHttpClient, method: str, address: str, *words: Any, **more: Any) -> Any:
        return ask(self, method, _HOST.sub(rf"{url}/\1", address), *words, **more)

    TwilioHttpClient.request = request  # type: ignore[method-assign]
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
