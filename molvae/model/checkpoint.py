"""The model folder: all that is needed to use a trained model, and nothing that can run code.

    run/
      model.safetensors   weights; half precision where that loses nothing, float32 otherwise
      model.json          {"format": 4, "kind": "sequence-vae", "model": {...},
                           "representation": {...}, "vocabulary": [...], "merges": [[...], ...],
                           "properties": ["logP", ...],
                           "conditions": [{"name": "QED", "mean": 0.73, "std": 0.14}, ...],
                           "max_length": 37,
                           "bounds": [[...], [...]], "noise": 0.85, "temperature": 0.7,
                           "prior": {"kind": "flow", ...},
                           "files": {"model.safetensors": SHA-256, ...}, "about": {...}}
      prior.safetensors   weights of the learned prior; not there if the prior is N(0, I)
      metrics.jsonl       one line of progress at a time (kept for reading; not needed for use)
      resume.safetensors  where an unfinished training stands (removed when it is finished)

The JSON is read first, a network is built from it, and the tensors are loaded into that; any
difference is an error that names the tensor. A folder whose `format` is newer than `FORMAT` is
refused.

A model is replaced as a whole: the new weights are written as `*.safetensors.next`, then the card,
which holds their hashes, takes the old card's place in one step, then the weights take theirs. At
any moment the card says by its hashes which files are its own, and others are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from molvae._files import Kind, check_output, head_of, write_atomically
from molvae.chem.vocabulary import Vocabulary
from molvae.config import build, current_names
from molvae.errors import CheckpointError, described, require, shown
from molvae.model.config import ModelConfig
from molvae.model.isolation import isolated, seeded
from molvae.model.priors import (
    ConditionalPrior,
    NormalPrior,
    Prior,
    make_prior,
    standard_normal_prior,
)
from molvae.model.vae import SequenceVAE, upgrade_state_dict

FORMAT = 4
"""Format of model folders. 2 adds merges, residual conditioning, property heads and priors. 3 adds
conditions and kinds of networks, and names weights by the part that they belong to. 4 has other
names of settings and weights, see `config.ALIASES` and `vae.upgrade_state_dict`."""
FORMAT_1_SETTINGS = {"residual_conditioning": False, "noise_conditioning": False}
"""Settings that a card of format 1 does not have."""
KIND = "sequence-vae"
MAX_BOUND, MAX_TEMPERATURE = 1e6, 100.0
"""Bounds on numbers in a card, far beyond any trained model: larger ones are damage."""
WEIGHTS, PRIOR, CARD = "model.safetensors", "prior.safetensors", "model.json"
METRICS, RESUME, STATE = "metrics.jsonl", "resume.safetensors", "state.safetensors"
"""Progress of a training; its state while it works; and when it is done, if that is kept."""
NEXT_SUFFIX = ".next"  # end of the name of weights whose card is about to be written

PriorSource = Literal["density", "molecules"]
"""What `LatentSpace.sample_prior` gives: samples of the learned density, or encodings of molecules
that were generated from them."""
PRIOR_SOURCES: tuple[PriorSource, ...] = get_args(PriorSource)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A number that molecules can be generated for, and its unit in the network."""

    name: str
    mean: float  # mean of the training molecules
    std: float  # standard deviation of the training molecules, above 0


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What `model.json` says about a run."""

    model: ModelConfig
    representation: dict[str, Any]
    """Representation: its `name` and `settings`."""
    vocabulary: tuple[str, ...]
    """Tokens without the specials, in the order of their ids."""
    max_length: int
    """Longest row, stop included."""
    bounds: tuple[tuple[float, ...], tuple[float, ...]]
    """Lower and upper end, unit by unit, of the box that holds the training molecules."""
    bpe_merges: tuple[tuple[int, int], ...] = ()
    """Pairs of ids that are written as one; see `Vocabulary`."""
    properties: tuple[str, ...] = ()
    """What the network's heads read off z, in the properties' own units."""
    conditions: tuple[Condition, ...] = ()
    """The last numbers of a code, in standard deviations from the mean."""
    sampling_defaults: tuple[float, float] = (0.0, 0.0)
    """Noise and temperature with which molecules are generated where nothing else is asked for."""
    prior_source: PriorSource = "density"
    prior: dict[str, Any] = field(default_factory=dict)
    """Kind and sizes of the learned prior; empty for N(0, I)."""
    files: dict[str, str] = field(default_factory=dict, compare=False)
    """SHA-256 of the weights by name; filled in on saving, empty in older folders."""
    about: dict[str, Any] = field(default_factory=dict)
    """Settings, data with hashes, versions, measurements: for people, and to train it again."""

    @property
    def dim(self) -> int:
        """Numbers of a code: those of z, and the conditions."""
        return self.model.latent_dim + len(self.conditions)

    @property
    def radicals(self) -> bool:
        """Whether training molecules have unpaired electrons; not if nobody counted them."""
        more = [one.get("data", {}) for one in self.about.get("more_data", ())]
        return any(data.get("radicals", 0) > 0 for data in (self.about.get("data", {}), *more))


def _is_model_folder(folder: Path) -> bool:
    """Whether none of the files that a training writes is there, or a training wrote them all.

    Other files may be there: a training leaves them alone.
    """
    if (folder / "prepare.json").exists():
        return False
    if (folder / CARD).exists():
        return b'"sequence-vae"' in head_of(folder / CARD, 2**24)
    marks = {
        WEIGHTS: (b'"molvae":',),
        PRIOR: (b'"molvae":',),
        RESUME: (b'"place":', b'"settings":'),
        STATE: (b'"place":', b'"settings":'),
        METRICS: (b'"molecules":',),
    }
    for name, own in marks.items():
        head = head_of(folder / name, 2**20) if (folder / name).exists() else None
        is_new = head is None or (name == METRICS and not head)
        if not is_new and not all(mark in head for mark in own):  # type: ignore[operator]
            return False
    return True


MODEL = Kind(name="a model folder", is_own=_is_model_folder, error=CheckpointError, is_folder=True)


def check_can_save(folder: str | Path, *, apart_from: Iterable[str | Path] = ()) -> Path:
    """The absolute path of a folder where a model can go, checked before a training.

    Raises:
        CheckpointError: It is a file, a data folder, or holds files under the names of a model's
            that no training wrote; it is one of `apart_from`, which the training reads; or it
            cannot be made.
    """
    return check_output(folder, MODEL, overwrite=True, apart_from=apart_from)


def _compact(tensor: Tensor) -> Tensor:
    """Half precision if no number changes by it."""
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor


def round_to_half(model: nn.Module) -> None:
    """Round the weights, in place, to numbers that half precision holds: half the size on disk.

    The rounding is part of the model, so that what is measured is what is shipped.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().to(parameter.dtype))


