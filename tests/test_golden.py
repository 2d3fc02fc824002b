"""Strategies, spaces and properties give the results that `tests/golden` holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.make_campaigns import machine, numbers, proposals

GOLDEN = Path(__file__).parent / "golden"
CAMPAIGNS = json.loads((GOLDEN / "campaigns.json").read_text())
SPACE = json.loads((GOLDEN / "space.json").read_text())

pytestmark = pytest.mark.skipif(
    CAMPAIGNS["made on"] != machine() or SPACE["made on"] != machine(),
    reason="made by other libraries or on another processor: the last digits differ",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("random", "rank", "ga") else [pytest.mark.slow])
        for name in CAMPAIGNS["results"]
    ],
)
def test_campaigns_propose_the_molecules_of_the_golden_file(name: str) -> None:
    expected = CAMPAIGNS["results"][name]
    if name == "two objectives":
        found = proposals("rank", ["qed", "minimize sas"], len(expected))
    else:
        found = proposals(name, budget=len(expected))
    assert found == expected


def test_spaces_and_properties_equal_the_golden_file() -> None:
    found: dict[str, Any] = json.loads(json.dumps(numbers()))
    assert found == SPACE["results"]
