"""The latent space: molecules to vectors and back.

Molecules are SMILES; vectors are float64 on the CPU. Order is kept, one for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import canonical, index_of, list_of_smiles
from molvae.chem.representations import Representation, get_representation
from molvae.chem.vocabulary import Vocabulary
from molvae.config import check_seed
from molvae.errors import require
from molvae.latent import branching, decoration, density, generation, inversion, saving, tuning
from molvae.latent.acceptance import Acceptance
from molvae.latent.conversion import (
    TokenIds,
    check_vectors,
    map_molecules,
    require_vectors,
    to_molecule,
    try_token_ids,
    vector_count,
    write_tokens,
)
from molvae.model.checkpoint import ModelCard
from molvae.model.config import ModelConfig
from molvae.model.isolation import isolated
from molvae.model.priors import Prior, standard_normal_prior
from molvae.model.row_random import row_noise
from molvae.model.vae import SequenceVAE

if TYPE_CHECKING:
    import pandas as pd

N_MOMENT_SAMPLES = 64  # of a posterior without a formula for its mean and standard deviation


class LatentSpace:
    """Molecules to vectors and back.

    It can be pickled and copied; copies have caches of their own. Every seed is a whole number from
    0 to 2**63 - 1.

    Attributes:
        name: The bundled name or folder that it was loaded from.
        dim: Dimensions of a latent vector: those of z, then one for each condition, in standard
            deviations of the training molecules from their mean. 0 for a language model.
        bounds: Box that holds the training molecules, `2 x dim`, lower row first, float64.
        fingerprint: SHA-256 of the model; equal for equal models.
        vocabulary: The tokens that the model knows.
        representation: How it writes molecules.
        properties: Names of the properties that `predict` gives; empty without property heads.
        conditions: Names of the conditions that `generate` takes; empty for most models.
        radicals: Whether the training molecules include radicals. If not, radicals are neither
            generated nor proposed, and count as invalid; `decode` gives them all the same.
        max_length: Tokens of the longest sequence, EOS included.
        token_ids: Ids of a canonical SMILES, EOS included, by a call; errors as for `encode`.
        prior: Density of latent vectors; N(0, I) if none was learned.
        acceptance: How likely `generate` accepts a molecule; None for a model that accepts all.
        reference: Sorted log-densities of reference codes; None to compute them when needed.
    """

    def __init__(
        self,
        model: SequenceVAE,
        card: ModelCard,
        *,
        prior: Prior | None = None,
        acceptance: Acceptance | None = None,
        reference: Tensor | None = None,
        name: str = "",
        fingerprint: str = "",
        device: torch.device | None = None,
    ) -> None:
        self.model = model.to(device or torch.device("cpu")).eval()
        normal = standard_normal_prior(card.model.latent_dim, len(card.conditions))
        self.prior, self.acceptance = (prior or normal).eval(), acceptance
        self.card, self.name, self.fingerprint = card, name, fingerprint
        self.vocabulary = Vocabulary(card.vocabulary, card.bpe_merges)
        self.representation: Representation = get_representation(
            str(card.representation["name"]), card.representation.get("settings")
        )
        self.token_ids = TokenIds(self.representation, self.vocabulary, card.max_length)
        self.bounds = torch.tensor(card.bounds, dtype=torch.float64)
        self.dim, self.max_length, self.radicals = card.dim, card.max_length, card.radicals
        self.about, self.properties = card.about, card.properties
        self.conditions = tuple(condition.name for condition in card.conditions)
        # Shared with fine-tuned copies, so that a percentile means the same there.
        encodings = partial(density.encode_generated_molecules, self)
        self.reference = density.Reference(self.prior, encodings, reference)

    def __repr__(self) -> str:
        return f"LatentSpace({self.name!r}, dim={self.dim}, {self.representation.name})"

    @property
    def title(self) -> str:
        """The name for messages."""
        return self.name or "the model"

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.model.parameters()).device

    @property
    def config(self) -> ModelConfig:
        """Sizes of the network."""
        return self.card.model

    # Molecules to vectors

    @isolated()
    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """Latent vectors of molecules, `n x dim`: the means of their posteriors and conditions.

        Args:
            smiles: SMILES in any form.
            skip_unknown: Give rows of NaN, and one warning with the count, for molecules that the
                model cannot read (an unknown token, too long, or not writable in its
                representation), instead of an error. Invalid SMILES are always an error.

        Raises:
            InvalidMoleculeError: A text is not a molecule, or the representation cannot write it.
            UnknownTokenError: The model never saw one of the tokens; names token and molecule.
            TooLongError: The molecule has more tokens than the longest that the model can write.
            ConfigError: The model is a language model, which has no vectors.
        """
        return map_molecules(self, smiles, self.model.encode, self.dim, skip_unknown)

    @isolated()
    def posterior(
        self, smiles: Sequence[str], *, skip_unknown: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | molecule), each `n x dim`; arguments as `encode`.

        Other posteriors than Gaussians are estimated from 64 samples.
        """
        kind = self.config.posterior
        if kind == "flow":
            samples = self.sample_posterior(smiles, N_MOMENT_SAMPLES, skip_unknown=skip_unknown)
            return samples.mean(dim=1), samples.std(dim=1)

        def moments(ids: Tensor) -> Tensor:
            mean, logvar = self.model.posterior(ids)
            y_mean, y_logvar = self.model.conditions(ids)
            std = (0.5 * logvar).exp() * (kind != "point")
            return torch.cat([mean, y_mean, std, (0.5 * y_logvar).exp()], dim=1)

        mean, std = map_molecules(self, smiles, moments, 2 * self.dim, skip_unknown).chunk(2, dim=1)
        return mean, std

    @isolated()
    def sample_posterior(
        self, smiles: Sequence[str], k: int = 1, seed: int = 0, *, skip_unknown: bool = False
    ) -> Tensor:
        """Samples from q(z | molecule), `n x k x dim`; errors and `skip_unknown` as for `encode`.

        The samples of a molecule do not depend on the others. k must be at least 1.
        """
        k, seed = vector_count(k, "k", least=1), check_seed(seed)

        def sample(ids: Tensor) -> Tensor:
            noise = row_noise(ids, k, self.model.code_dim, seed).flatten(0, 1)
            return self.model.infer(ids, n_samples=k, noise=noise).code.view(len(ids), -1)

        z = map_molecules(self, smiles, sample, k * self.dim, skip_unknown)
        return z.view(len(z), k, self.dim)

    invert, refine_posterior_samples = inversion.invert, inversion.refine_posterior_samples
    tuned, save = tuning.tune, saving.save

    def can_encode(self, smiles: Sequence[str]) -> list[bool]:
        """Whether each valid molecule has known tokens and is not too long for the model."""
        rows = try_token_ids(self, map(canonical, list_of_smiles(smiles)))
        return [ids is not None for ids in rows]

    def lengths(self, smiles: Sequence[str]) -> list[int]:
        """Tokens of each molecule before merging, EOS included; errors as for `encode`."""
        molecules = map(canonical, list_of_smiles(smiles))
        return [len(self.representation.tokenize(molecule)) + 1 for molecule in molecules]

    # Vectors to molecules

    @isolated()
    def decode(
        self, z: Tensor, *, temperature: float = 0.0, seed: int | None = None
    ) -> list[str | None]:
        """The molecule at each latent vector.

        Args:
            z: `n x dim`, or `dim` for a single one; anything that `torch.as_tensor` takes.
            temperature: 0 takes the likeliest token at each step; above 0, tokens are sampled.
            seed: Seed of the samples; needed when `temperature` is above 0.

        Returns:
            Canonical SMILES; None where the sequence is not a molecule (with SELFIES, only when it
            is empty).

        Raises:
            ConfigError: Wrong shape, or numbers that are not finite.
        """
        return self.decode_with_confidence(z, temperature=temperature, seed=seed)[0]

    @isolated()
    def decode_with_confidence(
        self, z: Tensor, *, temperature: float = 0.0, seed: int | None = None
    ) -> tuple[list[str | None], Tensor]:
        """The molecule at each latent vector, and how sure the decoder is of it.

        Arguments and errors as for `decode`. The confidence is the log-probability per
        token written, before merging, EOS included: `n`, nats, at most 0; the larger, the surer.
        """
        require_vectors(self)
        z = check_vectors(self, z)
        if seed is not None or temperature > 0:
            seed = check_seed(seed)
        rows, sure = write_tokens(self, z, noise=0.0, temperature=temperature, seed=seed)
        molecules = parallel_map(partial(to_molecule, self.representation), rows)
        return molecules, torch.tensor(sure, dtype=torch.float64)

    sample_prior, translate = generation.sample_prior, generation.translate

    @isolated()
    def generate(
        self,
        n: int,
        seed: int = 0,
        *,
        noise: float | None = None,
        temperature: float | None = None,
        redraw: bool = True,
        conditions: Mapping[str, float] | None = None,
        condition_tolerance: float | None = None,
        oversampling: float = 1.0,
    ) -> list[str | None]:
        """New molecules: z from the prior, noise added to z, then the decoder.

        The decoder is told how much of z is noise. The molecules are nearer to the data than those
        of `sample_prior`: under noise there are no holes between the codes.

        Args:
            n: How many.
            noise: From 0 (z alone decides) to 1 (z is ignored); needs noise conditioning. None:
                the value that the training found nearest to the data.
            temperature: As for `decode`. None takes the value calibrated with the noise, and 0
                without noise; 1 for a language model.
            redraw: Resample, z included, radicals, molecules that needed repair and, with the
                default noise and temperature, molecules that the model's `acceptance` rejects, up
                to 10 times. With conditions, also molecules that are likely to miss them, up to 20
                times; the nearest is kept.
            conditions: Requested values, see `sample_prior`.
            condition_tolerance: Largest expected error of a condition, in standard deviations of
                the training molecules: the root mean square under q(y | molecule), the encoder's
                estimate and its uncertainty. Default 0.25.
            oversampling: Sample this many times n and keep the n that the decoder is surest of, see
                `decode_with_confidence`: more of them look like the data, and they vary less.

        Returns:
            Canonical SMILES, repeats included; None where a sequence is not a molecule, or a
            radical of a model that was not trained on radicals.

        Raises:
            ConfigError: A number out of range, or noise or conditions that the model was not
                trained with.
            UnknownNameError: The model has no such condition.
        """
        return self.generate_with_confidence(
            n,
            seed,
            noise=noise,
            temperature=temperature,
            redraw=redraw,
            conditions=conditions,
            condition_tolerance=condition_tolerance,
            oversampling=oversampling,
        )[0]

    @isolated()
    def generate_with_confidence(
        self, n: int, seed: int = 0, **settings: Any
    ) -> tuple[list[str | None], Tensor]:
        """`generate`, and the confidence in each molecule as for `decode_with_confidence`."""
        samples = generation.generate(self, n, seed, **settings)
        confidence = torch.tensor([one.confidence for one in samples], dtype=torch.float64)
        return [one.molecule for one in samples], confidence

    branch = branching.branch
    decorate, link, morph = decoration.decorate, decoration.link, decoration.morph

    # What the model says of molecules and vectors

    def predict(self, molecules: Sequence[str] | Tensor) -> pd.DataFrame:
        """Properties, in their units, by the model's linear heads, a column each; an index is kept.

        Of SMILES as for `encode`, or of latent vectors as for `property_head`.
        """
        import pandas as pd

        index = index_of(molecules)
        if index is None and not isinstance(molecules, Tensor):
            molecules = list_of_smiles(molecules)  # texts or vectors; a generator is used up once
        is_text = not isinstance(molecules, Tensor) and any(isinstance(m, str) for m in molecules)
        z = self.encode(molecules) if is_text else molecules  # type: ignore[arg-type]
        values = self.property_head(z).detach().numpy()  # type: ignore[arg-type]
        return pd.DataFrame(values, columns=list(self.properties), index=index)

    @isolated(keep_grad=True)
    def property_head(self, z: Tensor) -> Tensor:
        """Properties at latent vectors as for `decode`, `n x len(properties)`; gradients reach z.

        ConfigError if the model was trained without property heads.
        """
        require(
            bool(self.properties),
            f"{self.title} was trained without property heads; train one with "
            'properties = ["logP", ...] in its configuration',
        )
        z = check_vectors(self, z)
        return self.model.properties(z.float().to(self.device)).double().cpu()

    log_prob, outlier_score = density.log_prob, density.outlier_score

    @isolated(keep_grad=True)
    def log_density(self, z: Tensor) -> Tensor:
        """Log-density of the prior at vectors as for `decode`, `n`, nats; gradients reach z."""
        return density.log_density(self.prior, check_vectors(self, z))

    @isolated()
    def density_percentile(self, z: Tensor) -> Tensor:
        """Share of 500 reference encodings that are less dense than z, `n`, from 0 to 100.

        The reference molecules are generated by the space itself, the same ones each time. Meant
        for encodings; vectors of `sample_prior` lie further outside than the encodings of their
        molecules. NaN for rows that are not finite, and without any encodings. As for `decode`.
        """
        return self.reference.percentile(check_vectors(self, z, finite=False))
