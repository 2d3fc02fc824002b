"""From molecules to better vectors: invert the decoder, refine samples, fine-tune a copy.

References:
    Hoffman (2017), proceedings.mlr.press/v70/hoffman17a.html (Hamiltonian Monte Carlo from the
    encoder on); Tripp et al. (2020), arXiv:2006.09191 (retraining on weighted molecules).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molvae.chem.molecules import canonical, list_of_smiles
from molvae.config import check_seed, whole_number
from molvae.errors import ConfigError, warn
from molvae.latent.conversion import map_molecules, pad_on_device, try_token_ids
from molvae.model.finetuning import finetune_decoder
from molvae.model.hmc import sample_posterior_codes
from molvae.model.losses import reconstruction

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

INVERSION_ROUNDS, INVERSION_STEPS, INVERSION_RATE = 8, 5, 0.1
"""How often `invert` decodes, Adam's steps in between, and their learning rate."""
N_LEAPFROG_STEPS, MIN_ACCEPTANCE = 5, 0.2
"""Leapfrog steps of a move, and the share of accepted moves below which a warning is given."""
FINETUNING_STEPS, FINETUNING_BATCH, FINETUNING_RATE = 60, 32, 1e-3
"""Enough for most of the best molecules of a campaign to decode from their encodings."""
N_REHEARSED, REHEARSAL_FRACTION = 200, 0.25
"""Generated molecules against forgetting, and their share of what is learned."""


def invert(space: LatentSpace, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
    """Latent vectors that decode to the molecules where possible, `n x dim`.

    Encodings far from the training molecules may decode to something else. From there z ascends the
    decoder's log-likelihood of the molecule until greedy decoding gives it, for 40 steps at most;
    molecules that are not reached keep the last vector.
    """
    molecules = [canonical(text) for text in list_of_smiles(smiles)]
    found = space.encode(molecules, skip_unknown=skip_unknown)
    left = torch.isfinite(found).all(dim=1).nonzero()[:, 0].tolist()
    for steps in (0, *[INVERSION_STEPS] * INVERSION_ROUNDS):
        if steps and left:
            ids = pad_on_device(space, [space.token_ids(molecules[i]) for i in left])
            z = found[left].float().to(space.device).requires_grad_()
            optimizer = torch.optim.Adam([z], lr=INVERSION_RATE)
            for _ in range(steps):
                # Without cuDNN, whose recurrent layers have gradients in training only.
                with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                    nats = reconstruction(space.model.logits(z, ids), ids).sum()
                (z.grad,) = torch.autograd.grad(nats, z)
                optimizer.step()
            found[left] = z.detach().double().cpu()
        decoded = space.decode(found[left])
        left = [i for i, one in zip(left, decoded, strict=True) if one != molecules[i]]
    return found


def refine_posterior_samples(
    space: LatentSpace,
    smiles: Sequence[str],
    *,
    steps: int = 10,
    step: float = 0.4,
    seed: int = 0,
    weight: float = 5.0,
    skip_unknown: bool = False,
) -> Tensor:
    """Samples from p(z | molecule) by Hamiltonian Monte Carlo from the encoder's, `n x dim`.

    They decode to their molecules more often than the encoder's samples, but each step costs five
    gradients.

    Args:
        space: The space.
        smiles: SMILES in any form.
        steps: Moves of each vector, of five leapfrog steps each; 0 gives the encoder's samples.
        step: Largest leapfrog step, in standard deviations of the encoder's posterior.
        seed: Of all random numbers.
        weight: Of log p(molecule | z), beside log p(z). 1 is the true posterior; the encoder of a
            model that was trained with beta aims at 1 / beta.
        skip_unknown: As of `encode`.

    Raises:
        ConfigError: A number out of range, or the model's posterior is a point.

    Warns:
        MolvaeWarning: Less than a fifth of the moves was accepted: the steps are too long.
    """
    for name, value in (("step", step), ("weight", weight)):
        if not 0 < value < math.inf:
            raise ConfigError(f"{name} must be a positive number, got {value}")
    steps, seed = whole_number(steps, "steps", least=0), check_seed(seed)
    rates = []

    def move(ids: Tensor) -> Tensor:
        with torch.inference_mode(False):  # gradients are needed
            found = sample_posterior_codes(
                space.model,
                space.prior,
                ids,
                steps=steps,
                step=step,
                n_leapfrog_steps=N_LEAPFROG_STEPS,
                seed=seed,
                weight=weight,
            )
        rates.append(found.acceptance)
        return found.z

    z = map_molecules(space, smiles, move, space.dim, skip_unknown)
    if rates and (rate := float(torch.cat(rates).mean())) < MIN_ACCEPTANCE:
        warn(
            f"only {100 * rate:.0f} % of the moves were accepted, so vectors hardly moved from "
            f"their starting points; give a step below {step:g}"
        )
    return z


def with_finetuned_decoder(
    space: LatentSpace, smiles: Sequence[str], *, seed: int = 0
) -> LatentSpace:
    """A copy whose decoder is fine-tuned on molecules, so that their encodings decode to them.

    The encoder and the meaning of vectors stay. Molecules that the space generates are learned
    too, against forgetting.

    Args:
        space: The space.
        smiles: From the most important on; the k-th is learned about 1/k times as much as the
            first. Molecules that the model cannot read are left out; with none left, the space
            itself is returned.
        seed: Of all random numbers.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
    """
    seed = check_seed(seed)
    own = [ids for ids in try_token_ids(space, map(canonical, list_of_smiles(smiles))) if ids]
    if not own:
        return space
    generated = [m for m in space.generate(N_REHEARSED, seed, redraw=False) if m]
    others = [ids for ids in try_token_ids(space, generated) if ids]
    weights = [(1 - REHEARSAL_FRACTION) / k for k in range(1, len(own) + 1)]
    each = REHEARSAL_FRACTION * sum(weights) / (1 - REHEARSAL_FRACTION) / max(1, len(others))
    finetuned = copy.copy(space)
    finetuned.share_cache(space)
    finetuned.model = finetune_decoder(
        space.model,
        pad_on_device(space, [*own, *others]),
        torch.tensor([*weights, *[each] * len(others)]),
        steps=FINETUNING_STEPS,
        batch=FINETUNING_BATCH,
        learning_rate=FINETUNING_RATE,
        noise=0.25 if space.config.noise_conditioning else 0.0,
        seed=seed,
    )
    return finetuned


__all__ = ["invert", "refine_posterior_samples", "with_finetuned_decoder"]
