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

BENCHMARKS = {"main-job": "benchmarks.main_job"}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run one benchmark and write its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; writes no result")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    arguments = parser.parse_args()
    start = time.monotonic()
    result = import_module(BENCHMARKS[arguments.name]).run(
        smoke=arguments.smoke, jobs=arguments.jobs
    )
    about = metadata() | {"seconds": round(time.monotonic() - start), "jobs": arguments.jobs}
    text = json.dumps({"about": about, "result": result}, indent=1)
    if not arguments.smoke:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{arguments.name}.json").write_text(text + "\n")
    print(text)
    return 0


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
