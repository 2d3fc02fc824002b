"""Settings of models and trainings, as frozen dataclasses. No heavy import."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Literal

from molvae.config import at_least, check_seed
from molvae.errors import require


def _within(config: object, interval: str, *names: str) -> None:
    """Require settings to lie in an interval from 0 to 1, e.g. `[0, 1)`."""
    for name in names:
        value = getattr(config, name)
        above = value > 0 if interval[0] == "(" else value >= 0
        below = value < 1 if interval[-1] == ")" else value <= 1
        require(above and below, f"{name} must lie in {interval}, got {value}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and kinds of the sequence VAE."""

    latent_dim: int = 64
    """Dimensions of z; 0 is a language model, which writes molecules without z."""
    encoder: Literal["recurrent", "transformer"] = "recurrent"
    """Network that reads molecules."""
    decoder: Literal["recurrent", "transformer"] = "recurrent"
    """Network that writes molecules."""
    cell: Literal["gru", "lstm", "auto"] = "gru"
    """Cell of recurrent encoders and decoders. auto: a GRU where the training computes in bf16,
    else an LSTM, which torch computes faster on the CPU in float32."""
    posterior: Literal["gaussian", "flow", "point"] = "gaussian"
    """Distribution of z given a molecule: Gaussian, Gaussian sent through a flow, or a point."""
    embedding_dim: int = 64
    """Embedding size of a token."""
    encoder_dim: int = 256
    """State size of the encoder, in each direction if it is recurrent."""
    decoder_dim: int = 512
    """State size of the decoder."""
    position_dim: int = 32
    """Size of the position-dependent projections in encoder and decoder."""
    layers: int = 3
    """Number of blocks of a transformer."""
    heads: int = 4
    """Number of attention heads of a transformer; must divide its state size."""
    residual_conditioning: bool = True
    """Condition each decoding step on the part of z not yet explained by the tokens so far; needs a
    recurrent encoder and decoder."""
    noise_conditioning: bool = True
    """Tell the decoder how much noise z holds, so that it can rely on z accordingly."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "latent_dim" else 1
            require(
                not isinstance(value, int) or isinstance(value, bool) or value >= least,
                f"{name} must be at least {least}, got {value}",
            )
        for name in ("encoder", "decoder"):
            kind, width = getattr(self, name), getattr(self, f"{name}_dim")
            require(
                not self.residual_conditioning or kind == "recurrent",
                f"residual_conditioning must be false with {name} = {kind!r}: it needs a recurrent "
                "encoder and decoder",
            )
            require(
                kind == "recurrent" or width % self.heads == 0,
                f"heads must divide {name}_dim, got {self.heads} and {width}",
            )
        if self.latent_dim == 0:
            for name, value in (
                ("residual_conditioning", "false"),
                ("noise_conditioning", "false"),
                ("posterior", "'gaussian'"),
            ):
                require(
                    getattr(self, name) in (False, "gaussian"),
                    f"{name} must be {value} with latent_dim = 0: there is no z",
                )
        require(
            self.latent_dim > 1 or self.posterior != "flow",
            "latent_dim must be at least 2 with posterior = 'flow': of one number it is a Gaussian",
        )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The loss that training minimizes, in nats per molecule."""

    kind: Literal["elbo", "iwae", "total-correlation"] = "elbo"
    """Evidence lower bound, importance-weighted bound, or evidence lower bound with another weight
    of the total correlation of z, see `total_correlation_weight`."""
    beta: float = 0.1
    """Weight of the KL term. Smaller: more accurate reconstruction; larger: a smoother space."""
    beta_warmup_fraction: float = 0.15
    """Share of the training in which beta rises linearly from 0."""
    free_bits: float = 0.0
    """KL per dimension of z, in nats, that is not penalized."""
    n_samples: int = 1
    """Samples of z for each molecule; more than one for the importance-weighted bound only."""
    total_correlation_weight: float = 1.0
    """Weight of the total correlation of z relative to the rest of the KL term; 1: as in the
    evidence lower bound."""
    similarity_weight: float = 0.0
    """Weight of the correlation, within a batch, of distances in z with Tanimoto similarities of
    Morgan fingerprints (radius 2, 2,048 bits): similar molecules become neighbors."""
    fingerprint_weight: float = 0.0
    """Weight of the loss of an auxiliary linear head from z to 64 principal components of these
    fingerprints: half of the squared error, in standard deviations, summed."""

    def __post_init__(self) -> None:
        weights = ("total_correlation_weight", "similarity_weight", "fingerprint_weight")
        for name in ("beta", "free_bits", *weights):
            value = getattr(self, name)
            require(
                0 <= value < math.inf, f"{name} must be a number that is not negative, got {value}"
            )
        _within(self, "[0, 1)", "beta_warmup_fraction")
        at_least(self, 1, "n_samples")
        for name, kind, default in (
            ("free_bits", "elbo", 0.0),
            ("n_samples", "iwae", 1),
            ("total_correlation_weight", "total-correlation", 1.0),
        ):
            value = getattr(self, name)
            require(
                value == default or self.kind == kind,
                f"{name} belongs to kind = {kind!r}, got {name} = {value} with kind = "
                f"{self.kind!r}; leave one of them out",
            )
        require(
            self.kind != "iwae" or self.n_samples > 1,
            "the importance-weighted bound of one sample is the evidence lower bound; give "
            "n_samples = 8",
        )
        require(
            self.kind != "total-correlation" or self.beta > 0,
            "the total correlation is weighted relative to the KL term; give a beta above 0",
        )


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """The prior that is fitted to the encodings after training."""

    kind: Literal["auto", "normal", "mixture", "vamp", "flow", "autoregressive"] = "auto"
    """Standard normal, mixture of Gaussians, VampPrior, flow of coupling layers, or autoregressive
    flow. auto compares the normal one, a mixture and a flow, and keeps the one under which held-out
    encodings are likeliest."""
    epochs: int = 10
    """Passes over the encoded training molecules; 0 keeps the standard normal."""
    components: int = 0
    """Components of a mixture (0: 20) or a VampPrior (0: 100)."""
    calibrate: bool = True
    """Choose the noise and temperature with which generated molecules come nearest to the training
    molecules (takes minutes); false for a stage that another one starts from."""
    acceptance: bool = False
    """Let `generate` accept molecules so that logP, SAS, QED and descriptors are distributed as
    among the training molecules (takes minutes): about half of the molecules are rejected."""

    def __post_init__(self) -> None:
        at_least(self, 0, "epochs", "components")
        require(
            self.epochs > 0 or self.kind in ("auto", "normal"),
            f"a prior of kind {self.kind!r} needs at least one epoch, got epochs = 0",
        )
        require(
            self.components == 0 or self.kind in ("auto", "mixture", "vamp"),
            f"components belong to a mixture or vamp, got components = {self.components} with "
            f"kind = {self.kind!r}",
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A complete training, as in `pipelines/zinc250k.toml`."""

    data: str
    """Folder made by `molvae prepare`."""
    out: str
    """Model folder to write."""
    more_data: tuple[str, ...] = ()
    """Further folders made by `molvae prepare`, whose training molecules are learned too if they
    can be written with the tokens and the length of those of `data`. Vocabulary, properties,
    conditions, validation and prior come from `data` alone."""
    more_data_fraction: float = 0.0
    """Share of `more_data` among the molecules seen, resampled for each pass over `data`; 0: all of
    it."""
    start_from: str | None = field(default=None, metadata={"flag": "--from"})
    """Trained model to start from, e.g. the folder of an earlier stage: sizes, representation and
    vocabulary are taken from it, but z may have more dimensions. If it was trained with
    `keep_state`, the state of its optimizer is taken too."""
    keep_state: bool = False
    """Keep the final state of the optimizer, for a training that starts from this model."""
    average_with: tuple[str, ...] = ()
    """Models of earlier stages whose weights are averaged with the final ones, in equal parts,
    before the prior is fitted. Averages along a training often do better than its end (Izmailov et
    al. 2018, arXiv:1803.05407)."""
    average_fraction: float = 0.5
    """Share of those models together in the average."""
    representation: Literal["selfies", "smiles", "robust-smiles"] = "robust-smiles"
    """How molecules are written."""
    bpe_merges: int = 0
    """Byte-pair merges: how many times the most frequent pair of adjacent tokens becomes one."""
    n_molecules: int = 2_000_000
    """Total number of molecules seen, repeats included; then the learning rate has decayed."""
    batch_size: int = 128
    """Molecules per step."""
    learning_rate: float = 2e-3
    """Peak learning rate of Adam; decays to 2 % along a cosine."""
    lr_warmup_fraction: float = 0.01
    """Share of the training in which the learning rate rises linearly from 0."""
    lr_decay_fraction: float = 1.0
    """Last share of the training, in which the learning rate decays; 0: no decay, for a stage that
    another one starts from."""
    neighbors: bool = False
    """Make batches of pairs of often similar molecules, so that `loss.similarity_weight` sees true
    neighbors, of which random batches have few."""
    word_dropout: float = 0.0
    """Share of the tokens hidden from the decoder."""
    corruption: float = 0.0
    """Share of the encoder's input tokens that are deleted or replaced, half each."""
    randomized_smiles_fraction: float = 0.0
    """Share of the steps in which the encoder reads randomized SMILES, while the decoder writes the
    usual ones. For SMILES representations only."""
    noised_fraction: float = 0.25
    """Share of the molecules of `data` that are decoded from z with noise, at a random level from 0
    (none) to 1 (noise only); needs `model.noise_conditioning`."""
    properties: tuple[str, ...] = ()
    """Properties that linear heads learn to predict from z: those of `molvae properties`, and
    columns that `molvae prepare` kept."""
    property_weight: float = 1.0
    """Weight of the property heads' loss: half of the squared error, in standard deviations of the
    training molecules, summed over the properties."""
    conditions: tuple[str, ...] = ()
    """Properties to condition generation on, given to the decoder together with z. Makes the model
    a semi-supervised VAE, which infers unknown values."""
    condition_weight: float = 1.0
    """Weight of the negative log-density of known conditions under the encoder, in standard
    deviations of the training molecules."""
    labeled_fraction: float = 1.0
    """Share of the training molecules, chosen by the seed, whose labels are used."""
    max_grad_norm: float = 1.0
    """Largest norm of the gradient of the loss per token."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Precision of autocast; auto takes bf16 on CUDA and on CPUs that compute it natively."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto takes CUDA where there is one."""
    threads: int = 0
    """CPU threads; 0 keeps torch's choice."""
    seed: int = 0
    """Random seed of the weights, the order of the molecules and the noise."""
    validate_every: int = 250_000
    """Molecules between two validations; each also saves the state for `--resume`."""
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    prior: PriorConfig = PriorConfig()

    def __post_init__(self) -> None:
        at_least(self, 1, "n_molecules", "batch_size", "validate_every")
        check_seed(self.seed)
        at_least(self, 0, "bpe_merges", "property_weight", "condition_weight", "threads")
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"{name} must be positive and finite, got {value}")
        _within(self, "[0, 1)", "lr_warmup_fraction", "word_dropout", "noised_fraction")
        _within(self, "[0, 1)", "more_data_fraction", "corruption")
        _within(self, "[0, 1]", "randomized_smiles_fraction", "lr_decay_fraction")
        _within(self, "(0, 1]", "labeled_fraction")
        _within(self, "[0, 1]", "average_fraction")
        require(
            self.randomized_smiles_fraction == 0 or self.representation != "selfies",
            "randomized_smiles_fraction must be 0 with representation = 'selfies', got "
            f"{self.randomized_smiles_fraction}",
        )
        require(
            self.more_data_fraction == 0 or bool(self.more_data),
            f"more_data_fraction needs more_data, got {self.more_data_fraction} without any",
        )
        require(
            not self.neighbors or self.batch_size % 2 == 0,
            f"neighbors come in pairs: batch_size must be even, got {self.batch_size}",
        )
        require(
            not self.neighbors or self.loss.kind != "total-correlation",
            "the total correlation needs unbiased batches; leave neighbors out",
        )
        require(
            self.noised_fraction == 0 or self.model.noise_conditioning,
            "noised_fraction must be 0 without model.noise_conditioning, got "
            f"{self.noised_fraction}",
        )
        self._check_tables()
        twice = set(map(str.lower, self.properties)) & set(map(str.lower, self.conditions))
        require(
            not twice,
            f"{min(twice, default='')} is among properties and conditions; a head that is given "
            "the value learns nothing: name it once",
        )

    def _check_tables(self) -> None:
        """Refuse tables that do not go together."""
        model, loss, prior = self.model, self.loss, self.prior
        has_z, posterior = model.latent_dim > 0, model.posterior
        if posterior == "point":
            require(
                loss.kind == "elbo" and loss.beta == loss.free_bits == 0,
                "a posterior that is a point has no KL term: give [loss] beta = 0 and kind = "
                f"'elbo', got kind = {loss.kind!r} with beta = {loss.beta}",
            )
            require(
                not self.conditions,
                "unknown conditions are sampled; take posterior = 'gaussian' or 'flow'",
            )
        for what, there in (
            ("free_bits", loss.free_bits > 0),
            ("the total correlation", loss.kind == "total-correlation"),
            ("a prior of kind 'vamp'", prior.kind == "vamp"),
        ):
            require(
                not there or posterior == "gaussian",
                f"{what} needs a Gaussian posterior, got {posterior!r}",
            )
        for what, there in (
            ("a list of properties", bool(self.properties)),
            (f"a loss of kind {loss.kind!r}", loss.kind != "elbo"),
            ("free_bits", loss.free_bits > 0),
            ("corruption", self.corruption > 0),
            ("randomized_smiles_fraction", self.randomized_smiles_fraction > 0),
            ("similarity_weight", loss.similarity_weight > 0),
            ("fingerprint_weight", loss.fingerprint_weight > 0),
            (f"a prior of kind {prior.kind!r}", prior.kind not in ("auto", "normal")),
        ):
            require(
                has_z or not there,
                f"{what} needs z, but latent_dim is 0: a language model; leave it out",
            )
        require(
            prior.kind != "flow" or model.latent_dim > 1,
            "a prior of kind 'flow' needs latent_dim of at least 2; take 'autoregressive'",
        )
        require(
            not self.conditions or prior.kind not in ("mixture", "vamp"),
            f"a prior of kind {prior.kind!r} is not given conditions; take auto, normal, flow or "
            "autoregressive",
        )
