"""The latent space: the one place where chemistry meets the network.

Molecules go in and come out as SMILES, in the order given and one for one; vectors are float64 on
the CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from molvae.chem.mol import canonical
from molvae.chem.representation import Representation, get_representation
from molvae.chem.vocabulary import PAD, STOP, Vocabulary
from molvae.config import ModelConfig
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    MolvaeWarning,
    TooLongError,
    UnknownNameError,
    UnknownSymbolError,
)
from molvae.model.checkpoint import Card, fingerprint, load_run
from molvae.model.decoding import decode
from molvae.model.training import pick_device
from molvae.model.vae import SequenceVAE

WEIGHTS = Path(__file__).parent / "weights"
"""Run folders that ship with the package."""


def list_runs() -> list[str]:
    """Names of the bundled runs."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.json"))


def load(run: str | Path, *, device: str = "cpu") -> LatentSpace:
    """A trained latent space.

    Args:
        run: Name of a bundled run, or a run folder; a name wins over a folder of that name, which
            can be given as `./name`.
        device: Where the network computes: `cpu`, `cuda`, or `auto`.

    Raises:
        UnknownNameError: Neither a bundled run nor a folder.
        CheckpointError: The folder is incomplete, damaged, foreign or newer than this molvae.
    """
    bundled = list_runs()
    folder = WEIGHTS / str(run) if str(run) in bundled else Path(run)
    if not folder.is_dir():
        raise UnknownNameError("bundled run or run folder", str(run), bundled)
    model, card = load_run(folder)
    return LatentSpace(
        model, card, name=str(run), fingerprint=fingerprint(folder), device=pick_device(device)
    )


