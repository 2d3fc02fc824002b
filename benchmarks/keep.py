"""Does keeping a core by construction find better molecules than generating and filtering?

A core of a drug that few molecules hold (and a tiny one, if asked for); for a core and seed both
arms are campaigns of `rank` from the same decorations of the core, without findings. In one the
core is kept (`keep`), in the other it is a constraint (`matches`): candidates are made freely and
filtered by it before a call is spent.
Values are those of functions, which no strategy can compute:

    qed      the drug-likeness QED
    docking  a stand-in for docking, larger with size and lipophilicity as scores are: 0.25 for each
             heavy atom and 0.3 for each unit of logP; with the constraints of
             `pipelines/docking.toml`, QED of at least 0.4 and SAS of at most 4

What counts are molecules that hold the core and keep the constraints; any other call counts 0. AUC
is that of the mean of the ten best, see *Which method finds the best molecules in so many calls?*
Without findings are calls, the initial ones left out, whose molecules hold the core and have no
structural alert, unstable group, unseen part or unusual size but the core's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import molvae
from benchmarks.optimisation import auc
from benchmarks.shared.run import each, trials_of
from benchmarks.shared.tables import columns, grouped, number, spread
from molvae.chem.cores import core_of
from molvae.chem.plausibility import Plausibility
from molvae.chem.precedents import of_model
from molvae.chem.properties import score
from molvae.config import CampaignConfig

TITLE = "A core that is kept"
PARTS = ("cores",)
CORES = {
    "of imatinib": "Cc1ccc(NC=O)cc1Nc1nccc(-c2cccnc2)n1",
    "pyridine": "c1ccncc1",
}
LIMITS = ("qed >= 0.4", "sas <= 4")
START, BATCH, TOP = 20, 20, 10
GENERATED = 2_000


def docked(smiles: Sequence[str]) -> NDArray[np.float64]:
    """The stand-in for docking, the larger the better."""
    found = score(list(smiles), ["heavy_atoms", "logP"])
    return np.asarray(0.25 * found[:, 0] + 0.3 * found[:, 1])


def qed(smiles: str) -> float:
    """An objective that only a call can tell."""
    return float(score([smiles], ["QED"])[0, 0])


def docking(smiles: str) -> float:
    """Another objective that only a call can tell."""
    return float(docked([smiles])[0])


def measure(
    *,
    quick: bool,
    jobs: int,
    folder: Path,
    cores: Sequence[str] = tuple(CORES),
    budget: int = 200,
    seeds: Sequence[int] = (0, 1, 2),
) -> dict[str, Any]:
    """Best values by core, objective, arm and seed; and how often generated molecules hold it."""
    start = START
    if quick:
        cores, start, budget, seeds = cores[1:], 6, 16, seeds[:1]
    cases = [
        (core, objective, arm, seed, start, budget)
        for core in cores
        for objective in ("qed", "docking")
        for seed in seeds
        for arm in ("keep", "filter")
    ]
    rows = each(campaign, cases, jobs=jobs, kept=None if quick else folder)
    made = molvae.load(CampaignConfig.space).generate(200 if quick else GENERATED, seed=0)
    shares = {
        core: sum(core_of(CORES[core]).holds(one) for one in made if one) / len(made)
        for core in cores
    }
    return {"budget": budget, "start": start, "batch": BATCH, "generated": shares, "rows": rows}


def merge(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Results of now, and of before for cores that now has not."""
    shares = before["generated"] | now["generated"]
    others = [row for row in before["rows"] if row["core"] not in now["generated"]]
    rows = sorted([*others, *now["rows"]], key=lambda row: [*CORES].index(row["core"]))
    return {**now, "generated": shares, "rows": rows}


def campaign(
    core: str, objective: str, arm: str, seed: int, start: int, budget: int
) -> dict[str, Any]:
    """One campaign."""
    text = CORES[core]
    space = molvae.load(CampaignConfig.space)
    limits = LIMITS if objective == "docking" else ()
    own = {"keep": text} if arm == "keep" else {}
    known = of_model(CampaignConfig.space)
    assert known is not None
    check = Plausibility(precedents=known, heavy_atoms=known.heavy_atoms)
    check = check.for_start([], core_of(text).forms())
    first = [one for one in space.decorate(text, 4 * start, seed) if check.accepts(one)][:start]
    trials = trials_of(
        space, budget, objective=f"benchmarks.keep:{objective}", direction="maximize", seed=seed,
        start=first, batch_size=BATCH,
        constraints=limits if own else (*limits, f"matches:{text} >= 1"), **own,
    )  # fmt: skip
    smiles = [trial.smiles for trial in trials]
    holds = np.array([core_of(text).holds(one) for one in smiles])
    values = docked(smiles) if objective == "docking" else score(smiles, ["QED"])[:, 0]
    if limits:
        qeds, sas = score(smiles, ["QED", "SAS"]).T
        values = np.where((qeds >= 0.4) & (sas <= 4), values, np.nan)
    values = np.where(holds, values, np.nan)
    best = np.sort(values[np.isfinite(values)])[::-1][:TOP]
    clean = [held and not check.findings(one) for held, one in zip(holds, smiles, strict=True)]
    return {
        "core": core, "objective": objective, "arm": arm, "seed": seed, "calls": len(trials),
        "top10": float(best.mean()) if len(best) else 0.0,
        "auc_top10": auc(values.tolist(), budget, TOP),
        "holds": float(holds[start:].mean()),
        "clean": float(np.mean(clean[start:])),
    }  # fmt: skip


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each core and objective: both arms, and the gain over the seeds."""
    pairs = []
    for (core, objective), own in grouped(result["rows"], "core", "objective").items():
        arms = grouped(own, "arm")
        pairs.append({"core": core, "objective": objective, **arms})

    def both(key: str, form: str) -> Any:
        return lambda pair: ", ".join(
            number(float(np.mean([row[key] for row in pair[arm]])), form)
            for arm in ("keep", "filter")
        )

    def gain(pair: Any) -> str:
        keep, free = ([row["auc_top10"] for row in pair[arm]] for arm in ("keep", "filter"))
        differences = np.array(keep) - np.array(free)
        std = float(differences.std(ddof=1)) if len(differences) > 1 else None
        return spread(float(differences.mean()), std, "+.3f")

    def size(core: str) -> int:
        return int(core_of(CORES[core]).query.GetNumAtoms())

    return [
        f"{result['budget']} calls, {result['start']} decorations of the core among them, in "
        f"batches of {result['batch']}; means over {len(grouped(result['rows'], 'seed'))} seeds, "
        "`keep` first, then the constraint; gains are paired, ± standard deviation over seeds.",
        "",
        *columns(pairs, {
            "core (atoms)": lambda pair: f"{pair['core']} ({size(pair['core'])})",
            "of generated molecules": lambda pair: number(result["generated"][pair["core"]], ".1%"),
            "objective": lambda pair: pair["objective"],
            "AUC top-10": both("auc_top10", ".3f"),
            "gain": gain,
            "mean of the 10 best": both("top10", ".3f"),
            "hold the core": both("holds", ".0%"),
            "without findings": both("clean", ".0%"),
        }),
    ]  # fmt: skip