def save_run(
    folder: str | Path, model: SequenceVAE, card: ModelCard, prior: Prior | None = None
) -> None:
    """Write weights, prior (N(0, I) if None) and card, whose `prior` and `files` are set here."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, nn.Module] = {WEIGHTS: model}
    if prior is not None and not isinstance(prior, NormalPrior):
        parts[PRIOR] = prior
    files = {}
    for name, part in parts.items():
        tensors = {key: _compact(tensor) for key, tensor in part.state_dict().items()}
        # A single key: safetensors writes several in no fixed order; equal models are equal files.
        written = save_tensors(tensors, metadata={"molvae": str(FORMAT)})
        files[name] = hashlib.sha256(written).hexdigest()
        write_atomically(folder / (name + NEXT_SUFFIX), written)
    sizes = asdict(card.model)
    if sizes["cell"] == "gru":  # younger than the format: as it was before there were others
        del sizes["cell"]
    content = {
        "format": FORMAT,
        "kind": KIND,
        "model": sizes,
        "representation": card.representation,
        "max_length": card.max_length,
        "vocabulary": list(card.vocabulary),
        "merges": [list(pair) for pair in card.bpe_merges],
        "properties": list(card.properties),
        "conditions": [asdict(condition) for condition in card.conditions],
        "bounds": [list(end) for end in card.bounds],
        "noise": card.sampling_defaults[0],
        "temperature": card.sampling_defaults[1],
        "prior_source": card.prior_source,
        "prior": prior.settings() if PRIOR in parts and prior is not None else {},
        "files": files,
        "about": card.about,
    }
    write_atomically(folder / CARD, (json.dumps(content, indent=1) + "\n").encode())
    for name in parts:
        (folder / (name + NEXT_SUFFIX)).replace(folder / name)
    for name in {PRIOR, PRIOR + NEXT_SUFFIX} if PRIOR not in parts else ():
        (folder / name).unlink(missing_ok=True)


def fingerprint(folder: str | Path) -> str:
    """SHA-256 over card, weights and prior: tells whether two folders hold the same model."""
    folder = Path(folder)
    digest = hashlib.sha256(_read(folder / CARD))
    files = _read_card(folder / CARD).files
    digest.update(_weights(folder, WEIGHTS, files))
    if PRIOR in files or (not files and (folder / PRIOR).exists()):
        digest.update(_weights(folder, PRIOR, files))
    return digest.hexdigest()


@isolated()
def load_run(folder: str | Path) -> tuple[SequenceVAE, Prior, ModelCard]:
    """The network and its prior, in evaluation mode on the CPU, and the card.

    Raises:
        CheckpointError: A file is missing, damaged, foreign, newer, or the two do not belong
            together.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    n_properties, n_conditions = len(card.properties), len(card.conditions)
    _check_sizes({**asdict(card.model), "max_length": card.max_length}, folder / WEIGHTS, card)
    # Built without memory first: a damaged card must not make us allocate what it asks for.
    with _understood(folder / CARD), seeded(0), torch.device("meta"):
        n_tokens = len(Vocabulary(card.vocabulary, card.bpe_merges))
        model = SequenceVAE(card.model, n_tokens, card.max_length, n_properties, n_conditions)
    _load(model, folder, WEIGHTS, card)
    prior = standard_normal_prior(card.model.latent_dim, n_conditions)
    if card.prior:
        _check_sizes(card.prior, folder / PRIOR, card)
        with (
            _understood(folder / CARD),
            seeded(0),
        ):  # the weights that are sampled here are replaced
            prior = make_prior(card.prior)
            require(prior.dim == card.dim, f"it has a prior of {prior.dim} numbers, not {card.dim}")
            require(
                isinstance(prior, ConditionalPrior) == bool(n_conditions),
                "its prior and its conditions do not belong together",
            )
        _load(prior, folder, PRIOR, card)
    return model.eval(), prior.eval(), card


