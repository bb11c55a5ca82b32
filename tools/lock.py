"""Renew the lock files: every platform and every Python from 3.11 on, hashes and no index addresses."""

from __future__ import annotations

import os
import subprocess
import sys

from set_up import PYTHON, ROOT, UV, uv_environment

LOCKS = {
    "requirements.lock": ["pyproject.toml", "--group", "build"],
    "requirements-dev.lock": ["pyproject.toml", "--group", "build", "--group", "dev", "-c", "requirements.lock"],
    "requirements-uv.lock": ["--group", "uv"],
}
_FORM = [
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--upgrade",
    "--quiet",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-annotate",
    "--no-header",
]


def main() -> None:
    """Write each lock file, or end with uv's own words."""
    os.chdir(ROOT)
    environment = uv_environment([str(PYTHON), "-m", "pip"])
    for target, sources in LOCKS.items():
        done = subprocess.run([UV, "pip", "compile", *_FORM, *sources, "-o", target], env=environment, check=False)  # noqa: S603
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
