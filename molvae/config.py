"""Every knob, as frozen dataclasses. No heavy import: the command line reads this for its help.

Order of precedence: the default here, then a TOML file, then a flag of the command line.
"""

from __future__ import annotations

import math
import operator
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from molvae.errors import ConfigError, DataError, UnknownNameError, require

Config = TypeVar("Config")


LARGEST_SEED = 2**63 - 1


DEFAULT_PROPERTIES = ("logP", "SAS", "QED")
"""Properties that tables, reports and metrics show; see `molvae.chem.properties`."""


RESUMABLE = {"resumable": True}
"""Metadata of settings that may change when a campaign is resumed."""

CHOICE_ALIASES = {
    "maximise": "maximize",
    "minimise": "minimize",
    "product": "desirability",
    "sum": "weighted_sum",
}
"""Old spellings of choices, still read."""

ALIASES: Mapping[str, Mapping[str, str]] = {
    "CampaignConfig": {
        "record": "campaign",
        "goals": "objective",
        "limits": "constraints",
        "batch": "batch_size",
        "most_failed": "max_failure_rate",
        "allow_equal": "allow_constant",
    },
    "Objective": {"computed": "is_cheap"},
    "Constraint": {"computed": "is_cheap"},
    "ModelConfig": {"explain": "residual_conditioning", "noise_levels": "noise_conditioning"},
    "LossConfig": {"beta_warm_up": "beta_warmup_fraction", "draws": "n_samples"},
    "PriorConfig": {"passes": "epochs"},
    "TrainConfig": {
        "objective": "loss",
        "beta": "loss.beta",
        "beta_warm_up": "loss.beta_warmup_fraction",
        "prior_passes": "prior.epochs",
        "merges": "bpe_merges",
        "noisy": "noised_fraction",
        "labelled": "labeled_fraction",
        "clip": "max_grad_norm",
        "lr_warm_up": "lr_warmup_fraction",
        "lr_decay": "lr_decay_fraction",
        "more_share": "more_data_fraction",
    },
}
"""Old names of settings by dataclass, still read; after a dot, in the table before it."""


STRATEGY_NAMES = ("random", "log-ei", "thompson", "turbo", "gradient", "rank", "ga")
"""The built-in strategies, for who must not load them to know their names."""


def is_imported(strategy: str) -> bool:
    """Whether a strategy is `module:Class`, not a built-in name with or without settings."""
    return (
        ":" in strategy
        and strategy.partition(":")[0] not in STRATEGY_NAMES
        and (not strategy.startswith("<"))
    )


def whole_number(
    value: Any, name: str, *, least: int | None = None, most: int | None = None
) -> int:
    """A whole number as Python's int: of any type that is one, e.g. NumPy's, but no bool.

    Args:
        value: What came.
        name: Of what it should be, for the message.
        least: Smallest that is allowed.
        most: Largest that is allowed.

    Raises:
        ConfigError: It is none, or out of range.
    """
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    try:
        kind = str(getattr(value, "dtype", type(value).__name__))
        number = None if kind in ("bool", "torch.bool") else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor without data
        number = None
    if number is None or not low <= number <= high:
        bounds = "" if least is None else f" from {least}"
        bounds += "" if most is None else f" to {most}"
        raise ConfigError(f"{name} must be a whole number{bounds}, got {value!r}")
    return number


