"""The latent space: the one place where chemistry meets the network.

Molecules go in and come out as SMILES, in the order given and one for one; vectors are float64 on
the CPU.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae.chem.molecules import CANONICAL_CACHE_SIZE, canonical, has_radicals
from molvae.chem.representations import Representation, get_representation
from molvae.chem.vocabulary import EOS, PAD, Vocabulary
from molvae.config import ModelConfig, check_seed, later_seed, whole_number
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    TooLongError,
    UnknownNameError,
    UnknownTokenError,
    warn,
    without_warnings,
)
from molvae.latent.density import REFERENCE, SEED, Reference, log_density
from molvae.latent.generation import (
    MAX_RESAMPLES,
    MAX_RESAMPLES_CONDITIONAL,
    Sample,
    rejection_sample,
)
from molvae.model.checkpoint import ModelCard, fingerprint, load_run
from molvae.model.decoding import decode
from molvae.model.finetuning import finetune_decoder
from molvae.model.hmc import sample_posterior_codes
from molvae.model.isolation import isolated
from molvae.model.losses import importance_bound, reconstruction
from molvae.model.noise import row_noise
from molvae.model.priors import ConditionalPrior, Prior, standard_normal_prior
from molvae.model.training import pick_device
from molvae.model.vae import SequenceVAE

BATCH = 512
"""Molecules that go through the network together."""


MOMENTS = 64
"""Draws that a posterior's mean and standard deviation are those of, where there is no formula."""


TOLERANCE = 0.25
"""By how much the encoder's guess may miss a condition, in standard deviations."""


TUNING_STEPS, TUNING_BATCH, TUNING_RATE = 60, 32, 1e-3
"""Of `tuned`: enough for most of the best molecules of a campaign to be decoded from their
encodings."""


REHEARSED, REHEARSAL = 200, 0.25
"""Molecules of the space's own making, and their share of what is learned."""


INVERSION_ROUNDS, INVERSION_STEPS, INVERSION_RATE = 8, 5, 0.1
"""Of `invert`: how often what was found is looked at, Adam's steps in between, and their length."""


N_LEAPFROG_STEPS, LEAST_ACCEPTANCE = 5, 0.2
"""Of `refine`: steps of a move, and the share of moves accepted below which it warns."""


WEIGHTS = Path(__file__).parents[1] / "weights"
"""Run folders that ship with the package."""


