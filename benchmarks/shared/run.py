"""Run a benchmark: processes, kept results, and metadata."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from molvae.errors import DataError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FIGURES = ROOT / "docs" / "benchmarks"
RUNS = ROOT / "runs" / "benchmarks"
# Written by benchmarks themselves: a change there changes nothing that is measured.
OUTPUTS = ("benchmarks/results", "docs/benchmarks", "docs/benchmarks.md")


def git(*words: str) -> str:
    """Output of git.

    Raises:
        DataError: This is no working tree of git.
    """
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"{ROOT} is no working tree of git ({done.stderr.strip()}); clone it")
    return done.stdout.strip()


def changes() -> list[str]:
    """Files of the working tree that differ from the last commit."""
    others = [f":(exclude){place}" for place in OUTPUTS]
    told = git("status", "--porcelain", "--untracked-files=all", "--", ".", *others)
    return [line[2:].strip() for line in told.splitlines()]


def commit(*, clean: bool = False) -> str:
    """The commit, `-dirty` behind it if files differ, empty outside of git.

    Raises:
        DataError: `clean`, and files differ or there is no working tree.
    """
    try:
        changed = changes()
        at = git("rev-parse", "--short", "HEAD")
    except DataError:
        if clean:
            raise
        return ""
    if clean and changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise DataError(
            f"results belong to a commit, and {', '.join(changed[:3])}{more} are not as they were "
            "committed; commit or stash them, or add --own, which writes to runs/benchmarks/"
        )
    return at + ("-dirty" if changed else "")


def metadata(**more: Any) -> dict[str, Any]:
    """Commit, versions and machine of a result."""
    from molvae._version import versions

    about = {"commit": commit(), "versions": versions(), "cores": os.cpu_count()}
    about |= {"processor": platform.machine(), "threads": int(os.environ["OMP_NUM_THREADS"])}
    return about | more


@contextmanager
def kept_folder(name: str, *, quick: bool) -> Iterator[Path]:
    """A folder for intermediate results, so that an interrupted benchmark goes on.

    There is one for each state of the package: results of other code are never taken for those of
    this code. Quick runs, and a tree with changes, keep nothing.
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


def each(
    function: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    kept: Path | None = None,
    apart: bool = False,
) -> list[Any]:
    """Results of a function for each case, its arguments, in so many processes, in order.

    One job runs in this process, unless `apart`. In a folder each result is kept in a JSON file of
    its own, and not computed again.
    """
    if jobs == 1 and not apart:
        return [_one(function, kept, case) for case in cases]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(_one, function, kept), cases))


def _one(function: Callable[..., Any], kept: Path | None, case: tuple[Any, ...]) -> Any:
    if kept is None:
        return function(*case)
    key = hashlib.sha256(repr(case).encode()).hexdigest()[:12]
    return cached(kept / f"{function.__name__}-{key}.json", lambda: function(*case))


def cached(path: Path, make: Callable[[], Any]) -> Any:
    """The content of a JSON file, made first if it is missing."""
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


def trials_of(space: Any, budget: int, **settings: Any) -> Any:
    """The trials of a campaign whose record is thrown away."""
    from molvae.campaign.campaign import Campaign

    with (
        tempfile.TemporaryDirectory() as folder,
        Campaign.create(Path(folder) / "record.db", space, **settings) as running,
    ):
        running.run(budget)
        return running.trials


def plain(value: float | None) -> float | None:
    """A number for JSON: six digits, None for NaN and infinity."""
    if value is None or value != value or abs(value) == float("inf"):
        return None
    return float(f"{value:.6g}")


def plainly(found: Mapping[str, float]) -> dict[str, float | None]:
    """`plain` of all values."""
    return {name: plain(value) for name, value in found.items()}
