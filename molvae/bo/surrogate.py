"""Gaussian processes over latent vectors, and over molecules as `[z | descriptors | counts]`.

BoTorch's `Model` is the interface; kernels read their columns through `active_dims`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from botorch.models.transforms import Normalize, Standardize
from gpytorch.kernels import MaternKernel, PolynomialKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.special import stdtrit  # type: ignore[import-untyped]
from torch import Tensor

from molvae.bo.base import Candidate, Observations
from molvae.bo.exact_gp import ExactGP, min_amplitude
from molvae.bo.kernel_weights import weights_of
from molvae.bo.kernels import Columns, GramMatrices, terms, weighted_sum
from molvae.bo.measurement_noise import complete
from molvae.bo.prediction import QUANTILE_LEVELS, Prediction
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS
from molvae.errors import CampaignError, MolvaeWarning, shown
from molvae.model.isolation import isolated, seeded, threads

FIT_STEPS = 50  # optimization steps for the hyperparameters of a GP over z
LENGTHSCALE_SPREAD = 0.75  # standard deviation of the logarithm of its length scale

MIN_STD = 1e-150
"""Least standard deviation of values to standardize; BoTorch's 1e-8 would not scale small units."""


MIN_NOISE_SHARE = 1e-3  # variance of a value around the modeled one, as a share of the amplitude
NOISE_SHARES = (MIN_NOISE_SHARE, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of noise of which the most likely may be taken."""


class SurrogateFactory(Protocol):
    """An own surrogate, for `Rank(surrogate=...)`: a function, or an object with own features.

    If it has a method `features(smiles) -> Tensor` (`n x f`, float64), `x` is made by it; else `x`
    is `[z | descriptors | counts]`, with `z.shape[1]`, `len(DESCRIPTORS)` and `N_COUNTS` columns.
    """

    def __call__(self, x: Tensor, y: Tensor, noise: Tensor | None) -> Model:
        """A fitted model, on the scale of `y`.

        Args:
            x: Features of molecules, `n x f`, float64; the last rows may be pending molecules,
                with their predicted scores.
            y: Scores of one objective, `n x 1`, larger is better, standard deviation near 1.
            noise: Their variances, `n x 1`; None if they are not known.
        """
        ...


def fit_gp(z: Tensor, y: Tensor, noise: Tensor | None = None) -> SingleTaskGP:
    """A Gaussian process over z: a Matern-5/2 kernel with one length scale, plus a linear one.

    The length scale has a prior around `2 sqrt(d)` standard deviations of the vectors. One length
    scale for each dimension is more than a few hundred molecules can tell.

    Args:
        z: Latent vectors, `n x d`, float64.
        y: Values, `n x m`, larger is better; each column is an independent output.
        noise: Variances of the values, `n x m`; NaN is replaced by the median. By default one
            variance for all is learned.

    References:
        Hvarfner et al. (2024), Vanilla Bayesian optimization performs great in high dimensions,
        arXiv:2402.02229 (length scales that grow with the square root of the dimensions).
    """
    with isolated(), reproducible():
        if noise is not None:
            noise = complete(noise)
        m, d = y.shape[-1], z.shape[-1]
        outputs = torch.Size([m] if m > 1 else [])
        middle = z.mean(dim=0)
        # One unit for all dimensions: those that hardly vary, and mean nothing, stay small.
        unit = (z - middle).square().mean().sqrt().clamp_min(1e-9)
        typical = 2 * d**0.5
        near = MaternKernel(
            nu=2.5,
            batch_shape=outputs,
            lengthscale_prior=LogNormalPrior(math.log(typical), LENGTHSCALE_SPREAD),
        )
        near.lengthscale = typical
        linear = ScaleKernel(PolynomialKernel(power=1, batch_shape=outputs), batch_shape=outputs)
        linear.outputscale = 1 / d
        model = SingleTaskGP(
            z,
            y,
            noise,
            covar_module=ScaleKernel(near, batch_shape=outputs) + linear,
            input_transform=Normalize(d=d, bounds=torch.stack([middle, middle + unit])),
            outcome_transform=Standardize(m=m, min_stdv=MIN_STD),
        )
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": FIT_STEPS}},
        )
    return model


def predict_gp(
    candidates: Sequence[Candidate], model: SingleTaskGP, observations: Observations
) -> list[Candidate]:
    """Candidates with predictions by a GP over z; without, if there are several values.

    Args:
        candidates: Candidates of a strategy.
        model: Fitted to the scores of the observations.
    """
    if observations.problem is not None or not candidates:
        return list(candidates)
    z = torch.stack([candidate.z for candidate in candidates])
    with torch.no_grad(), reproducible():
        posterior = model.posterior(z, observation_noise=True)
        transform = ScoreTransform(observations.y[:, 0], "high")
        predicted = predictions(posterior.mean[:, 0], posterior.variance[:, 0], transform)
    return [
        replace(candidate, predictions=(one,))
        for candidate, one in zip(candidates, predicted, strict=True)
    ]


def predictions(mean: Tensor, variance: Tensor, transform: ScoreTransform) -> list[Prediction]:
    """Quantiles of values, from the means and variances of their scores, each `n`."""
    # To be minimized, values fall as scores rise.
    rising = _values_at(np.array(QUANTILE_LEVELS), mean, variance, transform).sort(dim=1).values
    return [Prediction(*row) for row in rising.tolist()]


def moments(mean: Tensor, variance: Tensor, transform: ScoreTransform) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of values, each `n`, from those of their scores."""
    values = _values_at((np.arange(N_LEVELS) + 0.5) / N_LEVELS, mean, variance, transform)
    return values.mean(dim=1), values.std(dim=1, correction=0)


def _values_at(
    levels: NDArray[np.float64], mean: Tensor, variance: Tensor, transform: ScoreTransform
) -> Tensor:
    widths = torch.from_numpy(TAIL_SCALE * stdtrit(TAIL_DEGREES, levels))
    return transform.inverse(mean[:, None] + variance.clamp_min(0).sqrt()[:, None] * widths)


def molecule_gp(
    x: Tensor,
    y: Tensor,
    bounds: Tensor,
    *,
    kernel: str,
    n_descriptors: int = 0,
    noise: Tensor | None = None,
    pending: Tensor | None = None,
    gram: GramMatrices | None = None,
    learn_noise: bool = False,
) -> ExactGP:
    """A Gaussian process over molecules with fixed length scales.

    The prior mean is the median of the values. The amplitude is a maximum likelihood estimate given
    the known noise, so that predicted uncertainty matches past errors; further noise is a
    thousandth of the amplitude, unless it is learned.

    Args:
        x: `[z | descriptors | counts]`, `n x (d + n_descriptors + f)`, float64.
        y: Values, `n x 1`.
        bounds: The box of z, `2 x d`.
        kernel: `tanimoto`: MinMax similarity of the counts. `descriptors`: Matern-5/2 with a length
            scale of 5. `latent`: Matern-5/2 on z with a length scale of `2 sqrt(d)` standard
            deviations of the encodings. `linear`: inner products of z. Kernels with `+` between
            them: their mean; with `*`: their product. `weighted`: the sum of `WEIGHTED_KERNELS`
            with weights and noise of maximum likelihood, see `learn_weights`.
            `auto`: the one of `AUTO_KERNELS` with the largest leave-one-out likelihood.
        n_descriptors: Number of columns with descriptors.
        noise: Known variances of the values, `n x 1`; NaN is replaced by the median.
        pending: Molecules that are being measured, `p x (d + n_descriptors + f)`. They count as
            measured at their predicted means (kriging believer): uncertainty near them shrinks;
            kernel, amplitude and all predicted means stay.
        gram: Matrices of the molecules and the pending ones, shared with other processes.
        learn_noise: Take the most likely of `NOISE_SHARES` as noise where none is known. With a
            thousandth, values with noise need a large amplitude, and intervals are too wide.

    Raises:
        UnknownNameError: A kernel is unknown.

    References:
        Tripp et al. (2021), NeurIPS workshop AI for Science (fixed hyperparameters, Tanimoto);
        Sundararajan and Keerthi (2001), doi:10.1162/08997660151134343 (leave-one-out);
        Ginsbourger et al. (2010), doi:10.1007/978-3-642-10701-6_6 (kriging believer).
    """
    known = None if noise is None else complete(noise)[:, 0]
    if kernel == "auto":
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[
            :MAX_LEAVE_ONE_OUT
        ]
        some = GramMatrices(Columns(bounds, n_descriptors, x[chosen]))
        few = {
            k: molecule_gp(
                x[chosen],
                y[chosen],
                bounds,
                kernel=k,
                n_descriptors=n_descriptors,
                noise=None if known is None else known[chosen, None],
                gram=some,
            )
            for k in AUTO_KERNELS
            if n_descriptors or "descriptors" not in k
        }
        kernel = max(few, key=lambda k: float(few[k].leave_one_out()[2].mean()))
    n, middle = len(x), y.quantile(0.5)  # torch's median of an even number is the lower of two
    if gram is None:
        x = x if pending is None else torch.cat([x, pending])
        gram = GramMatrices(Columns(bounds, n_descriptors, x))
    x, share = gram.columns.x, torch.tensor(MIN_NOISE_SHARE, dtype=y.dtype)
    weighted = kernel == "weighted"
    if weighted:
        kernel = "+".join(k for k in WEIGHTED_KERNELS if n_descriptors or "descriptors" not in k)
    summands = terms(kernel, gram.columns)
    weights: Sequence[float] = [1 / len(summands)] * len(summands)
    with torch.no_grad():
        if weighted:

            def matrices(x: Tensor) -> Tensor:
                return torch.stack([summand(x).to_dense() for summand in summands])

            weights, learned = weights_of(matrices, kernel, x[:n], y[:, 0], known)
            share = share.clamp_min(learned)
        matrix = gram.weighted_sum(kernel, weights)
        if learn_noise and known is None:
            share = most_likely_share(matrix[:n, :n], y - middle)
        factor = cholesky_plus(matrix[:n, :n], share)
        amplitude = max_likelihood_amplitude(matrix[:n, :n], y - middle, factor, known, share)
        if known is not None:
            share = share + known / amplitude
            factor = cholesky_plus(matrix[:n, :n], share)
        if pending is not None:
            solved = torch.cholesky_solve(y - middle, factor)
            y = torch.cat([y, middle + matrix[n:, :n] @ solved])
            if known is not None:
                share = torch.cat([share, share.median().expand(len(x) - n)])
            factor = cholesky_plus(matrix, share)
    return ExactGP(
        weighted_sum(summands, weights),
        x,
        y,
        mean=middle,
        amplitude=amplitude,
        noise=share * amplitude,
        factor=factor,
    )


def cholesky_plus(matrix: Tensor, diagonal: Tensor) -> Tensor:
    """The lower Cholesky factor of a matrix plus a diagonal one, given as a number or `n`."""
    total = matrix.clone()
    total.diagonal().add_(diagonal)
    factor: Tensor = torch.linalg.cholesky(total, out=total)
    return factor


def most_likely_share(correlations: Tensor, y: Tensor) -> Tensor:
    """The most likely of `NOISE_SHARES` for a process with mean 0 and values `y`, `n x 1`."""
    few, y = correlations[:MAX_LEAVE_ONE_OUT, :MAX_LEAVE_ONE_OUT], y[:MAX_LEAVE_ONE_OUT]
    shares = torch.tensor(NOISE_SHARES, dtype=y.dtype)
    found = list[float]()
    for share in shares:
        factor = cholesky_plus(few, share)
        amplitude = max_likelihood_amplitude(few, y, factor, None, share)
        spread = torch.linalg.solve_triangular(factor, y, upper=False).square().sum() / amplitude
        found.append(
            float(spread / 2 + factor.diagonal().log().sum() + len(y) / 2 * amplitude.log())
        )
    return shares[int(np.argmin(found))]


def max_likelihood_amplitude(
    correlations: Tensor, y: Tensor, factor: Tensor, noise: Tensor | None, share: Tensor
) -> Tensor:
    """The maximum likelihood variance of a process with mean 0.

    Args:
        correlations: Correlations of its values, `n x n`.
        y: Values, `n x 1`.
        factor: The Cholesky factor of the correlations plus `share`.
        noise: Known variances of the values, `n`; without, the amplitude has a closed form.
        share: Share of further noise in the amplitude.
    """
    floor = min_amplitude(y)
    half = torch.linalg.solve_triangular(factor, y, upper=False)
    amplitude: Tensor = half.square().mean().clamp_min(floor)
    if noise is None or not bool(noise.any()):
        return amplitude

    def negative_log_likelihood(log_amplitude: float) -> float:
        scale = math.exp(log_amplitude)
        factor = cholesky_plus(correlations, share + noise / scale)
        off = torch.linalg.solve_triangular(factor, y, upper=False)
        spread = off.square().sum() / scale / 2
        return float(spread + factor.diagonal().log().sum() + len(y) * log_amplitude / 2)

    # Noise explains a part of the spread: the amplitude is hardly larger than without noise.
    ends = math.log(float(floor)), math.log(float(2 * amplitude))
    found = minimize_scalar(
        negative_log_likelihood, bounds=ends, method="bounded", options={"xatol": 0.02}
    )
    return amplitude.new_tensor(math.exp(found.x))


AUTO_KERNELS = (
    "tanimoto",
    "latent",
    "linear",
    "tanimoto+latent",
    "tanimoto*latent",
    "tanimoto+descriptors",
    "tanimoto+descriptors+latent",
)
"""Kernels that `auto` compares."""


WEIGHTED_KERNELS = ("tanimoto", "descriptors")
"""The sum whose weights `weighted` learns. With more kernels (counts of radius 2 and of atom pairs,
inner products of descriptors, other length scales), the best of the next hundred molecules of a
genetic algorithm are foretold no better."""


TAIL_DEGREES, TAIL_SCALE = 4, 0.82
"""Degrees of freedom and scale of Student's t for predictions: errors have heavier tails than a
normal distribution. Of 2,070 molecules that `rank` proposed on four tasks, half of the errors were
below 0.58 standard deviations, and 90 % below 1.76."""


N_LEVELS = 100  # quantiles of a value that its mean and standard deviation are taken of
MAX_LEAVE_ONE_OUT = 500  # random molecules on which `auto` compares kernels, at most


@contextmanager
def reproducible(seed: int = 0) -> Iterator[None]:
    """Compute with BoTorch so that results depend on the seed alone: single-threaded, no warnings.

    BoTorch uses torch's global generator and the process's warning filters, so threads take turns.
    One thread: the order of summation, hence the last bits, depends on the number of threads, and
    more threads slow down small matrices. Warnings of other libraries are suppressed: inputs
    outside the box and jitter on the diagonal are expected.
    """
    with seeded(seed), threads(1), warnings.catch_warnings():
        own: Any = next(
            (
                action
                for action, text, kind, module, line in warnings.filters
                if issubclass(MolvaeWarning, kind) and not (text or module or line)
            ),
            "default",
        )
        warnings.simplefilter("ignore")
        warnings.simplefilter(own, MolvaeWarning)
        yield


def fit_surrogates(
    surrogate: str | SurrogateFactory,
    x: Tensor,
    scores: Tensor,
    bounds: Tensor,
    *,
    noise: Tensor | None,
    pending_x: Tensor | None,
    gram: GramMatrices | None = None,
    learn_noise: bool = False,
) -> list[Any]:
    """One BoTorch model per column of the scores.

    Pending molecules count as measured at their predicted values: near them the surrogate is more
    certain, and its means stay, so that a batch does not repeat what is being measured.

    Args:
        surrogate: Kernels, see `molecule_gp`, or an own factory.
        x: Features, `n x f`.
        scores: `n x m`.
        bounds: The box of z, `2 x d`.
        noise: Variances of the scores, `n x m`.
        pending_x: Features of pending molecules, `p x f`.
        gram: See `molecule_gp`.
        learn_noise: See `molecule_gp`.
    """
    models: list[Any] = []
    for column in range(scores.shape[1]):
        y = scores[:, [column]]  # n x 1
        variances = None if noise is None else noise[:, [column]]
        if isinstance(surrogate, str):
            models.append(
                molecule_gp(
                    x,
                    y,
                    bounds,
                    kernel=surrogate,
                    n_descriptors=len(DESCRIPTORS),
                    noise=variances,
                    pending=pending_x,
                    gram=gram,
                    learn_noise=learn_noise,
                )
            )
            continue
        with torch.enable_grad():
            model: Any = surrogate(x, y, variances)
            if not hasattr(model, "posterior"):
                raise CampaignError(
                    f"the surrogate returned {shown(model)}; expected a BoTorch model, which "
                    "has a method posterior"
                )
            if pending_x is not None:
                mean = model.posterior(pending_x).mean.detach()
                if variances is not None:
                    usual = variances.median().expand(len(pending_x), 1)
                    variances = torch.cat([variances, usual])
                model = surrogate(torch.cat([x, pending_x]), torch.cat([y, mean]), variances)
        models.append(model)
    return models
