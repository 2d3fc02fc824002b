"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

# The matrices of a campaign are small, and processes run side by side: one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BENCHMARKS = {
    "calibration": "benchmarks.calibration",
    "density": "benchmarks.density",
    "frontier": "benchmarks.frontier",
    "generative-models": "benchmarks.generative_models",
    "latent-map": "benchmarks.latent_map",
    "main-job": "benchmarks.main_job",
    "models": "benchmarks.models",
    "optimisation": "benchmarks.optimisation",
    "overhead": "benchmarks.overhead",
    "property-table": "benchmarks.property_table",
    "scoring": "benchmarks.scoring",
    "several-goals": "benchmarks.several_goals",
    "surrogates": "benchmarks.surrogates",
    "workers": "benchmarks.workers",
}
RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"


def main() -> int:
    """Run one benchmark and write its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parsers = parser.add_subparsers(dest="name", required=True)
    modules = {name: import_module(place) for name, place in BENCHMARKS.items()}
    for name, module in modules.items():
        own = parsers.add_parser(name, description=(module.__doc__ or "").partition("\n")[0])
        own.add_argument("--smoke", action="store_true", help="tiny sizes; writes no result")
        own.add_argument("--jobs", type=int, default=2, help="processes side by side")
        if hasattr(module, "readme_table"):
            own.add_argument(
                "--readme",
                action="store_true",
                help="run nothing: write figures and the README's section from the written result",
            )
        if hasattr(module, "add_arguments"):
            module.add_arguments(own)
    arguments = vars(parser.parse_args())
    name = arguments.pop("name")
    module = modules[name]
    if arguments.pop("readme", False):
        result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["result"]
        if hasattr(module, "figures"):
            module.figures(result, RESULTS)
        write_section(README, name, module.readme_table(result))
        return 0
    start = time.monotonic()
    result = module.run(**arguments)
    seconds = round(time.monotonic() - start)
    about = metadata() | {"seconds": seconds, "jobs": arguments["jobs"]}
    text = json.dumps({"about": about, "result": result}, indent=1, allow_nan=False)
    if not arguments["smoke"]:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        if hasattr(module, "figures"):
            module.figures(result, RESULTS)
    print(text)
    return 0


def section(text: str, name: str) -> tuple[int, int]:
    """Where the text between `<!-- name -->` and `<!-- /name -->` begins and ends.

    Raises:
        ValueError: A marker is missing.
    """
    opening, closing = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    start = text.index(opening) + len(opening)
    return start, text.index(closing, start)


def write_section(path: Path, name: str, content: str) -> None:
    """Put a text between the markers of a file."""
    text = path.read_text(encoding="utf-8")
    start, end = section(text, name)
    path.write_text(text[:start] + content + text[end:], encoding="utf-8")


def metadata() -> dict[str, Any]:
    """Where and with what the numbers were made."""
    from molvae.config import versions

    return {
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "versions": versions(),
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
    }


if __name__ == "__main__":
    sys.exit(main())
