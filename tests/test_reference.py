"""The reference pages name what exists."""

from __future__ import annotations

import re
from pkgutil import resolve_name

import pytest

from tests.blocks import ROOT

REFERENCE = ROOT / "docs" / "reference"
NAMES = sorted(
    {
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_reference_name_exists(name: str) -> None:
    assert resolve_name(name) is not None
