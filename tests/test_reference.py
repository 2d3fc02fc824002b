"""The reference pages name what exists."""

from __future__ import annotations

import re
from pkgutil import resolve_name

from tests.blocks import ROOT

REFERENCE = ROOT / "docs" / "reference"
NAMES = sorted(
    {
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
    }
)


def test_reference_pages_name_existing_objects() -> None:
    assert len(NAMES) > 50
    for name in NAMES:
        assert resolve_name(name) is not None, name
