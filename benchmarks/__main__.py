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

# The matrices of a campaign are small, and processes run side by side: one thread each. mol-ga goes
# through sets of texts, whose order Python would draw anew for each process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, sys.orig_argv)

from benchmarks.shared import pages
from benchmarks.shared.run import FIGURES, RESULTS, RUNS, commit, kept_folder, metadata, write
from molvae.errors import MolvaeError, UnknownNameError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the benchmarks on the command line: the modules of this folder."""
    return sorted(
        path.stem.replace("_", "-") for path in FOLDER.glob("*.py") if path.stem[:2] != "__"
    )


def load(name: str) -> ModuleType:
    """The module of a benchmark."""
    if name not in names():
        raise UnknownNameError("benchmark", name, [*names(), "docs"])
    return import_module(f"benchmarks.{name.replace('-', '_')}")


def asks(name: str) -> str:
    """The first line of a benchmark's docstring; nothing is imported for it."""
    source = FOLDER / f"{name.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split("\n")[0]


def main(words: list[str] | None = None) -> int:
    """Run a benchmark, or write the pages; an error of molvae takes one line."""
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


def arguments(module: ModuleType, name: str) -> argparse.ArgumentParser:
    """Options that all benchmarks have, and the arguments of its `measure`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=asks(name))
    small = "small sizes, nothing prepared: a minute"
    parser.add_argument("--quick", action="store_true", help=small)
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
    return parser


def run(module: ModuleType, name: str, words: list[str]) -> Path:
    """Measure, write the result and its figures, and print the table.

    Returns:
        The file of the result.
    """
    parser = arguments(module, name)
    options: dict[str, Any] = vars(parser.parse_args(words))
    own, quick = options.pop("own"), options["quick"]
    changed = {k for k, v in options.items() if k != "jobs" and v != parser.get_default(k)}
    whole = not own and changed <= set(getattr(module, "PARTS", ()))
    whole = whole and (not hasattr(module, "is_part") or module.is_part(**options))
    before = commit(clean=True) if whole else ""
    began = time.monotonic()
    with kept_folder(name, quick=quick) as folder:
        result = module.measure(**options, folder=folder)
    about = metadata(seconds=round(time.monotonic() - began), jobs=options["jobs"])
    said = "python -m benchmarks docs writes the pages" if whole else ""
    if whole and about["commit"] != before:
        whole = False
        said = (
            f"warning: the working tree changed since {before}, to which this result belongs; "
            "nothing in benchmarks/results/ was changed"
        )
    target = (RESULTS if whole else RUNS) / f"{name}.json"
    if whole and target.exists() and hasattr(module, "merge"):
        result = module.merge(pages.read(target)["result"], result)
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, {"about": about, "result": result})
    if hasattr(module, "figures"):
        module.figures(result, FIGURES if whole else RUNS)
    print("\n".join(module.table(result)))
    print(f"\n{target}", *filter(None, [said]), sep="\n", file=sys.stderr)
    return target


if __name__ == "__main__":
    sys.exit(main())
