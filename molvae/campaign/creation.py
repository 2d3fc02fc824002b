"""Create a campaign file from settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from molvae._version import versions
from molvae.bo.strategies.registry import (
    describe_strategy,
    format_strategy,
    get_strategy,
    own_strategy,
    upgrade_text,
)
from molvae.campaign.evaluation import with_computed
from molvae.campaign.initial_design import (
    MIN_SIMILARITY,
    InitialDesign,
    analogue_design,
    at_fidelities,
    build_initial_design,
    check_affords_a_value,
    generated_design,
    listed_molecules,
)
from molvae.campaign.proposal_check import core_to_keep, plausibility_of
from molvae.campaign.proposing import is_series, keeping_space
from molvae.campaign.schema import FORMAT
from molvae.campaign.start_rows import StartRow, count_rows
from molvae.campaign.storage import Storage, check_can_create, now
from molvae.chem.workbooks import is_frame
from molvae.config import (
    MULTI_FIDELITY,
    CampaignConfig,
    build,
    check_seed,
    current_names,
    is_list,
    whole_number,
)
from molvae.errors import (
    ConfigError,
    ImplausibleValueWarning,
    ObjectiveError,
    listed,
    require,
    warn,
)
from molvae.objectives.parsing import (
    format_part,
    parse_objective,
    parse_problem,
    told_names,
)
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem
from molvae.objectives.program import COMMAND_PREFIX, with_pattern

if TYPE_CHECKING:
    import pandas as pd

    from molvae.bo.base import Strategy
    from molvae.campaign.trial import Outcome
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.scoring import ScoringFunction


def create_file(
    path: str | Path,
    space: LatentSpaceProtocol | str | Path | None,
    config: CampaignConfig | None,
    settings: Mapping[str, Any],
) -> tuple[
    Storage, LatentSpaceProtocol, dict[str, ScoringFunction], Strategy, tuple[StartRow, ...]
]:
    """Create a campaign file, as `Campaign.create`; also returns what it was made from."""
    path = Path(path).absolute()
    check_can_create(path)
    given = changed_settings(config) | current_names(CampaignConfig, settings)
    for name in ("objective", "constraints", "fidelities"):
        if isinstance(given.get(name), Iterator):
            given[name] = list(given[name])
    if "seed" in given:
        given["seed"] = check_seed(given["seed"])
    if "batch_size" in given:
        given["batch_size"] = whole_number(given["batch_size"], "batch_size", least=1)
    budget = given.get("budget", CampaignConfig.budget)
    start = given.get("start")
    start = _start(initial_number(budget) if start is None else start)
    strategy = given.get("strategy", CampaignConfig.strategy)
    if isinstance(strategy, str):
        if "strategy" in given:
            given["strategy"] = upgrade_text(strategy)
        strategy = get_strategy(strategy)
    else:
        strategy = given["strategy"] = own_strategy(strategy)
    library = None
    folder = given.get("library")
    require(folder != "", "library is empty; give the folder of a library, or leave it out")
    if not folder and strategy.name == "screen":
        folder = getattr(strategy, "library", "")
    if folder:
        from molvae.bo.screening import with_library

        strategy, library = with_library(strategy if "strategy" in given else None, folder)
        given |= {"library": str(library.folder), "strategy": strategy}
    if given.get("suggest_from") is not None:
        from molvae.bo.screening import open_library

        given["suggest_from"] = str(open_library(str(given["suggest_from"])).folder)
    for name, kind in (("constraints", Constraint), ("fidelities", Objective)):
        if isinstance(given.get(name), str | Mapping | kind):
            given[name] = [given[name]]
    objective, constraints = given.get("objective", ()), given.get("constraints", ())
    if (near := given.get("similar_to")) is not None:
        from molvae.chem.molecules import canonical

        near = canonical(near)
    plain = {**given, "objective": (), "constraints": (), "start": _start_label(start)}
    plain |= {"fidelities": ()} if "fidelities" in given else {}
    if not isinstance(given.get("strategy", ""), str):
        plain["strategy"] = format_strategy(**describe_strategy(strategy))
    made = build(CampaignConfig, plain)
    problem, functions = parse_problem(
        given_objectives(given),
        constraints if near is None else _with_similarity(constraints, near),
        made.combine,
        campaign_file=path,
        direction=made.direction,
        name=made.name if made.command is None else None,
        unit=made.unit,
        cost=made.cost,
        fidelities=given.get("fidelities", ()),
    )
    if problem.fidelities:
        _check_strategy(strategy)
    space = load_space(made.space if space is None else space)
    require(
        space.dim > 0,
        f"{space.name or 'the model'} is a language model: it has no vectors to search among; "
        "take a space with latent_dim above 0",
    )
    functions = {name: bound_to(space, function) for name, function in functions.items()}
    dataset = made.dataset or _dataset_of(space)
    if library is not None:
        library.check_space(space)
    sampled = library is not None and isinstance(start, int)
    if library is not None and isinstance(start, int):
        require(made.keep is None, "with keep and a library, give initial molecules with the core")
        if near is None:
            start = library.sample(start, made.seed)
        else:
            start = library.nearest(near, start, by="tanimoto")["smiles"].tolist()
    if isinstance(start, int) and not (made.keep is None and near is None):
        keeping = None if made.keep is None else keeping_space(space, made.keep, ())
        check = plausibility_of(replace(made, space=space.name), ())
        if near is not None:
            first = analogue_design(start, space, near, made.seed, check, keeping)
        elif keeping is not None:
            own = cast("LatentSpaceProtocol", keeping)
            first = generated_design(start, own, keeping.new, made.seed, check)
    else:
        first = build_initial_design(
            start,
            space,
            told_names(problem),
            dataset=dataset,
            seed=made.seed,
            skip_invalid=made.skip_invalid,
            standardize=made.standardize,
            smiles_column=made.smiles_column,
            value_column=made.value_column,
        )
        first = replace(first, rows=()) if sampled else first
        _check_core(made, space, first)
    if isinstance(start, int) and len(first.trials) < start:
        warn(f"only {len(first.trials)} of {start} initial molecules were found; add more of yours")
    if first.outlying:
        warn(listed(first.outlying), ImplausibleValueWarning)
    made = replace(
        made,
        tune=is_series(first.trials) if made.tune is None else made.tune,
        campaign=path.name,
        space=_findable(space.name),
        dataset=dataset,
        objective=_labels(objective, problem.objectives, made.command),
        constraints=_labels(constraints, problem.constraints, None),
        fidelities=_labels(given.get("fidelities", ()), problem.fidelities, None),
        combine=problem.combine,
    )
    facts = {
        "format": FORMAT,
        "created": now(),
        "versions": versions(),
        "config": asdict(made),
        # What the settings meant when the campaign was created:
        "space": {"name": made.space, "fingerprint": space.fingerprint, "dim": space.dim},
        "objectives": [asdict(one) for one in problem.objectives],
        "constraints": [asdict(one) for one in problem.constraints],
        "fidelities": [asdict(one) for one in problem.fidelities],
        "strategy": describe_strategy(strategy),
        "skipped": first.skipped,
        "duplicates": first.duplicates,
        "start_rows": count_rows(first.rows),
    }

    first = at_fidelities(first, problem)
    if "budget" in given and not any(t.outcome and not t.fidelity for t in first.trials):
        check_affords_a_value(problem, [trial.fidelity for trial in first.trials], made.budget)
    trials = []
    for trial, percentile in zip(first.trials, percentiles_of(space, first), strict=True):
        outcome = trial.outcome
        if outcome is not None:
            outcome = with_computed(outcome, trial.smiles, problem, functions.__getitem__)
        trials.append(replace(trial, percentile=percentile, outcome=outcome))
    _check_functions(problem, [trial.outcome for trial in trials if trial.outcome is not None])
    return Storage.create(path, facts, trials), space, functions, strategy, first.rows


def _check_functions(problem: OptimizationProblem, outcomes: Sequence[Outcome]) -> None:
    """Refuse functions that fail for every measured molecule: it is not the molecules' fault."""
    told = {*told_names(problem)}
    measured = [outcome for outcome in outcomes if told and told <= outcome.values.keys()]
    if measured and not any(outcome.complete for outcome in measured):
        raise ObjectiveError(
            f"a value could be computed for none of the {len(measured)} measured molecules, first: "
            f"{measured[0].message}; no campaign was created, correct the function first"
        )


