"""How many of the best molecules of a library does a campaign find with few evaluations?

Campaigns choose among the training molecules of MOSES alone, from random ones on. What they find of
the fifty best of all is compared with as many random molecules, and with a Gaussian process with a
Tanimoto kernel that ranks a random part of the library as a whole before each batch. A search is
for the ten nearest, by CPU time of one thread; its recall is measured against all distances.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import molvae
from benchmarks.shared import run
from benchmarks.shared.tables import at, columns
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.chem.streaming import read_slices
from molvae.latent.library import PROPERTIES, Library
from molvae.latent.library_build import build_library

TITLE = "A library that can be bought"
TASKS = ("qed", "pmo/perindopril_mpo", "pmo/osimertinib_mpo")
BEST, START, BATCH = 50, 100, 10
PART = 100_000
"""Random molecules that the plain Gaussian process ranks."""
NOISE, TOGETHER = 1e-2, 10_000
"""Variance of the noise, as a share of the amplitude; molecules at a time."""
QUERIES, NEAREST = 200, 10


def measure(
    *, quick: bool, jobs: int, folder: Path, molecules: int = 100_000, budget: int = 500,
    seeds: Sequence[int] = (0,),
) -> dict[str, Any]:  # fmt: skip
    """Speed and recall of a search, and the share of the best molecules by task and method."""
    tasks: Sequence[str] = TASKS
    part = PART
    if quick:
        molecules, budget, tasks, part = 300, 40, TASKS[:1], 100
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) if quick else folder
        # MOSES comes with a package of its own, which a quick run does without.
        source, others = ("zinc250k", "zinc250k") if quick else ("moses", "moses-test")
        library, seconds = built(home, source, molecules, jobs)
        names = [str(home / "library"), budget, part]
        # Processes begin with different tasks: the first of each computes the values of all.
        cases = [(task, seed, *names) for seed in seeds for task in tasks]
        rows = run.each(found, cases, jobs=jobs, kept=None if quick else folder)
        return {
            "molecules": len(library),
            "build_seconds": seconds,
            "processes": jobs,
            "budget": budget,
            "best": BEST,
            "part": min(part, len(library)),
            "search": searched(library, others, 20 if quick else QUERIES),
            "rows": sorted(rows, key=lambda row: (tasks.index(row["task"]), row["seed"])),
        }


def built(folder: Path, data: str, n: int, jobs: int) -> tuple[Library, float]:
    """The library of the first molecules of a data set, and the seconds of all its builds."""
    source, spent = folder / f"{data}.smi", folder / "build-seconds.txt"
    if not source.exists():
        rows = next(read_slices(data, n)).rows()
        source.write_text("".join(f"{row.smiles} M{row.line}\n" for row in rows), encoding="utf-8")
    began, before = time.monotonic(), seconds(spent) if spent.exists() else 0.0

    def note_seconds(*_: object) -> None:  # of builds that are killed as well
        spent.write_text(str(before + time.monotonic() - began), encoding="utf-8")

    library = build_library(source, folder / "library", workers=jobs, on_progress=note_seconds,
                            partition_size=25_000 if n > 1000 else 100)  # fmt: skip
    return library, round(seconds(spent))


def seconds(spent: Path) -> float:
    """The number in a file."""
    return float(spent.read_text(encoding="utf-8"))


def searched(library: Library, data: str, n: int) -> dict[str, float]:
    """Milliseconds of a search, its encoding included, and recall against all distances."""
    queries = [canonical(row.smiles) for row in next(read_slices(data, n)).rows()]
    z = library.space.encode(queries).numpy().astype(np.float32)
    everything = np.concatenate([library.vectors(k) for k in range(library.n_partitions)])
    starts = np.cumsum([0, *(len(library.vectors(k)) for k in range(library.n_partitions))])
    squares = (everything**2).sum(axis=1)
    hits = library.nearest_vectors(z, NEAREST)
    right = 0
    for vector, few in zip(z, hits, strict=True):
        true = np.argpartition(squares - 2 * everything @ vector, NEAREST)[:NEAREST]
        right += len({*true.tolist()} & {int(starts[hit.partition]) + hit.row for hit in few})
    times: dict[str, list[float]] = {"z": [], "tanimoto": []}
    for query in queries[:20]:
        for by, seconds in times.items():
            began = time.process_time()
            library.nearest(query, NEAREST, by=by)  # type: ignore[arg-type]
            seconds.append(time.process_time() - began)
    medians = {f"ms_{by}": round(1000 * float(np.median(some)), 1) for by, some in times.items()}
    return {"recall": right / (NEAREST * len(queries)), **medians}


def found(task: str, seed: int, folder: str, budget: int, part: int) -> dict[str, Any]:
    """Shares of the best molecules of the library that three methods find."""
    library = Library.open(folder)
    smiles = column(library, "smiles")
    own = {name.lower(): name for name in PROPERTIES}
    if task in own:
        values = np.array(column(library, own[task]))
    else:
        kept = Path(folder).with_name(f"{task.replace('/', '-')}.json")
        values = np.array(run.cached(kept, lambda: molvae.get_objective(task)(smiles)), dtype=float)
    order = np.argsort(-values, kind="stable")[:BEST]
    best = {smiles[i] for i in order}
    trials = run.trials_of(
        library.space, budget, objective=task, library=folder, plausibility="none", seed=seed,
        start=min(START, budget // 2), batch_size=BATCH,
    )  # fmt: skip
    chosen = {"library": [trial.smiles for trial in trials]}
    rng = np.random.default_rng(seed)
    chosen["random"] = [smiles[i] for i in rng.permutation(len(smiles))[:budget]]
    rows = rng.permutation(len(smiles))[:part]
    chosen["tanimoto"] = plain([smiles[i] for i in rows], values[rows], budget)
    return {"task": task, "seed": seed} | {
        method: len(best & set(few)) / len(best) for method, few in chosen.items()
    }


def column(library: Library, name: str) -> list[Any]:
    """A column of all partitions."""
    parts = range(library.n_partitions)
    return [value for k in parts for value in library.partition(k, [name])[name].to_pylist()]


def plain(smiles: Sequence[str], values: np.ndarray[Any, Any], budget: int) -> list[str]:
    """Batches of the largest means of a Tanimoto Gaussian process, from the first molecules on."""
    bits, known = morgan_bits(smiles), list(range(min(START, budget // 2)))
    similar, done = np.empty((len(smiles), budget)), 0  # to the known molecules
    while len(known) < budget:
        for start in range(0, len(smiles), TOGETHER):
            rows = slice(start, start + TOGETHER)
            similar[rows, done : len(known)] = tanimoto(bits[rows], bits[known[done:]])
        done = len(known)
        y = values[known]
        gram = similar[known, :done] + NOISE * np.eye(done)
        means = similar[:, :done] @ np.linalg.solve(gram, y - y.mean())
        means[known] = -np.inf
        known += np.argsort(-means, kind="stable")[: min(BATCH, budget - done)].tolist()
    return [smiles[i] for i in known]


def table(result: Mapping[str, Any]) -> list[str]:
    """The search, and a row for each task and seed."""
    search = result["search"]
    return [
        f"{result['molecules']:,} molecules, made into a library in "
        f"{result['build_seconds'] / 60:.0f} minutes by {result['processes']} processes; "
        f"{search['ms_z']:.0f} ms for the nearest by z, "
        f"{search['ms_tanimoto']:.0f} ms by Tanimoto similarity; recall by z "
        f"{search['recall']:.3f}. Share of the {result['best']} best molecules found with "
        f"{result['budget']} evaluations, {START} random ones included:",
        "",
        *columns(result["rows"], {
            "task": lambda row: row["task"],
            "seed": lambda row: str(row["seed"]),
            "--library": at("library", ".0%"),
            f"Tanimoto GP on {result['part']:,}": at("tanimoto", ".0%"),
            "random": at("random", ".0%"),
        }),
    ]  # fmt: skip
