"""The plainest generative model of sequences: one GRU that predicts the next symbol.

Sees the integers that a VAE was trained on and as many weights as that has, so that a comparison is
about latent vectors and not about size or about how molecules are written.

References:
    Segler et al. (2018), doi:10.1021/acscentsci.7b00512; Flam-Shepherd et al. (2022),
    arXiv:2112.03041.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional

from molvae._files import write_atomically
from molvae._isolation import threads
from molvae.chem.vocabulary import PAD, START, STOP
from molvae.config import TrainConfig
from molvae.model.batches import epoch_batches
from molvae.model.objectives import reconstruction
from molvae.model.training import autocast, begin, schedule, trim
from molvae.tokens import Tokens

BATCH = 512
"""Rows that go through the network together when nothing is learned."""
EMBEDDING = 64
"""Numbers that stand for one symbol, as in the VAE."""
WEIGHTS = "language-model.safetensors"
SETTINGS = ("molecules", "batch_size", "learning_rate", "lr_warm_up", "clip", "seed")
"""Of a training, what decides the weights."""


class LanguageModel(nn.Module):
    """p(row) as a product over its symbols, each given those before it.

    Args:
        n_symbols: Size of the vocabulary, specials included.
        max_length: Longest row, stop included.
        width: State of the GRU.
    """

    def __init__(self, n_symbols: int, max_length: int, width: int) -> None:
        super().__init__()
        self.n_symbols, self.max_length, self.width = n_symbols, max_length, width
        self.embedding = nn.Embedding(n_symbols, EMBEDDING, padding_idx=PAD)
        self.gru = nn.GRU(EMBEDDING, width, batch_first=True)
        self.head = nn.Linear(width, n_symbols)

    def logits(self, ids: Tensor) -> Tensor:
        """Logits of every symbol of the rows given those before it, `n x t x n_symbols`.

        Args:
            ids: `n x t`, ended by stop, padded on the right.
        """
        before = functional.pad(ids[:, :-1], (1, 0), value=START)
        logits: Tensor = self.head(self.gru(self.embedding(before))[0])
        return logits

    def step(self, symbol: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the symbol to come, `n x n_symbols`, and the next state, `n x width`.

        Args:
            symbol: The one before, `n`; start for the first.
            state: `n x width`, 0 for the first.
        """
        out, last = self.gru(self.embedding(symbol)[:, None], state[None].contiguous())
        return self.head(out[:, 0]), last[0]


def width_for(weights: int, n_symbols: int) -> int:
    """The width with which a language model has as many weights as possible, but no more.

    Args:
        weights: How many numbers are to be learned.
        n_symbols: Size of the vocabulary, specials included.

    Returns:
        At least 1.
    """

    def needed(width: int) -> int:
        gru = 3 * width * (EMBEDDING + width + 2)
        return n_symbols * EMBEDDING + gru + (width + 1) * n_symbols

    width = 1
    while needed(width + 1) <= weights:
        width += 1
    return width


def train(model: LanguageModel, rows: Tensor, config: TrainConfig) -> LanguageModel:
    """Maximise the likelihood of the rows, with optimiser, batches and schedule of the VAE.

    Args:
        model: As initialised; changed in place.
        rows: `n x max_length`, any integer type, ended by stop, padded.
        config: `molecules`, `batch_size`, `learning_rate`, `lr_warm_up`, `clip`, `precision`,
            `device` and `seed` are used.

    Returns:
        The trained model, in evaluation mode, on the CPU.
    """
    device, optimizer = begin(model, config)
    lengths = (rows != PAD).sum(dim=1).numpy()
    seen = epoch = 0
    while seen < config.molecules:
        for index in epoch_batches(lengths, config.batch_size, config.seed, epoch):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * schedule(config, seen)[0]
            ids = trim(rows[torch.from_numpy(index)]).to(device)
            with autocast(config.precision, device):
                logits = model.logits(ids)
            loss = reconstruction(logits, ids).sum() / (ids != PAD).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            seen += len(ids)
            if seen >= config.molecules:
                break
        epoch += 1
    return model.cpu().eval()


@torch.inference_mode()
def nll(model: LanguageModel, rows: Tensor) -> float:
    """-log p of rows, in nats per row, mean; stop included.

    Of molecules that have several spellings, what counts is the one that was given.

    Args:
        model: In evaluation mode, on the CPU.
        rows: `n x max_length`, at least one.
    """
    losses = [reconstruction(model.logits(ids), ids) for ids in map(trim, torch.split(rows, BATCH))]
    return float(torch.cat(losses).double().mean())


@torch.inference_mode()
def sample(model: LanguageModel, n: int, seed: int, *, temperature: float = 1.0) -> Tensor:
    """Rows drawn symbol by symbol, `n x max_length`, ended by stop, padded.

    A row that reaches the longest length has no stop.

    Args:
        model: In evaluation mode, on the CPU.
        n: How many.
        seed: Of the draws.
        temperature: Above 0; logits are divided by it.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((n, model.max_length), PAD)
    for rows in torch.split(torch.arange(n), BATCH):
        symbol = torch.full((len(rows),), START)
        state = torch.zeros(len(rows), model.width)
        for position in range(model.max_length):
            logits, state = model.step(symbol, state)
            logits[:, (PAD, START)] = -torch.inf
            p = torch.softmax(logits / temperature, dim=1)
            symbol = torch.multinomial(p, 1, generator=generator)[:, 0]
            ids[rows, position] = symbol
            running = symbol != STOP
            rows, symbol, state = rows[running], symbol[running], state[running]
            if len(rows) == 0:
                break
    return ids


def fitted(tokens: Tokens, weights: int, config: TrainConfig) -> LanguageModel:
    """A trained language model, read from `config.out` if it was trained there in the same way.

    Args:
        tokens: What to learn from.
        weights: How many it may have.
        config: See `train`; `out` is a folder, made if it is missing.
    """
    torch.manual_seed(config.seed)
    width = width_for(weights, len(tokens.vocabulary))
    model = LanguageModel(len(tokens.vocabulary), tokens.train.shape[1], width)
    settings = asdict(config)
    key = {name: settings[name] for name in SETTINGS}
    rows = hashlib.sha256(tokens.train.numpy().tobytes()).hexdigest()
    key |= {"width": width, "symbols": list(tokens.vocabulary.symbols), "rows": rows}
    key |= {"merges": [list(pair) for pair in tokens.vocabulary.pairs]}
    path = Path(config.out) / WEIGHTS
    if (tensors := _read(path, key)) is not None:
        model.load_state_dict(tensors)
        return model.eval()
    with threads(config.threads):
        train(model, tokens.train, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(path, save_tensors(content, {"about": json.dumps(key)}))
    return model


def _read(path: Path, key: dict[str, Any]) -> dict[str, Tensor] | None:
    """The tensors of a file, if it is there, whole, and made with these settings."""
    try:
        with safe_open(path, "pt") as file:
            if json.loads(file.metadata()["about"]) != key:
                return None
            # Copies: the tensors themselves are windows on the file, which may be written anew.
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
