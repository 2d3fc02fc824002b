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
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from molvae.errors import ConfigError, DataError, UnknownNameError, require

Config = TypeVar("Config")


LARGEST_SEED = 2**63 - 1


DEFAULT_PROPERTIES = ("logP", "SAS", "QED")
"""Properties that tables, reports and metrics show; see `molvae.chem.properties`."""


RESUMABLE_FIELDS = (
    *("workers", "dask", "timeout", "retries", "max_failure_rate", "failures_in_a_row"),
    "allow_constant",
)
"""Settings of a campaign that may be others each time it is gone on with."""


STRATEGY_NAMES = ("random", "log-ei", "thompson", "turbo", "gradient", "rank", "ga")
"""The built-in strategies, for who must not load them to know their names."""


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
    """Numbers in z; 0 is a language model, which writes molecules without a z."""
    encoder: Literal["recurrent", "transformer"] = "recurrent"
    """What reads molecules."""
    decoder: Literal["recurrent", "transformer"] = "recurrent"
    """What writes them."""
    cell: Literal["gru", "lstm", "auto"] = "gru"
    """Of recurrent encoders and decoders. auto: a GRU where the training computes in bf16, else an
    LSTM, which torch computes faster on the CPU in float32; what was decided is kept."""
    posterior: Literal["gaussian", "flow", "point"] = "gaussian"
    """What the encoder says of z: a Gaussian, such a one bent by a flow, or a single point."""
    embedding_dim: int = 64
    """Numbers that stand for one symbol."""
    encoder_dim: int = 256
    """State of the encoder, in each direction if it is recurrent."""
    decoder_dim: int = 512
    """State of the decoder."""
    position_dim: int = 32
    """Numbers of the position-dependent summary and condition."""
    layers: int = 3
    """Blocks of a transformer."""
    heads: int = 4
    """Heads of its attention; divides its state."""
    explain: bool = True
    """The decoder sees at each step what of z the symbols so far have not accounted for; needs a
    recurrent encoder and decoder."""
    noise_levels: bool = True
    """The decoder is told how much noise z holds, and trusts it accordingly."""

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
                not self.explain or kind == "recurrent",
                f"explain must be false with {name} = {kind!r}: it needs a recurrent encoder and "
                "decoder",
            )
            require(
                kind == "recurrent" or width % self.heads == 0,
                f"heads must divide {name}_dim, got {self.heads} and {width}",
            )
        for name, plain in (("explain", False), ("noise_levels", False), ("posterior", "gaussian")):
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
    """What a training minimises; nats per molecule."""

    kind: Literal["elbo", "iwae", "total-correlation"] = "elbo"
    """The evidence lower bound; the importance-weighted bound; or the former with another weight of
    the total correlation of z, see `total_correlation`."""
    beta: float = 0.1
    """Weight of the KL term. Smaller: more faithful codes; larger: a smoother space."""
    beta_warm_up: float = 0.15
    """Share of the training in which beta rises from 0."""
    free_bits: float = 0.0
    """Nats of the KL term, for each unit of z, that cost nothing: units that say less than that do
    not gain by saying still less."""
    draws: int = 1
    """Of z for each molecule; more than one for the importance-weighted bound only."""
    total_correlation: float = 1.0
    """How much the part of the KL term weighs that the units of z have in common, relative to the
    rest; 1: as in the evidence lower bound."""
    similarity: float = 0.0
    """Weight of Pearson's correlation, in a batch, of distances between the means of z with
    Tanimoto similarities of Morgan fingerprints (radius 2, 2,048 bits): near is to mean alike."""
    fingerprint: float = 0.0
    """Weight of the loss of a linear head, for the training alone, from z to 64 principal
    components of these fingerprints: half of the squared error, in standard deviations, summed."""

    def __post_init__(self) -> None:
        for name in ("beta", "free_bits", "total_correlation", "similarity", "fingerprint"):
            value = getattr(self, name)
            require(
                0 <= value < math.inf, f"{name} must be a number that is not negative, got {value}"
            )
        require(
            0 <= self.beta_warm_up < 1, f"beta_warm_up must lie in [0, 1), got {self.beta_warm_up}"
        )
        require(self.draws >= 1, f"draws must be at least 1, got {self.draws}")
        for name, kind, default in (
            ("free_bits", "elbo", 0.0),
            ("draws", "iwae", 1),
            ("total_correlation", "total-correlation", 1.0),
        ):
            value = getattr(self, name)
            require(
                value == default or self.kind == kind,
                f"{name} belongs to kind = {kind!r}, got {name} = {value} with kind = "
                f"{self.kind!r}; leave one of them out",
            )
        require(
            self.kind != "iwae" or self.draws > 1,
            "the importance-weighted bound of one draw is the evidence lower bound; give draws = 8",
        )
        require(
            self.kind != "total-correlation" or self.beta > 0,
            "the total correlation is weighted relative to the KL term; give a beta above 0",
        )


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """The distribution of z that is fitted to the encodings once a model is trained."""

    kind: Literal["auto", "normal", "mixture", "vamp", "flow", "autoregressive"] = "auto"
    """N(0, I); a mixture of Gaussians; of posteriors of made-up molecules; a flow of coupling
    layers; or one number of z after the other. auto fits the normal one, a mixture and a flow, and
    takes the one under which held-out encodings are likeliest."""
    passes: int = 10
    """Over the encoded training molecules; 0 leaves N(0, I)."""
    components: int = 0
    """Of a mixture, 20 by default, and of vamp, 100 by default."""
    calibrate: bool = True
    """Choose the noise and temperature with which `generate` comes nearest to the training
    molecules, which takes minutes; false for a stage that another one starts from."""

    def __post_init__(self) -> None:
        for name in ("passes", "components"):
            require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )
        require(
            self.passes > 0 or self.kind in ("auto", "normal"),
            f"a prior of kind {self.kind!r} needs at least one pass, got passes = 0",
        )
        require(
            self.components == 0 or self.kind in ("auto", "mixture", "vamp"),
            f"components belong to a mixture or vamp, got components = {self.components} with "
            f"kind = {self.kind!r}",
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A complete training, as in `pipelines/zinc250k.toml`."""

    MOVED: ClassVar[Mapping[str, str]] = {
        "beta": "objective.beta",
        "beta_warm_up": "objective.beta_warm_up",
        "prior_passes": "prior.passes",
    }
    """Settings that were here once, and where they are now."""

    data: str
    """Folder made by `molvae prepare`."""
    out: str
    """The run folder to make."""
    more_data: tuple[str, ...] = ()
    """Further folders made by `prepare`, whose training molecules are learned too, as far as they
    can be written with the symbols and the length of those of `data`. Vocabulary, properties,
    conditions, validation and prior are of `data` alone."""
    more_share: float = 0.0
    """Share of the molecules seen that are of `more_data`, drawn anew for each pass over `data`; 0:
    as many as there are."""
    start_from: str | None = field(default=None, metadata={"flag": "--from"})
    """A trained model to start from, e.g. the run folder of an earlier stage: sizes, representation
    and vocabulary are its own, but z may have more units. If it was trained with `keep_state`, the
    training goes on with the very state of its optimizer."""
    keep_state: bool = False
    """Keep the state that the training ends with, for others that start from it."""
    representation: Literal["selfies", "smiles", "robust-smiles"] = "robust-smiles"
    """How molecules are written."""
    merges: int = 0
    """How many times the most frequent pair of neighbouring symbols becomes one; 0: never."""
    molecules: int = 2_000_000
    """Molecules seen in all, repeats included; the learning rate has decayed at the end."""
    batch_size: int = 128
    """Molecules a step."""
    learning_rate: float = 2e-3
    """Peak, of Adam; decays to 2 % along a cosine."""
    lr_warm_up: float = 0.01
    """Share of the training in which the learning rate rises from 0."""
    lr_decay: float = 1.0
    """Share of the training, at its end, in which the learning rate decays; 0: it stays, for a
    stage that another one starts from."""
    neighbors: bool = False
    """Batches are made of pairs of molecules that are often alike, so that `objective.similarity`
    sees true neighbors, of which random batches have few."""
    word_dropout: float = 0.0
    """Share of the symbols hidden from the decoder."""
    corruption: float = 0.0
    """Share of the symbols that are left out or replaced in what the encoder reads, half of it
    each."""
    spellings: float = 0.0
    """Share of the steps in which the encoder reads another spelling of the molecules, from another
    atom on; the decoder still writes the one. Of molecules written as SMILES only."""
    noisy: float = 0.25
    """Share of the molecules that are to be written from z with noise, at a level drawn evenly from
    0 (none) to 1 (nothing else); needs `model.noise_levels`."""
    properties: tuple[str, ...] = ()
    """What a linear head is to read off z, trained along: properties of `molvae.properties`, and
    columns that `prepare` kept."""
    property_weight: float = 1.0
    """Weight of the heads' loss: half of the squared error, in standard deviations of the training
    molecules, summed over the properties."""
    conditions: tuple[str, ...] = ()
    """Likewise, what molecules are to be generated for: numbers that the decoder is given beside z.
    Makes the model a semi-supervised VAE, which infers what is not known."""
    condition_weight: float = 1.0
    """Weight of the loss of inferring the conditions that are known: their negative log-density,
    in standard deviations of the training molecules."""
    labelled: float = 1.0
    """Share of the training molecules, chosen by the seed, whose properties and conditions are
    shown to the training."""
    clip: float = 1.0
    """Largest gradient norm of the loss per symbol."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Autocast; auto takes bf16 on CUDA and on CPUs that compute it natively."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes CUDA where there is one."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""
    seed: int = 0
    """Of the weights, the order of the molecules and the noise."""
    validate_every: int = 250_000
    """Molecules between two validations; each also saves the state that `--resume` goes on from."""
    model: ModelConfig = ModelConfig()
    objective: LossConfig = LossConfig()
    prior: PriorConfig = PriorConfig()

    def __post_init__(self) -> None:
        for name in ("molecules", "batch_size", "validate_every"):
            require(
                getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}"
            )
        check_seed(self.seed)
        for name in ("merges", "property_weight", "condition_weight", "threads"):
            require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )
        for name in ("learning_rate", "clip"):
            require(getattr(self, name) > 0, f"{name} must be positive, got {getattr(self, name)}")
        for name in ("lr_warm_up", "word_dropout", "noisy", "more_share", "corruption"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} must lie in [0, 1), got {value}")
        require(0 <= self.spellings <= 1, f"spellings must lie in [0, 1], got {self.spellings}")
        require(
            self.spellings == 0 or self.representation != "selfies",
            "other spellings are those of SMILES; leave them out, or take another representation",
        )
        require(0 < self.labelled <= 1, f"labelled must lie in (0, 1], got {self.labelled}")
        require(0 <= self.lr_decay <= 1, f"lr_decay must lie in [0, 1], got {self.lr_decay}")
        require(
            self.more_share == 0 or bool(self.more_data),
            f"more_share is the share of more_data, got {self.more_share} without any",
        )
        require(
            not self.neighbors or self.batch_size % 2 == 0,
            f"neighbors come in pairs: batch_size must be even, got {self.batch_size}",
        )
        require(
            not self.neighbors or self.objective.kind != "total-correlation",
            "the total correlation needs even draws; leave neighbors out",
        )
        require(
            self.noisy == 0 or self.model.noise_levels,
            f"noisy must be 0 without model.noise_levels, got {self.noisy}",
        )
        self._check_tables()
        if both := {name.lower() for name in self.properties} & {
            name.lower() for name in self.conditions
        }:
            require(
                False,
                f"{min(both)} is among properties and conditions; a head that is given the number "
                "learns nothing: name it once",
            )

    def _check_tables(self) -> None:
        """Refuse what the tables say together and cannot be."""
        model, objective, prior = self.model, self.objective, self.prior
        has_z, posterior = model.latent_dim > 0, model.posterior
        if posterior == "point":
            require(
                objective.kind == "elbo" and objective.beta == objective.free_bits == 0,
                "a posterior that is a point has no KL term: give [objective] beta = 0 and kind = "
                f"'elbo', got kind = {objective.kind!r} with beta = {objective.beta}",
            )
            require(
                not self.conditions,
                "conditions that are not known are drawn; take posterior = 'gaussian' or 'flow'",
            )
        if posterior != "gaussian":
            for what, there in (
                ("free_bits", objective.free_bits > 0),
                ("the total correlation", objective.kind == "total-correlation"),
                ("a prior of kind 'vamp'", prior.kind == "vamp"),
            ):
                require(not there, f"{what} needs a Gaussian posterior, got {posterior!r}")
        for what, there in (
            ("a list of properties", bool(self.properties)),
            (f"an objective of kind {objective.kind!r}", objective.kind != "elbo"),
            ("free_bits", objective.free_bits > 0),
            ("corruption", self.corruption > 0),
            ("a share of spellings", self.spellings > 0),
            ("similarity", objective.similarity > 0),
            ("fingerprint", objective.fingerprint > 0),
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
    """What a run puts up with."""

    timeout: float | None = None
    """Seconds after which a call is given up."""
    retries: int = 0
    """Further tries of a call that raised, died or was given up."""
    max_failure_rate: float = 0.5
    """Share of the last calls above which a run stops; 1: never."""
    failures_in_a_row: int = 5
    """With one and the same reason, after which a run stops and leaves them waiting; 0: never."""

    def __post_init__(self) -> None:
        positive = self.timeout is None or (0 < self.timeout < math.inf)
        require(positive, f"timeout must be a positive number of seconds, got {self.timeout}")
        require(self.retries >= 0, f"retries must not be negative, got {self.retries}")
        require(
            0 <= self.max_failure_rate <= 1,
            f"max_failure_rate must lie in [0, 1], got {self.max_failure_rate}",
        )
        require(
            self.failures_in_a_row >= 0,
            f"failures_in_a_row must not be negative, got {self.failures_in_a_row}",
        )


@dataclass(frozen=True, kw_only=True)
class CampaignConfig:
    """A complete campaign, as in `pipelines/*.toml`."""

    record: str
    """The SQLite file; an existing record of the same settings is resumed."""
    objective: str | None = None
    """Name of an objective, or `module:attribute`; with `command`, a name for its values."""
    goals: tuple[str, ...] = ()
    """Several instead, e.g. "qed" "minimise sas, weight 2" "logp in 1..3"; in a file also tables
    [[goals]] with objective, direction, low, high, worst, best, weight, name, unit."""
    limits: tuple[str, ...] = ()
    """What molecules should keep, e.g. "logp <= 5" "similarity:CCO >= 0.4" "alerts:PAINS <= 0"."""
    combine: Literal["pareto", "product", "sum"] = "pareto"
    """How goals become one search: a Pareto front, or the weighted geometric mean of
    desirabilities, or the weighted sum."""
    command: str | None = None
    """Another program that scores a molecule, e.g. `dock.sh {smiles}`; without `{smiles}` it reads
    it from standard input. It prints a number, JSON, or CSV with a header."""
    unit: str | None = None
    """Of the values, shown with them."""
    direction: Literal["maximise", "minimise"] | None = None
    """Overrides the objective's own direction."""
    space: str = "zinc250k"
    """A bundled run or a run folder."""
    strategy: str = "rank"
    """How molecules are chosen: random, log-ei, thompson, turbo, gradient, rank or ga; settings may
    follow, as in `rank:latent=0.8,filters=PAINS+BRENK`."""
    start: int | str = 100
    """This many random molecules of `dataset`, or a file of molecules (with a column `value` if
    measured)."""
    dataset: str = "zinc250k"
    """Where random starting molecules come from."""
    budget: int = 300
    """Objective calls in all; starting molecules and earlier runs included."""
    batch: int = 10
    """Molecules chosen together before the surrogate is fitted anew."""
    seed: int = 0
    """Same seed, same record: same proposals on the CPU."""
    report: str | None = None
    """Where the HTML report goes."""
    workers: int = 0
    """Processes that call the objective; 0: one call at a time, here."""
    dask: str | None = None
    """Address or scheduler file of a Dask cluster that calls it instead."""
    timeout: float | None = None
    """Seconds after which a call is given up."""
    retries: int = 0
    """Further tries of a call that raised, died or was given up."""
    max_failure_rate: float = 0.5
    """Share of the last 20 calls above which the campaign stops; 1: never stop for failures."""
    failures_in_a_row: int = 5
    """Calls that fail one after the other for the same reason, an outage perhaps, after which the
    campaign stops and they wait; 0: never."""
    allow_constant: bool = False
    """Go on although all values of the first batch are the same number."""
    skip_invalid: bool = False
    """Leave out and count invalid starting molecules; otherwise the first one is an error."""

    def __post_init__(self) -> None:
        require(
            (self.objective is None) == bool(self.goals),
            "a campaign has either objective or goals; "
            + ("got both" if self.goals else "name what to look for, e.g. objective = qed"),
        )
        for name in ("command", "unit", "direction"):
            require(
                getattr(self, name) is None or self.objective is not None,
                f"{name} belongs to objective; with goals, say it of each of them",
            )
        RunLimits(
            timeout=self.timeout,
            retries=self.retries,
            max_failure_rate=self.max_failure_rate,
            failures_in_a_row=self.failures_in_a_row,
        )
        require(self.workers >= 0, f"workers must not be negative, got {self.workers}")
        require(self.budget >= 1, f"budget must be at least 1 objective call, got {self.budget}")
        require(self.batch >= 1, f"batch must be at least 1 molecule, got {self.batch}")
        check_seed(self.seed)
        require(
            isinstance(self.start, str) or self.start >= 1,
            f"start must be at least 1 molecule, got {self.start}",
        )


def build(kind: type[Config], settings: Mapping[str, Any], where: str = "settings") -> Config:
    """Make a config dataclass from plain values, nested tables included.

    Args:
        kind: The dataclass.
        settings: Keys are field names; a field that is a dataclass takes a mapping.
        where: Named in error messages, e.g. the file.

    Raises:
        UnknownNameError: A key that is no field, with the nearest field name.
        ConfigError: A required field is missing, a value has the wrong type or is out of range, or
            a setting has another name now.
    """
    check_names(kind, settings, where)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        hint = hints[key]
        if is_dataclass(hint):
            value = build(hint, value, f"{where} [{key}]")  # type: ignore[arg-type]
        elif isinstance(value, list):
            value = tuple(value)
        elif type(value) is int and (hint is float or float in get_args(hint)):
            value = float(value)
        require(_fits(value, hint), f"{where}: {key} must be {_says(hint)}, got {value!r}")
        values[key] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('() ')[-1]}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def check_names(kind: type[Config], settings: Mapping[str, Any], where: str = "settings") -> None:
    """Refuse keys that are no fields of a config dataclass; tables inside are not looked into.

    Args:
        kind: The dataclass.
        settings: By name.
        where: Named in error messages, e.g. the file.

    Raises:
        UnknownNameError: Names the first such key, with the nearest field name.
        ConfigError: No mapping, or a setting has another name now.
    """
    require(isinstance(settings, Mapping), f"{where} must be a table, got {settings!r}")
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in settings:
        if key in (moved := getattr(kind, "MOVED", {})):
            table, _, name = moved[key].partition(".")
            raise ConfigError(
                f"{where}: {key} is now {name} of the table [{table}]; write it there"
            )
        if key not in names:
            raise UnknownNameError(f"setting of {where}", key, names)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value has a field's type; no conversions, and a bool is no int."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, part) for part in get_args(hint))
    return type(value) is (get_origin(hint) or hint)


def _says(hint: Any) -> str:
    """A field's type in words."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(_says(part) for part in get_args(hint) if part is not type(None))
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
    "check_names",
    "check_seed",
    "is_list",
    "later_seed",
    "read_toml",
    "short_seed",
    "whole_number",
]