def _check_strategy(strategy: Strategy) -> None:
    """Refuse a strategy that does not choose among fidelities."""
    surrogate = getattr(strategy, "surrogate", "weighted")
    own = surrogate == "auto" or ":" in str(surrogate) or not isinstance(surrogate, str)
    if (
        strategy.name not in MULTI_FIDELITY
        or own
        or getattr(strategy, "acquisition", "ucb") != "ucb"
    ):
        raise ConfigError(
            f"strategy {describe_strategy(strategy)['name']} knows no fidelities with these "
            f"settings; use {' or '.join(MULTI_FIDELITY)} with a sum of molvae's own kernels as "
            "surrogate, and without an acquisition function of your own"
        )


def _check_core(config: CampaignConfig, space: LatentSpaceProtocol, first: InitialDesign) -> None:
    """Say how many initial molecules lack the core; refuse one that cannot be written."""
    if (core := core_to_keep(config)) is None:
        return
    keeping_space(space, core.text, [trial.smiles for trial in first.trials])
    lacking = sum(not core.holds(trial.smiles) for trial in first.trials)
    if lacking:
        warn(
            f"{lacking} of {len(first.trials)} initial molecules do not hold {core.text}, "
            "substituted as it says: their values are learned, and nothing like them is proposed"
        )


