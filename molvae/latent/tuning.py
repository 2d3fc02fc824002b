"""Fine-tuning: the decoder of a space learns the molecules of a series; the encoder stays.

References:
    Tripp et al. (2020), arXiv:2006.09191 (retraining on weighted molecules).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from molvae._version import versions
from molvae.chem.molecules import canonical, list_of_smiles
from molvae.config import check_seed, later_seed, whole_number
from molvae.errors import require
from molvae.latent.conversion import pad, try_token_ids
from molvae.latent.protocol import check_space
from molvae.model.finetuning import finetune_decoder
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

BATCH_SIZE, LEARNING_RATE, MIN_STEPS, N_PASSES = 32, 1e-3, 60, 4
"""Molecules and learning rate of a step of Adam; steps at least, and passes over a long series."""
N_REHEARSED, REHEARSAL_FRACTION = 200, 0.25
"""Generated molecules against forgetting, and their share of what is learned."""
N_FOLDS, MIN_HELD_OUT = 5, 100
"""Folds of cross-validation, and held-out molecules from which no further fold is tried."""


@dataclass(frozen=True, kw_only=True)
class TuningReport:
    """Shares of molecules that decode exactly from their encodings, before and after fine-tuning.

    `str` gives two lines.
    """

    n_held_out: int
    """Molecules of the series that were held out, a fold at a time."""
    before: float
    """Share of the held-out molecules that the space as it was reconstructs."""
    after: float
    """Share of the held-out molecules that a space fine-tuned on the other folds reconstructs."""
    n_generated: int
    """Molecules that the space as it was generates, which are not learned."""
    generated_before: float
    """Share of the generated molecules that the space as it was reconstructs."""
    generated_after: float
    """Share of the generated molecules that a space fine-tuned on the whole series reconstructs."""

    def __str__(self) -> str:
        return (
            f"reconstruction of {self.n_held_out} held-out molecules: {100 * self.before:.0f} % "
            f"before, {100 * self.after:.0f} % after fine-tuning\n"
            f"reconstruction of {self.n_generated} generated molecules: "
            f"{100 * self.generated_before:.0f} % before, {100 * self.generated_after:.0f} % after"
        )


@isolated()
def tune(
    space: LatentSpace,
    smiles: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> LatentSpace:
    """A copy whose decoder is fine-tuned on molecules, so that their encodings decode to them.

    The encoder and the meaning of vectors stay. Molecules that the space generates are learned
    too, against forgetting.

    Args:
        smiles: Molecules that the model cannot read are left out; with none left, the space itself
            is returned.
        weights: How often each molecule is learned, relative to the others; equally by default.
        steps: Steps of 32 molecules; by default 60, and at least 4 passes over the molecules.

    Raises:
        ConfigError: `weights` are not one positive number for each molecule, or `steps` below 1.
        InvalidMoleculeError: A text is not a molecule.
    """
    check_space(space)
    seed, molecules = check_seed(seed), [canonical(text) for text in list_of_smiles(smiles)]
    weights = [1.0] * len(molecules) if weights is None else [float(one) for one in weights]
    require(
        len(weights) == len(molecules) and all(0 < one < float("inf") for one in weights),
        f"weights must be {len(molecules)} positive numbers, one for each molecule",
    )
    known = [
        (molecule, ids, (1 - REHEARSAL_FRACTION) * weight)
        for molecule, ids, weight in zip(
            molecules, try_token_ids(space, molecules), weights, strict=True
        )
        if ids
    ]
    if not known:
        return space
    learned, own, drawn = (list(column) for column in zip(*known, strict=True))
    steps = max(MIN_STEPS, N_PASSES * len(own) // BATCH_SIZE) if steps is None else steps
    generated = [m for m in space.generate(N_REHEARSED, seed, redraw=False) if m]
    others = [ids for ids in try_token_ids(space, generated) if ids]
    each = REHEARSAL_FRACTION * sum(drawn) / (1 - REHEARSAL_FRACTION) / max(1, len(others))
    new = copy.copy(space)
    new.acceptance = None  # learned from molecules of the former decoder
    new.model = finetune_decoder(
        space.model,
        pad([*own, *others], space.device),
        torch.tensor([*drawn, *[each] * len(others)]),
        steps=whole_number(steps, "steps", least=1),
        batch=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        noise=0.25 if space.config.noise_conditioning else 0.0,
        seed=seed,
    )
    new.name, new.fingerprint = "", _fingerprint(new)
    return _recorded(
        new,
        {
            "from": space.name,
            "fingerprint": space.fingerprint,
            "molecules": len(learned),
            "sha256": sha256("\n".join(learned).encode()).hexdigest(),
            "steps": steps,
            "seed": seed,
            "versions": versions(),
        },
    )


def tune_and_measure(
    space: LatentSpace, smiles: Sequence[str], *, seed: int = 0
) -> tuple[LatentSpace, TuningReport]:
    """A space fine-tuned on a series, and how well such a space writes molecules held out from it.

    The space learns all molecules. For the report others are fine-tuned with a fifth of the
    molecules held out, each fifth in turn, until 100 molecules have been held out or all of them.

    Args:
        smiles: At least two distinct molecules that the space can encode.

    Raises:
        ConfigError: Fewer molecules.
        InvalidMoleculeError, UnknownTokenError, TooLongError: See `LatentSpace.encode`.
    """
    molecules = list(dict.fromkeys(canonical(text) for text in list_of_smiles(smiles)))
    require(len(molecules) > 1, "fine-tuning is measured on at least 2 distinct molecules")
    new = tune(space, molecules, seed=seed)
    order = np.random.default_rng(seed).permutation(len(molecules)).tolist()
    tested, before, after = 0, 0, 0
    for fold in range(min(N_FOLDS, len(molecules))):
        if tested >= MIN_HELD_OUT:
            break
        places = set(order[fold::N_FOLDS])
        held_out = [molecules[i] for i in sorted(places)]
        rest = [one for i, one in enumerate(molecules) if i not in places]
        tested += len(held_out)
        before += _n_reconstructed(space, held_out)
        after += _n_reconstructed(tune(space, rest, seed=seed), held_out)
    drawn = space.generate(N_REHEARSED, later_seed(seed, 1), redraw=False)
    others = list({m: None for m in drawn if m and space.can_encode([m])[0]})
    n = max(1, len(others))
    report = TuningReport(
        n_held_out=tested,
        before=before / tested,
        after=after / tested,
        n_generated=len(others),
        generated_before=_n_reconstructed(space, others) / n,
        generated_after=_n_reconstructed(new, others) / n,
    )
    return _recorded(new, {**new.about["tuned"][-1], "reconstruction": asdict(report)}, 1), report


def _n_reconstructed(space: LatentSpace, molecules: Sequence[str]) -> int:
    decoded = space.decode(space.encode(molecules))
    return sum(a == b for a, b in zip(decoded, molecules, strict=True))


def _recorded(space: LatentSpace, tuning: dict[str, Any], replaced: int = 0) -> LatentSpace:
    """The space, whose card tells of a tuning behind those before, in place of so many of them."""
    before = list(space.about.get("tuned", ()))
    space.about = {**space.about, "tuned": [*before[: len(before) - replaced], tuning]}
    space.card = replace(space.card, about=space.about)
    return space


def _fingerprint(space: LatentSpace) -> str:
    """SHA-256 of a space that is in no folder: of the model that it comes from, and its decoder."""
    digest = sha256(space.fingerprint.encode())
    for tensor in space.model.decoder.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