def _check_sizes(sizes: Mapping[str, Any], weights: Path, card: ModelCard) -> None:
    """Refuse a card that asks for a network that its file of weights cannot hold."""
    try:
        held = len(_weights(weights.parent, weights.name, card.files))
    except CheckpointError as error:
        raise CheckpointError(f"{error}, of {shown(dict(sizes))}") from error
    for name, size in sizes.items():
        if isinstance(size, Mapping):
            _check_sizes(size, weights, card)
        elif isinstance(size, int) and (size < 0 or (size**2 if name == "hidden" else size) > held):
            raise CheckpointError(
                f"{weights.with_name(CARD)} says {name} = {shown(size)}, which the {held} bytes of "
                f"{weights.name} cannot hold; the two files are from different trainings or "
                "damaged"
            )


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Turn any error that a damaged card causes into one line with the file's name."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path} is incomplete or damaged, or of a newer molvae: {described(error)}"
        ) from error


def _load(module: nn.Module, folder: Path, name: str, card: ModelCard) -> None:
    path, content = folder / name, _weights(folder, name, card.files)
    try:
        tensors = upgrade_state_dict(load_tensors(content))
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file ({error}); copy the model folder again"
        ) from error
    load_into(module, tensors, path)
    if card.files and not _has_hash(content, card.files.get(name, "")):
        raise CheckpointError(
            f"{path} is not the file that {CARD} was written with: it is damaged, or the two are "
            "from different trainings; copy the model folder again"
        )