def _with_similarity(constraints: Any, smiles: str) -> list[Any]:
    """Constraints, and one more: to stay near a molecule."""
    from molvae.objectives.registry import SIMILARITY_PREFIX

    return [*constraints, f"{SIMILARITY_PREFIX}{smiles} >= {MIN_SIMILARITY}"]


def given_objectives(settings: Mapping[str, Any]) -> Any:
    """What the settings give as objectives; with `command`, they name its values."""
    objective = settings.get("objective", ())
    if (command := settings.get("command")) is None:
        return objective
    spec = COMMAND_PREFIX + with_pattern(command, settings.get("pattern"))
    items = [objective] if isinstance(objective, str) else list(objective)
    parts = [parse_objective(one) for one in items] or [{"spec": None}]
    names = [settings.get("name") or part.get("name") or part["spec"] for part in parts]
    return [
        {key: value for key, value in part.items() if key not in ("spec", "name")}
        | {"objective": spec}
        | ({} if name is None else {"name": name})
        for part, name in zip(parts, names, strict=True)
    ]


def changed_settings(config: CampaignConfig | None) -> dict[str, Any]:
    """The settings that are not at their defaults."""
    if config is None:
        return {}
    values = ((one.name, one.default, getattr(config, one.name)) for one in fields(config))
    return {name: value for name, default, value in values if value != default}


def _labels(
    given: Any, parts: Sequence[Objective | Constraint], command: str | None
) -> tuple[Any, ...]:
    """Objectives or constraints as settings hold them; objects as text."""
    items = list(given) if is_list(given) and not callable(given) else [given]
    if command is not None or all(_is_plain(one) for one in items):
        return tuple(items)
    if len(items) != len(parts):  # several constraints on one value are merged
        return tuple(map(format_part, parts))
    pairs = zip(items, parts, strict=True)
    return tuple(one if _is_plain(one) else format_part(part) for one, part in pairs)


def _is_plain(item: Any) -> bool:
    if isinstance(item, Mapping):
        return all(isinstance(value, str | int | float) for value in item.values())
    return isinstance(item, str)


def initial_number(budget: int) -> int:
    """The default number of initial molecules: a third of the budget, from 2 to 100."""
    return min(100, max(2, whole_number(budget, "budget", least=1) // 3))


def _start(start: Any) -> Any:
    """Initial molecules, a list of SMILES as a list."""
    require(
        is_frame(start) or (not isinstance(start, Mapping) and getattr(start, "ndim", 1) < 2),
        f"start is a {type(start).__name__}; give a list of SMILES, or a file or DataFrame with "
        "columns smiles and value",
    )
    if is_frame(start):
        return start
    if not isinstance(start, str | Path) and is_list(start):
        found = listed_molecules(start, "start")
        require(bool(found), "start is an empty list; leave it out, or give 0 for no molecules")
        return found
    return start if isinstance(start, str | Path) else whole_number(start, "start", least=0)


def _start_label(start: int | str | Path | Sequence[str] | pd.DataFrame) -> int | str:
    if isinstance(start, list) or is_frame(start):
        return f"{len(start)} given molecules"
    return start if isinstance(start, int) else str(start)


def load_space(space: LatentSpaceProtocol | str | Path) -> LatentSpaceProtocol:
    """A latent space as given, or loaded by its name or folder."""
    if isinstance(space, str | Path):
        from molvae.latent.loading import load

        return load(space)
    return space


def needs_space(function: ScoringFunction) -> bool:
    """Whether values depend on the latent space of the campaign."""
    from molvae.objectives.scoring import Typicality

    return isinstance(function, Typicality)


def bound_to(space: LatentSpaceProtocol, function: ScoringFunction) -> ScoringFunction:
    """The scoring function; `typicality` gets the space."""
    if not needs_space(function):
        return function
    from molvae.latent.density import density_percentiles

    compute = partial(density_percentiles, space)
    return cast("ScoringFunction", replace(cast(Any, function), compute=compute))


def percentiles_of(space: LatentSpaceProtocol, start: InitialDesign) -> list[float | None]:
    """Density percentiles of the trials of an initial design; None where they are not known."""
    import torch

    from molvae.latent.density import density_percentiles

    z = torch.tensor([trial.z for trial in start.trials], dtype=torch.float64, device="cpu")
    smiles = [trial.smiles for trial in start.trials]
    return density_percentiles(space, smiles, z.reshape(len(smiles), space.dim))


def _dataset_of(space: LatentSpaceProtocol) -> str:
    """The data set of random initial molecules: that of the model, if it has a name."""
    from molvae.bo.screening import training_dataset

    return training_dataset(space) or "zinc250k"


def _findable(name: str) -> str:
    """A model folder by its full path, so that the campaign opens from anywhere; else the name."""
    if not Path(name).is_dir():
        return name
    from molvae.latent.loading import list_models

    return name if name in list_models() else str(Path(name).resolve())
