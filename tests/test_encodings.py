"""Texts are read and written in a named encoding, independent of the system's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("molvae", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
ENCODING = {"open": 3, "read_text": 0, "write_text": 1}
"""At which place each takes an encoding."""


def without_encoding(code: str) -> Iterator[int]:
    """Lines of calls that open a text in the system's encoding."""
    for call in ast.walk(ast.parse(code)):
        if not isinstance(call, ast.Call):
            continue
        bare, method = call.func, isinstance(call.func, ast.Attribute)
        name = bare.attr if isinstance(bare, ast.Attribute) else getattr(bare, "id", "")
        if name not in ENCODING or (method and name == "open"):
            continue
        named = {word.arg: word.value for word in call.keywords}
        modes = [*call.args[1:2], *filter(None, [named.get("mode")])] if name == "open" else []
        binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)
        if not binary and "encoding" not in named and len(call.args) <= ENCODING[name]:
            yield call.lineno


def test_sources_open_files_with_an_encoding() -> None:
    found = {path: list(without_encoding(path.read_text("utf-8"))) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_without_encoding_gives_lines_of_calls_lacking_an_encoding() -> None:
    code = (
        "open(p)\nopen(p, 'rb')\nopen(p, encoding='utf-8')\np.read_text()\np.write_text(t, 'utf-8')"
    )
    assert list(without_encoding(code)) == [1, 4]
