"""uv looks where pip was told to look."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.set_up import ROOT, read_pip_settings

LISTING = """\
:env:.find-links='ignored here'
global.index-url='https://index.example/simple'
global.extra-index-url='https://one.example/simple https://two.example/simple'
install.index-url='https://install.example/simple'
global.broken=not a literal
"""


def test_what_pip_lists_for_install_wins_over_global() -> None:
    found = read_pip_settings(LISTING)
    assert found["index-url"] == "https://install.example/simple"
    assert found["extra-index-url"].split() == ["https://one.example/simple", "https://two.example/simple"]
    assert "broken" not in found


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-uv.lock"])
def test_a_lock_file_pins_everything_with_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    assert all(
        re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==", entry) and "--hash=sha256:" in entry for entry in entries
    )


def test_the_development_lock_has_the_runtimes_versions() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([A-Za-z0-9._-]+==\S+)", path.read_text(), re.MULTILINE))

    assert pins(ROOT / "requirements.lock") <= pins(ROOT / "requirements-dev.lock")