def list_runs() -> list[str]:
    """Names of the bundled runs."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.json"))


def find_run(run: str | Path) -> Path:
    """The folder of a bundled run or a run folder; a name wins over a folder of that name.

    Raises:
        UnknownNameError: Neither.
    """
    bundled = list_runs()
    folder = WEIGHTS / str(run) if str(run) in bundled else Path(run)
    if not folder.is_dir():
        raise UnknownNameError("bundled run or run folder", str(run), bundled)
    return folder


@isolated()
def load(run: str | Path, *, device: str = "cpu") -> LatentSpace:
    """A trained latent space.

    Args:
        run: Name of a bundled run, or a run folder; a name wins over a folder of that name, which
            can be given as `./name`.
        device: Where the network computes: `cpu`, `cuda`, one of several, `cuda:1`, or `auto`.

    Raises:
        UnknownNameError: Neither a bundled run nor a folder.
        ConfigError: There is no such device.
        CheckpointError: The folder is incomplete, damaged, foreign or newer than this molvae.
    """
    where, folder = pick_device(device), find_run(run)
    model, prior, card = load_run(folder)
    return LatentSpace(
        model,
        card,
        prior=prior,
        name=str(run),
        fingerprint=fingerprint(folder),
        device=where,
    )


class LatentSpace:
    """Molecules to vectors and back.

    It can be pickled and copied; copies have caches of their own. A seed, wherever one is taken,
    is a whole number from 0 to 2**63 - 1.

    Attributes:
        name: The bundled name or folder that it was loaded from.
        dim: Numbers in a latent vector: those of z, then one for each condition, in standard
            deviations of the training molecules from their mean. 0 for a language model, which has
            no vectors.
        bounds: Box that holds the training molecules, `2 x dim`, lower row first, float64.
        fingerprint: SHA-256 of the run; the same for the same model.
        vocabulary: The symbols that the model knows.
        representation: How it writes molecules.
        properties: Names of what `predict` reads off z; empty for a model without property heads.
        conditions: Names of what molecules can be generated for; empty for most models.
        radicals: Whether the model learned from molecules with unpaired electrons. If not, such are
            neither generated nor proposed, and count as invalid; `decode` gives what is written.
        max_length: Longest sequence, stop included.
        prior: Where the codes of molecules lie; N(0, I) if none was learned.
    """

    def __init__(
        self,
        model: SequenceVAE,
        card: ModelCard,
        *,
        prior: Prior | None = None,
        name: str = "",
        fingerprint: str = "",
        device: torch.device | None = None,
    ) -> None:
        self.model = model.to(device or torch.device("cpu")).eval()
        self.prior = (
            prior or standard_normal_prior(card.model.latent_dim, len(card.conditions))
        ).eval()
        self.card, self.name, self.fingerprint = card, name, fingerprint
        self.vocabulary = Vocabulary(card.vocabulary, card.bpe_merges)
        self.representation: Representation = get_representation(
            str(card.representation["name"]), card.representation.get("settings")
        )
        self.bounds = torch.tensor(card.bounds, dtype=torch.float64)
        self.dim, self.max_length = card.dim, card.max_length
        self.about, self.properties = card.about, card.properties
        self.conditions = tuple(condition.name for condition in card.conditions)
        self.radicals = card.radicals
        # Shared with copies that `tuned` makes, so that a percentile means the same there.
        self._reference = Reference(self.prior, self._known)
        self._remember()

    def _remember(self) -> None:
        """Keep the ids of molecules: a campaign tunes on all of its own again and again."""
        self._ids = lru_cache(maxsize=CANONICAL_CACHE_SIZE)(self._written)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_ids"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember()

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

    @isolated()
    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """Latent vectors of molecules: the means of their posteriors, conditions included.

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
            UnknownTokenError: The model never saw one of the symbols; names it, its place and the
                molecule.
            TooLongError: The molecule has more symbols than the longest that the model can write.
            ConfigError: The model is a language model, which has no vectors.
        """
        return self._encoded(smiles, self.model.encode, self.dim, skip_unknown)

    @isolated()
    def posterior(
        self, smiles: Sequence[str], *, skip_unknown: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | molecule), each `n x dim`.

        With a posterior that is no Gaussian, of 64 draws from it. Arguments and errors are those of
        `encode`.
        """
        kind = self.config.posterior
        if kind == "flow":
            draws = self.draws(smiles, MOMENTS, skip_unknown=skip_unknown)
            return draws.mean(dim=1), draws.std(dim=1)

        def moments(ids: Tensor) -> Tensor:
            mean, logvar = self.model.posterior(ids)
            y_mean, y_logvar = self.model.conditions(ids)
            std = (0.5 * logvar).exp() * (kind != "point")
            return torch.cat([mean, y_mean, std, (0.5 * y_logvar).exp()], dim=1)

        mean, std = self._encoded(smiles, moments, 2 * self.dim, skip_unknown).chunk(2, dim=1)
        return mean, std

    @isolated()
    def draws(
        self, smiles: Sequence[str], k: int = 1, seed: int = 0, *, skip_unknown: bool = False
    ) -> Tensor:
        """Vectors drawn from the posteriors of molecules, `n x k x dim`, float64, on the CPU.

        Those of a molecule do not depend on the others.

        Args:
            smiles: SMILES in any form.
            k: Draws for each.
            seed: Of the draws.
            skip_unknown: As of `encode`; errors are those of `encode`, too.

        Raises:
            ConfigError: k is below 1.
        """
        k, seed = whole_number(k, "k", least=1), check_seed(seed)

        def work(ids: Tensor) -> Tensor:
            noise = row_noise(ids, k, self.model.code_dim, seed).flatten(0, 1)
            return self.model.infer(ids, draws=k, noise=noise).code.view(len(ids), -1)

        z = self._encoded(smiles, work, k * self.dim, skip_unknown)
        return z.view(len(z), k, self.dim)

    def _encoded(
        self,
        smiles: Sequence[str],
        work: Callable[[Tensor], Tensor],
        width: int,
        skip_unknown: bool,
    ) -> Tensor:
        """What a function of ids makes of molecules, `n x width`, in their order; see `encode`."""
        self._has_vectors()
        molecules = [canonical(text) for text in _as_list(smiles)]
        rows: list[tuple[int, ...] | None] = []
        for molecule in molecules:
            try:
                rows.append(self._ids(molecule))
            except CANNOT_ENCODE:
                if not skip_unknown:
                    raise
                rows.append(None)
        if skipped := sum(row is None for row in rows):
            warn(
                f"{skipped} of {len(rows)} molecules skipped: {self.name or 'the model'} cannot "
                "read them; their vectors are NaN"
            )
        found = torch.full((len(rows), width), torch.nan, dtype=torch.float64)
        # Sorted by length, so that batches hold little padding; the places are kept.
        places = sorted((i for i, row in enumerate(rows) if row), key=lambda i: len(rows[i] or ()))
        for start in range(0, len(places), BATCH):
            part = places[start : start + BATCH]
            ids = pad([rows[i] or () for i in part]).to(self.device)
            with torch.inference_mode():
                made = work(ids)
            found[part] = made.double().cpu()
        return found

    def _has_vectors(self) -> None:
        if self.dim == 0:
            raise ConfigError(
                f"{self.name or 'the model'} is a language model: it generates molecules, and has "
                "no vectors to encode to or decode from; take a model with latent_dim above 0"
            )

    @isolated()
    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """Latent vectors that decode to the molecules, as far as they are found.

        The encoder knows the molecules of its training; what a search finds may be far from these,
        and its encoding then decodes to something else. From there on z goes up the decoder's own
        log-likelihood of the molecule, until greedy decoding gives it, for 40 steps at most.

        Args:
            smiles: SMILES in any form.
            skip_unknown: As of `encode`.

        Returns:
            `n x dim`, float64, on the CPU, in the order given; encodings where these decode to
            their molecules, and the last step's vectors where none was found.

        Raises:
            InvalidMoleculeError, UnknownTokenError, TooLongError: As of `encode`.
        """
        molecules = [canonical(text) for text in _as_list(smiles)]
        found = self.encode(molecules, skip_unknown=skip_unknown)
        left = torch.isfinite(found).all(dim=1).nonzero()[:, 0].tolist()
        for steps in (0, *[INVERSION_STEPS] * INVERSION_ROUNDS):
            if steps and left:
                ids = pad([self._ids(molecules[i]) for i in left]).to(self.device)
                z = found[left].float().to(self.device).requires_grad_()
                optimiser = torch.optim.Adam([z], lr=INVERSION_RATE)
                for _ in range(steps):
                    # Without cuDNN, whose recurrent layers have gradients in training only.
                    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                        nats = reconstruction(self.model.logits(z, ids), ids).sum()
                    (z.grad,) = torch.autograd.grad(nats, z)
                    optimiser.step()
                found[left] = z.detach().double().cpu()
            left = [
                i
                for i, decoded in zip(left, self.decode(found[left]), strict=True)
                if decoded != molecules[i]
            ]
        return found

    @isolated()
    def refine(
        self,
        smiles: Sequence[str],
        *,
        steps: int = 10,
        step: float = 0.4,
        seed: int = 0,
        weight: float = 5.0,
        skip_unknown: bool = False,
    ) -> Tensor:
        """Latent vectors drawn from what the decoder and the prior say of molecules.

        The encoder's posterior is a guess, drawn in one go; here it is only where Hamiltonian Monte
        Carlo starts. Its draws decode to their molecules more often than the encoder's, but each
        step costs five gradients.

        Args:
            smiles: SMILES in any form.
            steps: Moves of each vector, of five leapfrog steps each; 0 gives the encoder's draws.
            step: Length of a leapfrog step at most, in standard deviations of the encoder's
                posterior.
            seed: Of the draws.
            weight: Of log p(molecule | z), beside log p(z). 1 is the posterior p(z | molecule); a
                model that was trained with a smaller beta is looser there than its encoder, which
                aims at a weight of 1 / beta.
            skip_unknown: As of `encode`.

        Returns:
            `n x dim`, float64, on the CPU, in the order given.

        Raises:
            ConfigError: A number out of range, or the model's posterior is a point.
            InvalidMoleculeError, UnknownTokenError, TooLongError: As of `encode`.

        Warns:
            MolvaeWarning: Less than a fifth of the moves was accepted: the steps are too long.

        References:
            Hoffman (2017), proceedings.mlr.press/v70/hoffman17a.html.
        """
        for name, value in (("step", step), ("weight", weight)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} must be a positive number, got {value}")
        steps, seed = whole_number(steps, "steps", least=0), check_seed(seed)
        rates = []

        def work(ids: Tensor) -> Tensor:
            with torch.inference_mode(False):  # gradients are needed
                found = sample_posterior_codes(
                    self.model,
                    self.prior,
                    ids,
                    steps=steps,
                    step=step,
                    n_leapfrog_steps=N_LEAPFROG_STEPS,
                    seed=seed,
                    weight=weight,
                )
            rates.append(found.acceptance)
            return found.z

        z = self._encoded(smiles, work, self.dim, skip_unknown)
        if rates and (rate := float(torch.cat(rates).mean())) < LEAST_ACCEPTANCE:
            warn(
                f"only {100 * rate:.0f} % of the moves were accepted, so that vectors hardly left "
                f"where they started; give a step below {step:g}"
            )
        return z

    @isolated()
    def tuned(self, smiles: Sequence[str], *, seed: int = 0) -> LatentSpace:
        """A space whose decoder has learned molecules as well, the first ones best.

        What a search finds may be far from the training molecules: the encoder tells such molecules
        apart, but the decoder has never had to write them. The tuned one has, among molecules of
        the space's own making, so as not to forget; the encoder is the same, so vectors mean the
        same.

        Args:
            smiles: From the most important on; the k-th is learned about 1/k times as much as the
                first. Those that the model cannot read are left out; with none left, this space.
            seed: Of all draws.

        Raises:
            InvalidMoleculeError: A text is not a molecule.

        References:
            Tripp et al. (2020), arXiv:2006.09191 (retraining on weighted molecules).
        """
        seed = check_seed(seed)
        own = self._rows([canonical(text) for text in _as_list(smiles)])
        if not own:
            return self
        others = self._rows([m for m in self.generate(REHEARSED, seed, redraw=False) if m])
        weights = [(1 - REHEARSAL) / k for k in range(1, len(own) + 1)]
        each = REHEARSAL * sum(weights) / (1 - REHEARSAL) / max(1, len(others))
        space = copy.copy(self)
        space._ids = self._ids
        space.model = finetune_decoder(
            self.model,
            pad([*own, *others]).to(self.device),
            torch.tensor([*weights, *[each] * len(others)]),
            steps=TUNING_STEPS,
            batch=TUNING_BATCH,
            learning_rate=TUNING_RATE,
            noise=0.25 if self.config.noise_levels else 0.0,
            seed=seed,
        )
        return space

    def can_encode(self, smiles: Sequence[str]) -> list[bool]:
        """Whether each molecule can be encoded: its symbols are known, and it is not too long.

        Raises:
            InvalidMoleculeError: A text is not a molecule.
        """
        answers = []
        for molecule in [canonical(text) for text in _as_list(smiles)]:
            try:
                self._ids(molecule)
            except CANNOT_ENCODE:
                answers.append(False)
            else:
                answers.append(True)
        return answers

    @isolated(keep_grad=True)
    def predict(self, z: Tensor) -> Tensor:
        """Properties as the model's linear heads read them off latent vectors.

        Args:
            z: As of `decode`; gradients reach it.

        Returns:
            `n x len(space.properties)`, float64, on the CPU, in the units of `molvae.properties`.

        Raises:
            ConfigError: The model was trained without property heads, or z is as `decode` refuses
                it.
        """
        if not self.properties:
            raise ConfigError(
                f"{self.name or 'the model'} was trained without property heads; train one with "
                'properties = ["logP", ...] in its recipe'
            )
        z = self._vectors(z)
        return self.model.properties(z.float().to(self.device)).double().cpu()

    @isolated()
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
        self._has_vectors()
        z = self._vectors(z)
        if seed is not None or temperature > 0:
            seed = check_seed(seed)
        rows = self._write(z, noise=0.0, temperature=temperature, seed=seed)
        return [self._molecule(symbols) for symbols in rows]

    def _vectors(self, z: Tensor, *, finite: bool = True) -> Tensor:
        if not isinstance(z, Tensor):
            try:
                z = torch.from_numpy(np.array(z, dtype=np.float64))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"z must be n x {self.dim} numbers ({error})") from error
        z = z.to("cpu", torch.float64)
        if z.is_inference() and not torch.is_inference_mode_enabled():
            z = z.clone()  # gradients do not flow through tensors of that mode
        z = z[None] if z.ndim == 1 else z
        if z.ndim != 2 or z.shape[1] != self.dim:
            raise ConfigError(f"z must be n x {self.dim}, got {' x '.join(map(str, z.shape))}")
        if finite and not bool(torch.isfinite(z).all()):
            raise ConfigError("z holds numbers that are not finite; leave those rows out")
        return z

    def _write(
        self, z: Tensor, *, noise: float, temperature: float, seed: int | None
    ) -> list[list[str]]:
        if not 0 <= temperature < math.inf:
            raise ConfigError(f"temperature must not be negative, got {temperature}")
        rows: list[list[str]] = []
        for part in torch.split(z, BATCH):
            ids = decode(
                self.model,
                part.float().to(self.device),
                noise=noise,
                temperature=temperature,
                seed=seed,
            )
            rows += [self.vocabulary.decode(row) for row in ids.tolist()]
            seed = None if seed is None else seed + 1
        return rows

    @isolated()
    def sample(self, n: int, seed: int = 0, *, where: Mapping[str, float] | None = None) -> Tensor:
        """Latent vectors from the prior, `n x dim`, float64; the same for the same seed.

        Args:
            n: How many.
            seed: Of the draws.
            where: Conditions by name, in their own units, e.g. `{"logP": 2.5}`; the others are
                drawn as they go with those, and z as it goes with all of them.

        Raises:
            ConfigError: n is negative, a condition is not finite, or the model has no conditions.
            UnknownNameError: The model has not this condition.
        """
        n = whole_number(n, "n", least=0)
        generator = torch.Generator().manual_seed(check_seed(seed))
        if not where:
            return self.prior.sample(n, generator).double()
        known = self._standard(where)
        assert isinstance(self.prior, ConditionalPrior)
        return self.prior.sample(n, generator, known).double()

    @isolated()
    def transfer(self, smiles: Sequence[str], where: Mapping[str, float]) -> list[str | None]:
        """Molecules like those given, but with other conditions.

        z goes through the prior's flow to the noise that it comes from given the molecule's own
        conditions, and back given the new ones: what z says beside them is kept. Conditions that
        are not named keep what the model guesses of the molecule.

        Args:
            smiles: SMILES in any form.
            where: See `sample`.

        Returns:
            Canonical SMILES in the order given; None where the sequence is not a molecule.

        Raises:
            InvalidMoleculeError, UnknownTokenError, TooLongError: As of `encode`.
            ConfigError, UnknownNameError: As of `sample`; or the model has no z.

        References:
            Kang and Cho (2018), doi:10.1021/acs.jcim.8b00801.
        """
        known = self._standard(where)
        if self.config.latent_dim == 0:
            raise ConfigError(
                f"{self.name or 'the model'} has no z that could be kept; use generate(where=...)"
            )
        assert isinstance(self.prior, ConditionalPrior)
        z = self.encode(smiles)
        y = z[:, self.config.latent_dim :].clone()
        for place, value in known.items():
            y[:, place] = value
        return self.decode(self.prior.moved(z.float(), y.float()).double())

    def _standard(self, where: Mapping[str, float]) -> dict[int, float]:
        """Conditions by their place, in standard deviations from the mean."""
        if not self.conditions:
            raise ConfigError(
                f"{self.name or 'the model'} was trained without conditions; train one with "
                'conditions = ["logP", ...] in its recipe'
            )
        places = {name.lower(): place for place, name in enumerate(self.conditions)}
        known: dict[int, float] = {}
        for name, value in where.items():
            if name.lower() not in places:
                raise UnknownNameError("condition", name, self.conditions)
            if not math.isfinite(value):
                raise ConfigError(f"{name} must be a finite number, got {value}")
            condition = self.card.conditions[places[name.lower()]]
            known[places[name.lower()]] = (value - condition.mean) / condition.sd
        return known

    @isolated()
    def generate(
        self,
        n: int,
        seed: int = 0,
        *,
        noise: float | None = None,
        temperature: float | None = None,
        redraw: bool = True,
        where: Mapping[str, float] | None = None,
        tolerance: float | None = None,
    ) -> list[str | None]:
        """Molecules as the generative model makes them: z from the prior, noise, the decoder.

        The decoder is told how much of z is noise and makes of it what is likely among molecules.
        That is nearer to the data than decoding vectors of `sample`: under noise there are no holes
        between the codes, which the prior could miss.

        Args:
            n: How many.
            seed: Of all draws.
            noise: From 0, what z says is written, to 1, where z says nothing; needs a model trained
                with noise levels. None takes what the training found to come nearest to the data.
            temperature: 0 writes the likeliest symbol at each step; above 0, symbols are drawn.
                None takes what was found with the noise, and 0 where there is none; of a language
                model 1.
            redraw: Draw again, z as well, what is a radical, or a molecule only after it was
                mended, up to 10 times: the model slipped there, and what it then writes has odd
                rings. Matters mostly to robust SMILES, and to models that seldom slip. With
                conditions, also what is likely to miss them, up to 20 times; the nearest is kept.
            where: Conditions that the molecules are to have, see `sample`.
            tolerance: By how much a molecule may be expected to miss each of these before it is
                drawn again: the root mean square under q(y | molecule), the encoder's guess and
                its doubt, in standard deviations of the training molecules; 0.25 by default.

        Returns:
            Canonical SMILES, repeats included; None where a sequence is not a molecule, or a
            radical of a model that learned from none.

        Raises:
            ConfigError: A number out of range, or noise or conditions that the model has not been
                trained with.
            UnknownNameError: The model has not this condition.
        """
        found = self.card.drawing
        noise = found[0] if noise is None else noise
        if temperature is None:
            temperature = found[1] if noise > 0 or self.config.latent_dim == 0 else 0.0
        n, seed = whole_number(n, "n", least=0), check_seed(seed)
        if not 0 <= noise <= 1:
            raise ConfigError(f"noise must lie in [0, 1], got {noise}")
        if noise > 0 and not self.config.noise_levels:
            raise ConfigError(
                f"{self.name or 'the model'} was trained without noise levels; give noise=0"
            )
        if tolerance is not None and not where:
            raise ConfigError(f"tolerance={tolerance:g} is for conditions; give them as `where`")
        tolerance = TOLERANCE if tolerance is None else tolerance
        if tolerance < 0 or math.isnan(tolerance):
            raise ConfigError(f"tolerance must not be negative, got {tolerance}")
        wanted = self._standard(where) if where else {}
        level = noise

        def draw(n: int, seed: int) -> list[Sample]:
            z = self._noised(self.sample(n, seed, where=where), level, later_seed(seed, 1))
            rows = self._write(z, noise=level, temperature=temperature, seed=seed)
            made = [self._molecule(symbols) for symbols in rows]
            mended = [not self.representation.is_valid_as_written(symbols) for symbols in rows]
            for i, molecule in enumerate(made):
                if molecule is not None and not self.radicals and has_radicals(molecule):
                    made[i], mended[i] = None, True
            return list(map(Sample, made, mended, self._missed(made, wanted)))

        redraws = (MAX_RESAMPLES_CONDITIONAL if wanted else MAX_RESAMPLES) if redraw else 0
        best = rejection_sample(draw, n, seed=seed, redraws=redraws, tolerance=tolerance)
        far = sum(one.missed > tolerance for one in best)
        if redraw and far:
            warn(
                f"{far} of {n} molecules are expected to miss what was asked for by more than "
                f"{tolerance:g} standard deviations, as the encoder reads them: "
                "few molecules are like that, or the model is not sure what it reads"
            )
        return [one.molecule for one in best]

    def _noised(self, z: Tensor, noise: float, seed: int) -> Tensor:
        """Vectors of which a share is noise; conditions stay."""
        d = self.config.latent_dim
        more = torch.randn(len(z), d, generator=torch.Generator().manual_seed(seed), dtype=z.dtype)
        return torch.cat([math.sqrt(1 - noise**2) * z[:, :d] + noise * more, z[:, d:]], dim=1)

    def _missed(self, molecules: Sequence[str | None], wanted: Mapping[int, float]) -> list[float]:
        """By how many sd molecules are expected to miss the wanted conditions, the worst of them.

        The root mean square under q(y | molecule): the doubt counts, since the encoder misreads odd
        molecules, and seldom without doubt. Infinite for what the model cannot read; 0 where
        nothing is wanted.
        """
        if not wanted:
            return [0.0] * len(molecules)
        missed = [math.inf] * len(molecules)
        there = [i for i, molecule in enumerate(molecules) if molecule is not None]
        with without_warnings():  # rows of NaN are no guesses
            mean, std = self._guessed([str(molecules[i]) for i in there])
        for place, guess, doubt in zip(there, mean, std, strict=True):
            off = [math.hypot(float(guess[i]) - y, float(doubt[i])) for i, y in wanted.items()]
            missed[place] = math.inf if math.isnan(max(off)) else max(off)
        return missed

    def _guessed(self, molecules: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(y | molecule); NaN for what the model cannot read."""

        def moments(ids: Tensor) -> Tensor:
            mean, logvar = self.model.conditions(ids)
            return torch.cat([mean, (0.5 * logvar).exp()], dim=1)

        mean, std = self._encoded(molecules, moments, 2 * len(self.conditions), True).chunk(2, 1)
        return mean, std

    @isolated()
    def log_prob(self, smiles: Sequence[str], *, k: int = 64, seed: int = 0) -> Tensor:
        """Importance-weighted lower bound on log p(molecule), in nats; `n`, float64.

        The mean over k draws of p(molecule | z) p(z) / q(z | molecule), with the learned prior;
        tighter with larger k. With representations other than canonical SMILES, what is bounded is
        the probability of the one sequence that the molecule is written as. What is said of a
        molecule depends on it and on the seed, not on the others, up to rounding.

        Args:
            smiles: SMILES in any form.
            k: Draws from each posterior.
            seed: Of the draws.

        Raises:
            ConfigError: k is below 1.
            InvalidMoleculeError, UnknownTokenError, TooLongError: See `encode`.

        References:
            Burda et al. (2015), arXiv:1509.00519.
        """
        k, seed = whole_number(k, "k", least=1), check_seed(seed)
        rows = [self._ids(canonical(text)) for text in _as_list(smiles)]
        bounds = torch.zeros(len(rows), dtype=torch.float64)
        if order := sorted(range(len(rows)), key=lambda i: len(rows[i])):
            ids = pad([rows[i] for i in order]).to(self.device)
            bounds[order] = importance_bound(self.model, self.prior, ids, draws=k, seed=seed)
        return bounds

    def lengths(self, smiles: Sequence[str]) -> list[int]:
        """Symbols that molecules are written with, stop included.

        Args:
            smiles: SMILES in any form.

        Raises:
            InvalidMoleculeError: A text is not a molecule, or the representation cannot write it.
        """
        return [len(self.representation.tokenize(canonical(text))) + 1 for text in _as_list(smiles)]

    @isolated()
    def outlier_score(
        self, smiles: Sequence[str], *, k: int = 64, seed: int = 0, skip_unknown: bool = False
    ) -> Tensor:
        """How strange molecules are to the model: `-log_prob` per symbol, stop included.

        Per symbol, since log p falls with every symbol: by log p itself many a drug-like molecule
        is as strange as a small one of a kind that the model never saw.

        Args:
            smiles: SMILES in any form.
            k: As of `log_prob`; 8 tell kinds of molecules apart about as well as 64.
            seed: Of the draws.
            skip_unknown: Give NaN, and one warning with the count, for molecules that the model
                cannot read. Otherwise they are infinitely strange, and no error.

        Returns:
            `n`, float64, in nats: the larger, the stranger.

        Raises:
            ConfigError: k is below 1.
            InvalidMoleculeError: A text is not a molecule.
        """
        molecules = [canonical(text) for text in _as_list(smiles)]
        readable = self.can_encode(molecules)
        if skip_unknown and not all(readable):
            warn(
                f"{readable.count(False)} of {len(readable)} molecules skipped: "
                f"{self.name or 'the model'} cannot read them; their scores are NaN"
            )
        worst = torch.nan if skip_unknown else torch.inf
        scores = torch.full((len(molecules),), worst, dtype=torch.float64)
        known = list(compress(molecules, readable))
        bounds = self.log_prob(known, k=k, seed=seed)
        scores[torch.tensor(readable, dtype=torch.bool)] = -bounds / torch.tensor(
            self.lengths(known)
        )
        return scores

    @isolated(keep_grad=True)
    def log_density(self, z: Tensor) -> Tensor:
        """Natural logarithm of the prior's density at latent vectors.

        Args:
            z: As of `decode`; gradients reach it.

        Returns:
            `n`, float64.

        Raises:
            ConfigError: z is as `decode` refuses it.
        """
        return log_density(self.prior, self._vectors(z))

    @isolated()
    def percentile(self, z: Tensor) -> Tensor:
        """How usual latent vectors are, from 0 (as no known molecule) to 100.

        The share of 500 codes that are less dense under the prior: the encodings of molecules that
        the space itself generates, the same ones each time. So it is for encodings; vectors of
        `sample` lie further outside than the encodings of what they decode to.

        Args:
            z: As of `decode`, but rows of NaN are allowed, as `encode` gives them.

        Returns:
            `n`, float64; NaN for a row of NaN, and everywhere if the model can read nothing of
            what it generates.

        Raises:
            ConfigError: Wrong shape.
        """
        return self._reference.percentile(self._vectors(z, finite=False))

    def _known(self) -> Tensor:
        made = [m for m in self.generate(REFERENCE, SEED) if m is not None]
        with without_warnings():  # rows of NaN are no codes
            return self.encode(made, skip_unknown=True)

    def _written(self, molecule: str) -> tuple[int, ...]:
        ids = self.vocabulary.encode(self.representation.tokenize(molecule), molecule)
        if len(ids) >= self.max_length:
            raise TooLongError(molecule, len(ids), self.max_length - 1)
        return (*ids, EOS)

    def _rows(self, molecules: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of those that the model can read."""
        rows = []
        for molecule in molecules:
            with suppress(*CANNOT_ENCODE):
                rows.append(self._ids(molecule))
        return rows

    def _molecule(self, symbols: Sequence[str]) -> str | None:
        try:
            return self.representation.detokenize(symbols)
        except InvalidMoleculeError:
            return None


CANNOT_ENCODE = (UnknownTokenError, TooLongError, InvalidMoleculeError)
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
