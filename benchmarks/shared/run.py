"""How a benchmark runs: where its result goes, what it was measured with, processes, files kept."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from molvae.errors import DataError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FIGURES = ROOT / "docs" / "benchmarks"
RUNS = ROOT / "runs" / "benchmarks"
OUTPUTS = ("benchmarks/results", "docs/benchmarks", "docs/benchmarks.md")
"""What benchmarks write themselves: a change there changes nothing that is measured."""


def git(*words: str) -> str:
    """What git prints.

    Raises:
        DataError: This is no working tree of git.
    """
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"{ROOT} is no working tree of git ({done.stderr.strip()}); clone it")
    return done.stdout.strip()


def changes() -> list[str]:
    """Files of the working tree that are not as they were committed."""
    others = [f":(exclude){place}" for place in OUTPUTS]
    told = git("status", "--porcelain", "--untracked-files=all", "--", ".", *others)
    return [line[2:].strip() for line in told.splitlines()]


def require_clean(advice: str) -> str:
    """The commit that results belong to.

    Raises:
        DataError: The working tree has changes, or is none of git.
    """
    if changed := changes():
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise DataError(
            f"results belong to a commit, and {', '.join(changed[:3])}{more} are not as they were "
            f"committed; {advice}"
        )
    return git("rev-parse", "--short", "HEAD")


def metadata(**more: Any) -> dict[str, Any]:
    """Where and with what numbers are made."""
    from molvae._version import versions

    try:
        commit = git("rev-parse", "--short", "HEAD") + ("-dirty" if changes() else "")
    except DataError:
        commit = ""
    about = {"commit": commit, "versions": versions(), "cores": os.cpu_count()}
    about |= {"processor": platform.machine(), "threads": int(os.environ["OMP_NUM_THREADS"])}
    return about | more


@contextmanager
def kept_folder(name: str, *, quick: bool) -> Iterator[Path]:
    """A folder for what takes long, so that an interrupted benchmark goes on.

    There is one for each state of the package: what other code made is never taken for this one's.
    Quick runs, and a tree with changes, keep nothing.
    """
    try:
        code = None if quick or changes() else git("rev-parse", "--short", "HEAD:molvae")
    except DataError:
        code = None
    if code is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    place = RUNS / name / code
    place.mkdir(parents=True, exist_ok=True)
    yield place


def cached(path: Path, make: Callable[[], Any]) -> Any:
    """What a JSON file holds, made first if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, content: Any) -> None:
    """Write JSON as a whole or not at all; a list of numbers takes one line."""
    text = json.dumps(content, indent=1, allow_nan=False)
    text = re.sub(r"\[\s[-\d.e+,\s]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text.replace("[ ", "[").replace(" ]", "]") + "\n", encoding="utf-8")
    draft.replace(path)


def each(function: Callable[..., Any], *items: Iterable[Any], jobs: int) -> list[Any]:
    """`map` over processes of one thread, in order."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, *items))


def campaign(space: Any, budget: int, **settings: Any) -> Any:
    """The trials of a campaign whose record is thrown away."""
    from molvae.campaign.campaign import Campaign

    with tempfile.TemporaryDirectory() as folder:
        made = Campaign.create(Path(folder) / "record.db", space, **settings)
        with made as running:
            running.run(budget)
            return running.trials


def plain(value: float | None) -> float | None:
    """For JSON, which has no NaN nor infinity; six digits are more than any spread allows."""
    if value is None or value != value or abs(value) == float("inf"):
        return None
    return float(f"{value:.6g}")


def plainly(found: Mapping[str, float]) -> dict[str, float | None]:
    """`plain` of all values."""
    return {name: plain(value) for name, value in found.items()}
