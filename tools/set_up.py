"""Build .venv and install a lock file into it, hashes checked: by uv where it is to be had, by pip otherwise.

    python tools/set_up.py requirements.lock

uv does not read pip's configuration, so whatever index pip was told of is handed to it in its environment.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
# pip's option → uv's variable, for what means the same to both
_SAME = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
_WITH_COMMAS = {"find-links"}


def main(lock: str) -> None:
    """Leave a .venv that holds what the lock file names, and the project itself."""
    os.chdir(ROOT)
    pip = make_venv()
    if bring_uv(pip):
        settings = uv_environment(pip)
        if install_with_uv(lock, settings):
            return
        print("uv could not install; trying pip, which takes about a minute", file=sys.stderr)
    install_with_pip(lock, pip)


def make_venv() -> list[str]:
    """Create .venv unless it works already. Returns the pip that installs into it."""
    if not _succeeds([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]):
        made = _succeeds([sys.executable, "-m", "venv", "--clear", VENV])
        if not made:  # Debian's Python without python3-venv has no ensurepip
            _run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV])
    if _succeeds([PYTHON, "-m", "pip", "--version"]):
        return [str(PYTHON), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def bring_uv(pip: list[str]) -> bool:
    """Whether uv is in .venv, installed by pip if need be."""
    return UV.exists() or _succeeds(
        [*pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", "requirements-uv.lock"]
    )


def uv_environment(pip: list[str]) -> dict[str, str]:
    """The environment in which uv looks where pip would look."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)  # noqa: S603
    found = read_pip_settings(listed.stdout) | _from_environment(os.environ)
    # pip takes the best version from all its indexes; the hashes say which files are right.
    made = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
    for option, variable in _SAME.items():
        if option in found and variable not in os.environ:
            made[variable] = (",".join if option in _WITH_COMMAS else " ".join)(found[option].split())
    if found.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        made["UV_NO_INDEX"] = "1"
    return os.environ | made


def read_pip_settings(listing: str) -> dict[str, str]:
    """What `pip config list` prints, `install` over `global`."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in sections:
            try:
                sections[section][option] = str(ast.literal_eval(value))
            except (ValueError, SyntaxError):
                continue
    return sections["global"] | sections["install"]


def install_with_uv(lock: str, environment: dict[str, str]) -> bool:
    """Whether uv installed the lock file and the project."""
    install = [UV, "pip", "install", "--quiet", "--python", PYTHON]
    return _succeeds([*install, "--require-hashes", "-r", lock], environment) and _succeeds(
        [*install, "--no-deps", "--no-build-isolation", "-e", "."], environment
    )


def install_with_pip(lock: str, pip: list[str]) -> None:
    """Install the lock file and the project, or end with pip's own words."""
    install = [*pip, "install", "--quiet", "--disable-pip-version-check"]
    _run([*install, "--require-hashes", "-r", lock])
    _run([*install, "--no-deps", "--no-build-isolation", "-e", "."])


def _from_environment(environment: os._Environ[str]) -> dict[str, str]:
    named = {name[4:].lower().replace("_", "-"): value for name, value in environment.items() if name[:4] == "PIP_"}
    return {option: value for option, value in named.items() if value}


def _succeeds(command: list[object], environment: dict[str, str] | None = None) -> bool:
    try:
        return subprocess.run([str(word) for word in command], env=environment, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def _run(command: list[object]) -> None:
    done = subprocess.run([str(word) for word in command], check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1])
