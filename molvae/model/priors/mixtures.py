"""Mixtures of Gaussians: with full covariances, and of posteriors of made-up molecules.

References:
    Tomczak and Welling (2018), arXiv:1705.07120 (mixtures of posteriors as priors).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from molvae.chem.vocabulary import PAD
from molvae.config import short_seed
from molvae.model.priors.base import Prior

if TYPE_CHECKING:
    from molvae.model.vae import SequenceVAE

COMPONENTS = {"mixture": 20, "vamp": 100}
"""By default."""
STEPS = 300
"""Of `fit_vamp` at most: each takes the encoder through all made-up molecules."""


class Mixture(Prior):
    """A mixture of Gaussians with full covariances."""

    kind = "mixture"
    logits: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.dim, self.components = dim, components
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("factors", torch.eye(dim).repeat(components, 1, 1))

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        parts = torch.distributions.MultivariateNormal(self.means, scale_tril=self.factors)
        of_each: Tensor = parts.log_prob(z[:, None])  # type: ignore[no-untyped-call]
        return torch.logsumexp(self.logits.log_softmax(0) + of_each, dim=1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        if n == 0:
            return torch.zeros(0, self.dim, dtype=torch.float32)
        which = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float32)
        return self.means[which] + torch.einsum("nij,nj->ni", self.factors[which], noise)

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        return {"kind": self.kind, "dim": self.dim, "components": self.components}


class Vamp(Prior):
    """A mixture of posteriors of made-up molecules, each a diagonal Gaussian.

    What is kept are the Gaussians: the encoder that made them is not needed to use it.
    """

    kind = "vamp"
    logits: Tensor
    means: Tensor
    stds: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.dim, self.components = dim, components
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("stds", torch.ones(components, dim))

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        return mixture_log_prob(z, self.logits, self.means, self.stds)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        if n == 0:
            return torch.zeros(0, self.dim, dtype=torch.float32)
        which = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float32)
        return self.means[which] + self.stds[which] * noise

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        return {"kind": self.kind, "dim": self.dim, "components": self.components}


def mixture_log_prob(z: Tensor, logits: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """Log-density of a mixture of diagonal Gaussians.

    Args:
        z: `n x d`.
        logits: Of the weights, `k`.
        means: `k x d`.
        stds: `k x d`.

    Returns:
        `n`.
    """
    distance = ((z[:, None] - means) / stds).square().sum(dim=2)
    of_each = -0.5 * (distance + z.shape[1] * math.log(2 * math.pi)) - stds.log().sum(dim=1)
    return torch.logsumexp(logits.log_softmax(0) + of_each, dim=1)


def fit_mixture(codes: Tensor, *, components: int = 0, seed: int = 0) -> Mixture:
    """A mixture by expectation maximisation, with fewer components where there are few codes.

    Args:
        codes: `n x d`.
        components: 0 takes the default, 20.
        seed: Of the first guess.
    """
    from sklearn.mixture import GaussianMixture

    n, dim = codes.shape
    components = max(1, min(components or COMPONENTS["mixture"], n // (4 * dim)))
    fitted = GaussianMixture(
        components, reg_covar=1e-3, max_iter=50, tol=1e-2, random_state=short_seed(seed)
    )
    fitted.fit(codes.double().numpy())
    prior = Mixture(dim, components)
    prior.logits = torch.tensor(fitted.weights_, dtype=torch.float32).log()
    prior.means = torch.tensor(fitted.means_, dtype=torch.float32)
    prior.factors = torch.linalg.cholesky(torch.tensor(fitted.covariances_)).float()
    return prior


class _Posterior(nn.Module):
    """The posterior of a network as a call, which is what `functional_call` needs."""

    def __init__(self, model: SequenceVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.posterior(ids)


def fit_vamp(
    model: SequenceVAE,
    rows: Tensor,
    codes: Tensor,
    *,
    passes: int,
    components: int = 0,
    seed: int = 0,
    batch_size: int = 512,
    learning_rate: float = 3e-2,
) -> Vamp:
    """A mixture of posteriors of made-up molecules, which are learned; the encoder stays.

    A made-up molecule has, where a real one has symbols, vectors as the encoder embeds symbols;
    they begin as those of training molecules. Where the posteriors of molecules are narrow, few of
    them do not cover what many do: so their standard deviations are multiplied by a factor for each
    unit, which is learned as well.

    Args:
        model: On the CPU; its posterior is a Gaussian.
        rows: Training ids, `n x t`, ended by stop, padded.
        codes: Draws from posteriors of training molecules, `k x n x d`, used in turn.
        passes: Over the codes, but not more than 300 steps.
        components: Made-up molecules; 0 takes the default, 100.
        seed: Of the first guess and the order.
        batch_size: Codes a step.
        learning_rate: Peak, of Adam; cosine decay.
    """
    n = codes.shape[1]
    components = min(components or COMPONENTS["vamp"], len(rows))
    network = _Posterior(model)
    own = {name: parameter.detach() for name, parameter in network.named_parameters()}
    table = own["model.embedding.weight"]
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        chosen = rows[torch.randperm(len(rows), generator=generator)[:components]].long()
        chosen = chosen[:, : int((chosen != PAD).sum(dim=1).max())]
        # A made-up molecule is a row of ids, too: of rows that are put below the embedding's own.
        there = chosen != PAD
        made = table[chosen[there]].clone().requires_grad_()
        ids = chosen.masked_scatter(there, len(table) + torch.arange(len(made)))
        with torch.no_grad():
            _, logvar = functional_call(network, own, (chosen,))
            narrow = (0.5 * logvar).exp().mean(dim=0)
            wider = (0.8 * codes[0].std(dim=0) / narrow).log()
        wider.requires_grad_()
        logits = torch.zeros(components, requires_grad=True)

        def gaussians() -> tuple[Tensor, Tensor, Tensor]:
            embedding = {"model.embedding.weight": torch.cat([table, made])}
            mean, logvar = functional_call(network, own | embedding, (ids,))
            return logits, mean, (0.5 * logvar + wider).exp()

        optimizer = torch.optim.Adam([made, wider, logits], lr=learning_rate)
        total = min(STEPS, passes * math.ceil(n / batch_size))
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total))
        batches: list[Tensor] = []
        for step in range(total):
            if not batches:
                batches = list(torch.split(torch.randperm(n, generator=generator), batch_size))
            z = codes[step % len(codes), batches.pop()]
            loss = -mixture_log_prob(z, *gaussians()).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([made, wider, logits], 5.0)
            optimizer.step()
            decay.step()
        with torch.no_grad():
            weights, means, stds = gaussians()
    prior = Vamp(codes.shape[2], components)
    prior.logits, prior.means, prior.stds = weights.detach(), means.detach(), stds.detach()
    return prior.eval()


__all__ = ["COMPONENTS", "Mixture", "Vamp", "fit_mixture", "fit_vamp", "mixture_log_prob"]