def _weights(folder: Path, name: str, files: Mapping[str, str]) -> bytes:
    """A file that belongs to the card, even if the process that wrote them stopped in between."""
    if name in files:
        for path in (folder / name, folder / (name + NEXT_SUFFIX)):
            with suppress(CheckpointError):
                if _has_hash(content := _read(path), files[name]):
                    return content
    return _read(folder / name)


def _has_hash(content: bytes, sha256: str) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256


def load_into(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Make the tensors the network's weights, as float32; names and shapes must agree."""
    own = model.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        where, lacks = (CARD, path.name) if name in own else (path.name, CARD)
        raise CheckpointError(
            f"{path}: tensor {name!r} belongs to {where} but not to {lacks}; "
            "the two files are from different trainings"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name!r} is {tuple(tensor.shape)}, {CARD} says "
                f"{tuple(own[name].shape)}; the two files are from different trainings"
            )
    full = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    model.load_state_dict(full, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}; a model folder holds {WEIGHTS} and {CARD}"
        ) from error


def _read_card(path: Path) -> ModelCard:
    text = _read(path)
    with _understood(path):
        content = json.loads(text)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise CheckpointError(f"{path} does not describe a {KIND} made by molvae")
    if content.get("format") not in range(1, FORMAT + 1):
        raise CheckpointError(
            f"{path} has format {content.get('format')!r}; this molvae reads 1 to {FORMAT}. "
            "Upgrade molvae, or train the model again"
        )
    with _understood(path):
        low, high = (tuple(map(float, end)) for end in content["bounds"])
        settings = FORMAT_1_SETTINGS | current_names(ModelConfig, content["model"])
        card = ModelCard(
            model=build(ModelConfig, settings, str(path)),
            representation={"name": str(content["representation"]["name"])}
            | dict(content["representation"]),
            vocabulary=tuple(map(str, content["vocabulary"])),
            max_length=int(content["max_length"]),
            bounds=(low, high),
            bpe_merges=tuple((int(left), int(right)) for left, right in content.get("merges", ())),
            properties=tuple(map(str, content.get("properties", ()))),
            conditions=tuple(
                build(Condition, one, f"{path} [conditions]")
                for one in content.get("conditions", ())
            ),
            sampling_defaults=(
                float(content.get("noise", 0.0)),
                float(content.get("temperature", 0.0)),
            ),
            prior_source=content.get("prior_source", "density"),
            prior=dict(content.get("prior", {})),
            files={str(name): str(sha256) for name, sha256 in content.get("files", {}).items()},
            about=dict(content["about"]),
        )
        require(len(low) == len(high) == card.dim, "bounds and the dimensions of a vector disagree")
        require(
            all(abs(x) <= MAX_BOUND for x in (*low, *high)), f"bounds are not within {MAX_BOUND:g}"
        )
        require(card.prior_source in PRIOR_SOURCES, f"prior_source is one of {PRIOR_SOURCES}")
        noise, temperature = card.sampling_defaults
        require(
            0 <= noise <= 1 and 0 <= temperature <= MAX_TEMPERATURE,
            f"noise must lie in [0, 1] and temperature in [0, {MAX_TEMPERATURE:g}], got "
            f"{noise} and {temperature}",
        )
        require(
            all(0 < condition.std < math.inf for condition in card.conditions),
            "a condition has no standard deviation",
        )
        Vocabulary(card.vocabulary, card.bpe_merges)
        require(card.max_length >= 1, "max_length must be at least 1")
    return card
