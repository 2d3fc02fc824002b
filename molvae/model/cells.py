"""Recurrent cells: gated recurrent units, or long short-term memory.

Both are used alike: what one knows between two symbols is one vector, which of an LSTM holds its
output and its memory.

References:
    Cho et al. (2014), arXiv:1406.1078 (gated recurrent units); Hochreiter and Schmidhuber (1997),
    doi:10.1162/neco.1997.9.8.1735 (long short-term memory).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from molvae.errors import require
from molvae.model.config import ModelConfig

KINDS = {"gru": nn.GRU, "lstm": nn.LSTM}


def make_cells(config: ModelConfig, inputs: int, width: int) -> nn.GRU | nn.LSTM:
    """One layer of cells of the kind that `config.cell` says."""
    require(
        config.cell in KINDS, f"cell = {config.cell!r} has to be decided first, see `with_cell`"
    )
    cells: nn.GRU | nn.LSTM = KINDS[config.cell](inputs, width, batch_first=True)
    return cells


def memory(config: ModelConfig, width: int) -> int:
    """Size of the state that cells keep between two tokens."""
    return 2 * width if config.cell == "lstm" else width


def run_cells(
    cells: nn.GRU | nn.LSTM, x: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Outputs of all steps, `n x t x width`, and the state after the last, `n x memory`.

    Args:
        cells: Cells from `make_cells`.
        x: Inputs, `n x t x inputs`.
        state: Before the first step, `n x memory`; None for zeros.
    """
    out: Tensor
    if isinstance(cells, nn.LSTM):
        parts = None if state is None else tuple(p.contiguous() for p in state[None].chunk(2, 2))
        out, (last, kept) = cells(x, parts)
        return out, torch.cat([last[0], kept[0]], dim=1)
    out, last = cells(x, None if state is None else state[None].contiguous())
    return out, last[0]


def with_cell(config: ModelConfig, *, bf16: bool) -> ModelConfig:
    """Sizes with `cell = "auto"` decided.

    torch fuses an LSTM on the CPU in float32, which there makes it the faster one for the same
    number of weights; in bf16, where that is native, a GRU is not slower and needs fewer.
    """
    return config if config.cell != "auto" else replace(config, cell="gru" if bf16 else "lstm")
