"""`parallel_map` and `stream`: one function over many items, in order, with errors passed on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from molvae.chem._parallel import CHUNK_SIZE, parallel_map, stream
from molvae.errors import ConfigError


def test_parallel_map_with_workers_keeps_order_in_other_processes():
    numbers = list(range(-CHUNK_SIZE, 2 * CHUNK_SIZE + 3))
    assert parallel_map(abs, numbers, workers=2) == [abs(number) for number in numbers]
    assert os.getpid() not in parallel_map(_pid, numbers[:3], workers=2)


def test_parallel_map_of_few_items_runs_in_this_process():
    assert parallel_map(_pid, [0, 1]) == [os.getpid()] * 2
    assert parallel_map(_pid, [], workers=2) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_parallel_map_passes_on_exceptions_of_the_function(workers):
    with pytest.raises(ZeroDivisionError):
        parallel_map(_inverse, [1, 0], workers=workers)
    with pytest.raises(ZeroDivisionError):
        parallel_map(_inverse, list(range(5 * CHUNK_SIZE, -1, -1)) * 2, workers=workers)
    assert parallel_map(abs, [-1], workers=workers) == [1]


def test_stream_gives_results_before_a_later_item_raises():
    results = stream(_inverse, [2, 0], workers=1)
    assert next(results) == 0.5
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("by", ["file", "standard input"])
def test_parallel_map_in_a_script_needs_no_main_guard(tmp_path, by):
    script = tmp_path / "script.py"
    script.write_text(
        "from molvae.chem._parallel import parallel_map\n"
        "def square(n): return n * n\n"
        "print(parallel_map(square, [1, 2, 3], workers=2))\n"
    )
    done = subprocess.run(
        [sys.executable, script if by == "file" else "-"],
        input=script.read_text(),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.stdout == "[1, 4, 9]\n", done.stderr


def test_parallel_map_with_dying_processes_raises_config_error():
    with pytest.raises(ConfigError, match="processes died"):
        parallel_map(os._exit, [1, 1], workers=2)
    assert parallel_map(abs, [-1], workers=2) == [1]  # and the next call has others


def test_stream_closed_early_leaves_the_pool_usable():
    for number_of_chunks in range(3, 11):  # at some, work was underway when the processes ended
        results = stream(abs, list(range(number_of_chunks * CHUNK_SIZE)), workers=2)
        assert next(results) == 0
        results.close()
        assert parallel_map(abs, [-1], workers=2) == [1]


def test_parallel_map_with_invalid_workers_raises():
    for wrong in (0, 1.5, "2"):
        with pytest.raises(ConfigError, match=f"workers must be a whole number.*{wrong}"):
            parallel_map(abs, [1], workers=wrong)


def _pid(_: int) -> int:
    return os.getpid()


def _inverse(number: int) -> float:
    return 1 / number