class LatentSpace:
    """Molecules to vectors and back.

    Attributes:
        name: The bundled name or folder that it was loaded from.
        dim: Numbers in a latent vector.
        bounds: Box that holds the training molecules, `2 x dim`, lower row first, float64.
        fingerprint: SHA-256 of the run; the same for the same model.
        vocabulary: The symbols that the model knows.
        representation: How it writes molecules.
        max_length: Longest sequence, stop included.
    """

    def __init__(
        self,
        model: SequenceVAE,
        card: Card,
        *,
        name: str = "",
        fingerprint: str = "",
        device: torch.device | None = None,
    ) -> None:
        self.model = model.to(device or torch.device("cpu")).eval()
        self.card, self.name, self.fingerprint = card, name, fingerprint
        self.vocabulary = Vocabulary(card.vocabulary)
        self.representation: Representation = get_representation(
            str(card.representation["name"]), card.representation.get("settings")
        )
        self.bounds = torch.tensor(card.bounds, dtype=torch.float64)
        self.dim, self.max_length = card.model.latent_dim, card.max_length
        self.about = card.about

    def __repr__(self) -> str:
        return (
            f"LatentSpace({self.name!r}, dim={self.dim}, {self.representation.name}, "
            f"{len(self.vocabulary)} symbols)"
        )

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.model.parameters()).device

    @property
    def config(self) -> ModelConfig:
        """Sizes of the network."""
        return self.card.model

    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """Latent vectors of molecules: the means of their posteriors.

        Args:
            smiles: SMILES in any form.
            skip_unknown: Give rows of NaN, and one warning with the count, for molecules that the
                model cannot read (a symbol it does not know, too long, or not writable in its
                representation), instead of an error. Texts that are no molecules are always an
                error.

        Returns:
            `n x dim`, float64, on the CPU, in the order given.

        Raises:
            InvalidMoleculeError: A text is not a molecule, or the representation cannot write it.
            UnknownSymbolError: The model never saw one of the symbols; names it, its place and the
                molecule.
            TooLongError: The molecule has more symbols than the longest that the model can write.
        """
        return self.posterior(smiles, skip_unknown=skip_unknown)[0]

    def posterior(
        self, smiles: Sequence[str], *, skip_unknown: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | molecule), each `n x dim`.

        Arguments and errors are those of `encode`.
        """
        molecules = [canonical(text) for text in _as_list(smiles)]
        rows: list[list[int] | None] = []
        for molecule in molecules:
            try:
                rows.append(self._ids(molecule))
            except UNREADABLE:
                if not skip_unknown:
                    raise
                rows.append(None)
        mean = torch.full((len(rows), self.dim), torch.nan, dtype=torch.float64)
        std = mean.clone()
        if skipped := sum(row is None for row in rows):
            warnings.warn(
                f"{skipped} of {len(rows)} molecules skipped: {self.name or 'the model'} cannot "
                "read them; their vectors are NaN",
                MolvaeWarning,
                stacklevel=3,
            )
        # Sorted by length, so that batches hold little padding; the places are kept.
        places = sorted((i for i, row in enumerate(rows) if row), key=lambda i: len(rows[i] or ()))
        for start in range(0, len(places), BATCH):
            part = places[start : start + BATCH]
            ids = pad([rows[i] or [] for i in part]).to(self.device)
            with torch.inference_mode():
                m, logvar = self.model.posterior(ids)
            mean[part] = m.double().cpu()
            std[part] = (0.5 * logvar).exp().double().cpu()
        return mean, std

    def readable(self, smiles: Sequence[str]) -> list[bool]:
        """Whether each molecule can be encoded: its symbols are known, and it is not too long.

        Raises:
            InvalidMoleculeError: A text is not a molecule.
        """
        answers = []
        for molecule in [canonical(text) for text in _as_list(smiles)]:
            try:
                self._ids(molecule)
            except UNREADABLE:
                answers.append(False)
            else:
                answers.append(True)
        return answers

    def decode(
        self, z: Tensor, *, temperature: float = 0.0, seed: int | None = None
    ) -> list[str | None]:
        """The molecule at each latent vector.

        Args:
            z: `n x dim`, or `dim` for a single one; anything that `torch.as_tensor` takes.
            temperature: 0 writes the likeliest symbol at each step; above 0, symbols are drawn.
            seed: Of the draws; needed when `temperature` is above 0.

        Returns:
            Canonical SMILES in the order given; None where the sequence is not a molecule (with
            SELFIES, only when it is empty).

        Raises:
            ConfigError: Wrong shape, or numbers that are not finite.
        """
        z = torch.as_tensor(z, dtype=torch.float64)
        z = z[None] if z.ndim == 1 else z
        if z.ndim != 2 or z.shape[1] != self.dim:
            raise ConfigError(f"z must be n x {self.dim}, got {' x '.join(map(str, z.shape))}")
        if not bool(torch.isfinite(z).all()):
            raise ConfigError("z holds numbers that are not finite; leave those rows out")
        molecules: list[str | None] = []
        for part in torch.split(z, BATCH):
            ids = decode(
                self.model, part.float().to(self.device), temperature=temperature, seed=seed
            )
            molecules += [self._molecule(row) for row in ids.tolist()]
            seed = None if seed is None else seed + 1
        return molecules

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Latent vectors from the prior N(0, I), `n x dim`, float64; the same for the same seed."""
        if n < 0:
            raise ConfigError(f"n must not be negative, got {n}")
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, self.dim, generator=generator, dtype=torch.float64)

    def _ids(self, molecule: str) -> list[int]:
        ids = self.vocabulary.ids(self.representation.split(molecule), molecule)
        if len(ids) >= self.max_length:
            raise TooLongError(molecule, len(ids), self.max_length - 1)
        return [*ids, STOP]

    def _molecule(self, ids: list[int]) -> str | None:
        try:
            return self.representation.join(self.vocabulary.spell(ids))
        except InvalidMoleculeError:
            return None


BATCH = 512
"""Molecules that go through the network together."""

UNREADABLE = (UnknownSymbolError, TooLongError, InvalidMoleculeError)
"""What a representation and a vocabulary raise for a molecule that RDKit accepts."""


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one int64 tensor, padded on the right."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


def _as_list(smiles: Sequence[str]) -> list[str]:
    if isinstance(smiles, str):
        raise ConfigError(
            f"expected a list of SMILES, got the single text {smiles!r}; use [smiles]"
        )
    return list(smiles)


__all__ = ["LatentSpace", "list_runs", "load", "pad"]
