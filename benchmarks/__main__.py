"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import time
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

# The matrices of a campaign are small, and processes run side by side: one thread each. Sets of
# texts, which mol-ga goes through, have an order that Python would draw anew for each process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONHASHSEED"] = "0"

from benchmarks.shared import pages
from benchmarks.shared.run import (
    FIGURES,
    RESULTS,
    RUNS,
    kept_folder,
    metadata,
    require_clean,
    write,
)
from molvae.errors import MolvaeError, UnknownNameError

FOLDER = Path(__file__).parent
AT_RUNS = "commit or stash them, or add --own, which writes to runs/benchmarks/"


def names() -> list[str]:
    """The benchmarks: modules of this folder, as the command line calls them."""
    return sorted(
        path.stem.replace("_", "-") for path in FOLDER.glob("*.py") if path.stem[:2] != "__"
    )


def load(name: str) -> ModuleType:
    """A benchmark by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in names():
        raise UnknownNameError("benchmark", name, [*names(), "docs"])
    return import_module(f"benchmarks.{name.replace('-', '_')}")


def asks(name: str) -> str:
    """The first line of a benchmark's docstring; nothing is imported for it."""
    source = FOLDER / f"{name.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split("\n")[0]


def main(words: list[str] | None = None) -> int:
    """Run what the words ask for; errors of molvae's become one line."""
    words = sys.argv[1:] if words is None else words
    try:
        if not words or words[0] in ("-h", "--help"):
            print("usage: python -m benchmarks NAME [--quick] [--own] [--jobs N] ...\n")
            for name in names():
                print(f"  {name:<18} {asks(name)}")
            print(f"  {'docs':<18} Pages, tables and figures, from benchmarks/results/.")
        elif words[0] == "docs":
            pages.write_all({name: load(name) for name in names()})
        else:
            run(load(words[0]), words[0], words[1:])
    except MolvaeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(module: ModuleType, name: str, words: list[str]) -> Path:
    """Measure, write the result and its figures, and print the table.

    Returns:
        The file of the result.

    Raises:
        DataError: A whole run, and the working tree is not as it was committed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=asks(name))
    parser.add_argument(
        "--quick", "--smoke", action="store_true", help="small sizes, nothing prepared: a minute"
    )
    parser.add_argument("--own", action="store_true", help="write to runs/benchmarks/")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    for option, parameter in signature(module.measure).parameters.items():
        if option not in ("quick", "jobs", "folder"):
            kind = str(parameter.annotation)  # e.g. Sequence[int] | None
            parser.add_argument(
                f"--{option}",
                type=float if "float" in kind else int if "int" in kind else str,
                nargs="+" if "Sequence" in kind else None,
                default=parameter.default,
            )
    options: dict[str, Any] = vars(parser.parse_args(words))
    own, quick = options.pop("own"), options["quick"]
    changed = {k for k, v in options.items() if k != "jobs" and v != parser.get_default(k)}
    whole = not own and changed <= set(getattr(module, "PARTS", ()))
    commit = require_clean(AT_RUNS) if whole else ""
    began = time.monotonic()
    with kept_folder(name, quick=quick) as folder:
        result = module.measure(**options, folder=folder)
    about = metadata(seconds=round(time.monotonic() - began), jobs=options["jobs"])
    late = None
    if whole and about["commit"] != commit:
        late, whole = (
            f"the working tree changed since {commit}, to which this result belongs",
            False,
        )
    target = (RESULTS if whole else RUNS) / f"{name}.json"
    if whole and target.exists() and hasattr(module, "merge"):
        result = module.merge(pages.read(target)["result"], result)
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, {"about": about, "result": result})
    if hasattr(module, "figures"):
        module.figures(result, FIGURES if whole else RUNS)
    print("\n".join(module.table(result)))
    print(f"\n{target}", file=sys.stderr)
    if late:
        print(f"warning: {late}; nothing in benchmarks/results/ was changed", file=sys.stderr)
    elif whole:
        print("python -m benchmarks docs writes the pages", file=sys.stderr)
    return target


if __name__ == "__main__":
    sys.exit(main())