def is_list(value: Any) -> bool:
    """Whether something holds several things one after the other: not so a text, or one number."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes)
        and getattr(value, "ndim", 1) > 0  # arrays and tensors of one number look like lists
    )


def check_seed(seed: Any) -> int:
    """A seed as Python's int, from 0 to 2**63 - 1: what all generators take.

    Raises:
        ConfigError: It is none.
    """
    return whole_number(seed, "seed", least=0, most=LARGEST_SEED)


def later_seed(seed: int, by: int) -> int:
    """The seed so many places on, from 0 again after the largest."""
    return (seed + by) % (LARGEST_SEED + 1)


def short_seed(seed: int) -> int:
    """A seed below 2**32, which is what scikit-learn takes."""
    return seed % 2**32


def _at_least(config: Any, least: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        text = "must not be negative" if least == 0 else f"must be at least {least}"
        require(value >= least, f"{name} {text}, got {value}")


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What `prepare` keeps of a data set."""

    column: str | None = None
    """Column of a CSV or TSV file that holds the SMILES; by default `smiles`, in any case."""
    max_heavy_atoms: int = 100
    """Larger molecules are dropped."""
    elements: tuple[str, ...] = ()
    """If given, molecules with other elements are dropped, e.g. C, N, O."""
    skip_invalid: bool = False
    """Drop and count texts that are no molecules; otherwise the first one is an error."""
    share: float = 1.0
    """Share of the texts that are looked at, chosen by their hashes: a sample of a large data set,
    the same each time."""
    keep: tuple[str, ...] = ()
    """Columns of numbers that are kept beside the molecules, to be learned as `properties` or
    `conditions` of a training; an empty cell is a value that is not known."""

    def __post_init__(self) -> None:
        require(
            self.max_heavy_atoms >= 1,
            f"max_heavy_atoms must be at least 1, got {self.max_heavy_atoms}",
        )
        require(0 < self.share <= 1, f"share must lie in (0, 1], got {self.share}")
        for name in self.keep:
            require(
                bool(name.strip()) and name.lower() != "smiles" and self.keep.count(name) == 1,
                f"keep names columns of numbers, each once; got {', '.join(map(repr, self.keep))}",
            )


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
        for name, plain in (
            ("residual_conditioning", False),
            ("noise_conditioning", False),
            ("posterior", "gaussian"),
        ):
            said = repr(plain) if isinstance(plain, str) else "false"
            require(
                self.latent_dim > 0 or getattr(self, name) == plain,
                f"{name} must be {said} with latent_dim = 0: there is no z",
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
    of the total correlation of z, see `total_correlation`."""
    beta: float = 0.1
    """Weight of the KL term. Smaller: more accurate reconstruction; larger: a smoother space."""
    beta_warmup_fraction: float = 0.15
    """Share of the training in which beta rises linearly from 0."""
    free_bits: float = 0.0
    """KL per dimension of z, in nats, that is not penalized."""
    n_samples: int = 1
    """Samples of z for each molecule; more than one for the importance-weighted bound only."""
    total_correlation: float = 1.0
    """Weight of the total correlation of z relative to the rest of the KL term; 1: as in the
    evidence lower bound."""
    similarity: float = 0.0
    """Weight of the correlation, within a batch, of distances in z with Tanimoto similarities of
    Morgan fingerprints (radius 2, 2,048 bits): similar molecules become neighbors."""
    fingerprint: float = 0.0
    """Weight of the loss of an auxiliary linear head from z to 64 principal components of these
    fingerprints: half of the squared error, in standard deviations, summed."""

    def __post_init__(self) -> None:
        for name in ("beta", "free_bits", "total_correlation", "similarity", "fingerprint"):
            value = getattr(self, name)
            require(
                0 <= value < math.inf, f"{name} must be a number that is not negative, got {value}"
            )
        require(
            0 <= self.beta_warmup_fraction < 1,
            f"beta_warmup_fraction must lie in [0, 1), got {self.beta_warmup_fraction}",
        )
        require(self.n_samples >= 1, f"n_samples must be at least 1, got {self.n_samples}")
        for name, kind, default in (
            ("free_bits", "elbo", 0.0),
            ("n_samples", "iwae", 1),
            ("total_correlation", "total-correlation", 1.0),
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

    def __post_init__(self) -> None:
        for name in ("epochs", "components"):
            require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )
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
    representation: Literal["selfies", "smiles", "robust-smiles"] = "robust-smiles"
    """How molecules are written."""
    bpe_merges: int = 0
    """Byte-pair merges: how many times the most frequent pair of adjacent tokens becomes one."""
    molecules: int = 2_000_000
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
    """Make batches of pairs of often similar molecules, so that `loss.similarity` sees true
    neighbors, of which random batches have few."""
    word_dropout: float = 0.0
    """Share of the tokens hidden from the decoder."""
    corruption: float = 0.0
    """Share of the encoder's input tokens that are deleted or replaced, half each."""
    spellings: float = 0.0
    """Share of the steps in which the encoder reads randomized SMILES, while the decoder writes the
    usual ones. For SMILES representations only."""
    noised_fraction: float = 0.25
    """Share of the molecules that are decoded from z with noise, at a random level from 0 (none) to
    1 (noise only); needs `model.noise_conditioning`."""
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
        for name in ("molecules", "batch_size", "validate_every"):
            require(
                getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}"
            )
        check_seed(self.seed)
        for name in ("bpe_merges", "property_weight", "condition_weight", "threads"):
            require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )
        for name in ("learning_rate", "max_grad_norm"):
            require(getattr(self, name) > 0, f"{name} must be positive, got {getattr(self, name)}")
        for name in (
            "lr_warmup_fraction",
            "word_dropout",
            "noised_fraction",
            "more_data_fraction",
            "corruption",
        ):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} must lie in [0, 1), got {value}")
        require(0 <= self.spellings <= 1, f"spellings must lie in [0, 1], got {self.spellings}")
        require(
            self.spellings == 0 or self.representation != "selfies",
            "spellings are randomized SMILES; set them to 0, or take another representation",
        )
        require(
            0 < self.labeled_fraction <= 1,
            f"labeled_fraction must lie in (0, 1], got {self.labeled_fraction}",
        )
        require(
            0 <= self.lr_decay_fraction <= 1,
            f"lr_decay_fraction must lie in [0, 1], got {self.lr_decay_fraction}",
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
        if both := {name.lower() for name in self.properties} & {
            name.lower() for name in self.conditions
        }:
            require(
                False,
                f"{min(both)} is among properties and conditions; a head that is given the value "
                "learns nothing: name it once",
            )

    def _check_tables(self) -> None:
        """Refuse what the tables say together and cannot be."""
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
                "conditions that are not known are drawn; take posterior = 'gaussian' or 'flow'",
            )
        if posterior != "gaussian":
            for what, there in (
                ("free_bits", loss.free_bits > 0),
                ("the total correlation", loss.kind == "total-correlation"),
                ("a prior of kind 'vamp'", prior.kind == "vamp"),
            ):
                require(not there, f"{what} needs a Gaussian posterior, got {posterior!r}")
        for what, there in (
            ("a list of properties", bool(self.properties)),
            (f"a loss of kind {loss.kind!r}", loss.kind != "elbo"),
            ("free_bits", loss.free_bits > 0),
            ("corruption", self.corruption > 0),
            ("a share of spellings", self.spellings > 0),
            ("similarity", loss.similarity > 0),
            ("fingerprint", loss.fingerprint > 0),
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


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """When to give up: timeout, retries, tolerated failures."""

    timeout: float | None = field(default=None, metadata=RESUMABLE)
    """Seconds after which an evaluation is stopped and has failed."""
    retries: int = field(default=0, metadata=RESUMABLE)
    """Further attempts at an evaluation that raised, died or timed out."""
    max_failure_rate: float = field(default=0.5, metadata=RESUMABLE)
    """Share of failures among the last 20 evaluations above which the run stops; 1: never stop."""
    failures_in_a_row: int = field(default=5, metadata=RESUMABLE)
    """Consecutive failures for the same reason (an outage, perhaps) after which the run stops and
    leaves them pending; 0: never."""

    def __post_init__(self) -> None:
        positive = self.timeout is None or (0 < self.timeout < math.inf)
        require(positive, f"timeout must be a positive number of seconds, got {self.timeout}")
        _at_least(self, 0, "retries", "failures_in_a_row")
        require(
            0 <= self.max_failure_rate <= 1,
            f"max_failure_rate must lie in [0, 1], got {self.max_failure_rate}",
        )


@dataclass(frozen=True, kw_only=True)
class CampaignConfig(RunLimits):
    """A complete campaign, as in `pipelines/*.toml`.

    The campaign file holds these settings; resuming compares them, except the fields with
    `RESUMABLE` metadata.
    """

    campaign: str = field(default="", metadata=RESUMABLE)
    """The campaign file (SQLite); an existing one with the same settings is resumed."""
    objective: tuple[str, ...] = field(default=(), metadata={"repeat": True})
    """What to optimize: a name (molvae list), `module:attribute`, or text such as
    "minimize sas, weight 2" or "logp in 1..3"; with `command`, a name for its values. Give it
    several times for several objectives. A TOML file may also hold tables [[objective]] with
    objective, direction, low, high, worst, best, weight, name, unit."""
    constraints: tuple[str, ...] = field(
        default=(), metadata={"flag": "--constraint", "repeat": True}
    )
    """What molecules must satisfy, e.g. "logp <= 5", "mw in 200..500", "similarity:CCO >= 0.4" or
    "amide: matches:C(=O)N >= 1". May be given several times."""
    combine: Literal["pareto", "desirability", "weighted_sum"] = "pareto"
    """How several objectives become one search: the Pareto front, the weighted geometric mean of
    desirabilities, or the weighted sum."""
    command: str | None = None
    """Another program that scores a molecule, e.g. `dock.sh {smiles}`; without `{smiles}` it reads
    the molecule from standard input. It prints a number, JSON, or CSV with a header."""
    name: str | None = None
    """Name of the values of a single objective, instead of the objective's own."""
    unit: str | None = None
    """Unit of the values of a single objective, shown with them."""
    direction: Literal["maximize", "minimize"] | None = None
    """Overrides the direction of a single objective."""
    space: str = "zinc250k"
    """A bundled model or a model folder."""
    strategy: str = "rank"
    """How molecules are chosen: random, log-ei, thompson, turbo, gradient, rank or ga; settings may
    follow, as in `rank:latent=0.8,filters=PAINS+BRENK`. Or your own: `module:Class`."""
    start: int | str = 100
    """Initial molecules: this many random ones of `dataset`, or a file of molecules (with a column
    `value` if measured)."""
    dataset: str = "zinc250k"
    """Data set of random initial molecules."""
    budget: int = field(default=300, metadata=RESUMABLE)
    """Total number of evaluations, initial molecules and earlier runs included."""
    batch_size: int = 10
    """Molecules chosen together before the surrogate is fitted again."""
    seed: int = 0
    """Random seed: the same seed and campaign give the same proposals on the CPU."""
    report: str | None = field(default=None, metadata=RESUMABLE)
    """Where to write the HTML report."""
    workers: int = field(default=0, metadata=RESUMABLE)
    """Processes that evaluate molecules; 0: one evaluation at a time in this process."""
    dask: str | None = field(default=None, metadata=RESUMABLE)
    """Address or scheduler file of a Dask cluster that evaluates molecules instead."""
    allow_constant: bool = field(default=False, metadata=RESUMABLE)
    """Continue although all values of the first batch are the same number."""
    skip_invalid: bool = field(default=False, metadata=RESUMABLE)
    """Leave out and count invalid initial molecules; otherwise the first one is an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("command", "unit", "direction", "name"):
            require(
                getattr(self, name) is None or len(self.objective) <= 1,
                f"{name} belongs to a single objective; with several, say it of each of them",
            )
        _at_least(self, 0, "workers")
        _at_least(self, 1, "budget", "batch_size")
        check_seed(self.seed)
        require(
            isinstance(self.start, str) or self.start >= 0,
            f"start must not be negative, got {self.start}",
        )


def resumable_fields(kind: type[Any]) -> tuple[str, ...]:
    """Names of the settings that may change when a campaign is resumed."""
    return tuple(one.name for one in fields(kind) if one.metadata.get("resumable"))


def build(kind: type[Config], settings: Mapping[str, Any], where: str = "settings") -> Config:
    """A config dataclass from plain values, tables inside included; old spellings are read.

    Args:
        kind: The dataclass.
        settings: Values by field name; a mapping for a field that is a dataclass.
        where: Their source for error messages, e.g. the file.

    Raises:
        UnknownNameError: A key is not a field; suggests the nearest one.
        ConfigError: A required field is missing, or a value has the wrong type or range.
    """
    settings = current_names(kind, settings, where)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        hint = hints[key]
        options = get_args(hint)
        if is_dataclass(hint):
            value = build(hint, value, f"{where} [{key}]")  # type: ignore[arg-type]
        elif get_origin(hint) is tuple and isinstance(value, list | str):
            value = (value,) if isinstance(value, str) else tuple(value)
        elif type(value) is int and (hint is float or float in options):
            value = float(value)
        elif isinstance(value, str) and value not in options:
            value = CHOICE_ALIASES.get(value, value) if _is_choice(hint) else value
        require(_fits(value, hint), f"{where}: {key} must be {_type_text(hint)}, got {value!r}")
        values[key] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('() ')[-1]}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def current_names(
    kind: type[Any], settings: Mapping[str, Any], where: str = "settings"
) -> dict[str, Any]:
    """Settings under the names of a dataclass's fields; old names are read, see `ALIASES`.

    Raises:
        UnknownNameError: A key is not a field; suggests the nearest one.
        ConfigError: Not a mapping, or a setting stands there under two names.
    """
    require(isinstance(settings, Mapping), f"{where} must be a table, got {settings!r}")
    aliases, names = ALIASES.get(kind.__name__, {}), [f.name for f in fields(kind)]
    found: dict[str, Any] = {}
    for key, value in settings.items():
        table, _, name = aliases.get(key, key).rpartition(".")
        target = found.setdefault(table, {}) if table else found
        if not table and name not in names:
            raise UnknownNameError(f"setting of {where}", key, names)
        if name in names and isinstance(value, Mapping) and isinstance(found.get(name), dict):
            twice = sorted(found[name].keys() & value.keys())
            require(not twice, f"{where}: {', '.join(twice)} is given twice, once in [{name}]")
            value = {**found.pop(name), **value}
        require(name not in target, f"{where}: {name} is given twice, once as {key}")
        target[name] = value
    hints = get_type_hints(kind)
    for name, value in found.items():
        if is_dataclass(hints[name]) and isinstance(value, Mapping):
            found[name] = current_names(hints[name], value, f"{where} [{name}]")
    return found


def _is_choice(hint: Any) -> bool:
    return any(get_origin(part) is Literal for part in (hint, *get_args(hint)))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value has a field's type; no conversions, and a bool is no int."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, part) for part in get_args(hint))
    return type(value) is (get_origin(hint) or hint)


def _type_text(hint: Any) -> str:
    """A field's type in words."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(_type_text(part) for part in get_args(hint) if part is not type(None))
    return f"of type {hint.__name__}"


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        DataError: The file is not there or is not TOML.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML: {error}") from error


def as_settings(config: Any) -> dict[str, Any]:
    """The inverse of `build`: plain values for JSON, nested tables included."""
    return asdict(config)


__all__ = [
    "CampaignConfig",
    "LossConfig",
    "ModelConfig",
    "PrepareConfig",
    "PriorConfig",
    "RunLimits",
    "TrainConfig",
    "as_settings",
    "build",
    "check_seed",
    "current_names",
    "is_imported",
    "is_list",
    "later_seed",
    "read_toml",
    "resumable_fields",
    "short_seed",
    "whole_number",
]
