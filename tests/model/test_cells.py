"""Recurrent cells: the state between two tokens holds all that the next token needs."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from molvae.errors import ConfigError
from molvae.model.cells import make_cells, memory, run_cells, with_cell
from molvae.model.config import ModelConfig


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_run_cells_in_two_parts_equals_one_run(kind: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(cell=kind)  # type: ignore[arg-type]
    cells, x = make_cells(config, 3, 5), torch.randn(4, 7, 3)
    whole, last = run_cells(cells, x)
    first, state = run_cells(cells, x[:, :4])
    second, end = run_cells(cells, x[:, 4:], state)
    assert state.shape == (4, memory(config, 5))
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end, last)
    torch.testing.assert_close(last[:, :5], whole[:, -1])


def test_with_cell_resolves_auto_by_precision_only() -> None:
    auto = ModelConfig(cell="auto")
    assert with_cell(auto, bf16=True).cell == "gru"
    assert with_cell(auto, bf16=False).cell == "lstm"
    lstm = dataclasses.replace(auto, cell="lstm")
    assert with_cell(lstm, bf16=True) == lstm
    with pytest.raises(ConfigError, match="auto"):
        make_cells(auto, 2, 2)
