"""From molecules to better vectors: invert the decoder, refine samples.

References:
    Hoffman (2017), proceedings.mlr.press/v70/hoffman17a.html (Hamiltonian Monte Carlo from the
    encoder on).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molvae.chem.molecules import canonical, list_of_smiles
from molvae.config import check_seed, whole_number
from molvae.errors import require, warn
from molvae.latent.conversion import map_molecules, pad
from molvae.model.hmc import sample_posterior_codes
from molvae.model.isolation import isolated
from molvae.model.losses import reconstruction

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

INVERSION_ROUNDS, INVERSION_STEPS, INVERSION_RATE = 8, 5, 0.1
"""How often `invert` decodes, Adam's steps in between, and their learning rate."""
N_LEAPFROG_STEPS, MIN_ACCEPTANCE = 5, 0.2
"""Leapfrog steps of a move, and the share of accepted moves below which a warning is given."""


@isolated()
def invert(space: LatentSpace, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
    """Latent vectors that decode to the molecules where possible, `n x dim`; as for `encode`.

    Encodings far from the training molecules may decode to something else. From there z ascends the
    decoder's log-likelihood until greedy decoding gives the molecule, for 40 steps at most;
    molecules that are not reached keep the last vector.
    """
    molecules = [canonical(text) for text in list_of_smiles(smiles)]
    found = space.encode(molecules, skip_unknown=skip_unknown)
    left = torch.isfinite(found).all(dim=1).nonzero()[:, 0].tolist()
    for steps in (0, *[INVERSION_STEPS] * INVERSION_ROUNDS):
        if steps and left:
            ids = pad([space.token_ids(molecules[i]) for i in left], space.device)
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


@isolated()
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

    They decode to their molecules more often than the encoder's samples.

    Args:
        smiles: SMILES in any form.
        steps: Moves of each vector, of five leapfrog steps, and as many gradients, each; 0 gives
            the encoder's samples.
        step: Largest leapfrog step, in standard deviations of the encoder's posterior.
        weight: Weight of log p(molecule | z), beside log p(z). 1 is the true posterior; the encoder
            of a model that was trained with beta aims at 1 / beta.
        skip_unknown: As for `LatentSpace.encode`.

    Raises:
        ConfigError: A number out of range, or the model's posterior is a point.

    Warns:
        MolvaeWarning: Less than a fifth of the moves was accepted: the steps are too long.
    """
    for name, value in (("step", step), ("weight", weight)):
        require(0 < value < math.inf, f"{name} must be a positive number, got {value}")
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
