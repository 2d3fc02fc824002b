"""Layers of the package: allowed imports, and packages that are loaded only when needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "molvae"
HEAVY = ("torch", "rdkit", "botorch", "selfies", "pandas", "numpy", "matplotlib", "jinja2")
LAYERS = (
    ("errors", "_version"),
    ("config", "_files"),
    ("chem",),
    ("objectives", "model"),
    ("latent",),
    ("bo",),
    ("campaign",),
    ("analysis",),
    ("cli",),
    ("__main__",),
)
"""Imports point to layers further up this list, or stay inside a sub-package."""
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def loaded_packages(code: str) -> set[str]:
    """Top-level packages in memory after running some code in a new process."""
    code += "\nimport sys\nprint('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import molvae",
        "import molvae.cli",
        "import molvae.cli as c; assert c.main(['--help']) == 0",
        "import molvae.cli as c; assert c.main(['optimize', '--help']) == 0",
        "import molvae.cli as c; assert c.main(['explore', 'map', '--help']) == 0",
        "import molvae.cli as c; assert c.main(['optimise']) == 2",
    ],
)
def test_import_and_help_load_no_heavy_package(code: str) -> None:
    assert loaded_packages(code).isdisjoint(HEAVY)


def modules(folder: str) -> list[str]:
    return sorted(f"molvae.{folder}.{path.stem}" for path in (PACKAGE / folder).glob("*.py"))


def test_import_of_chem_loads_no_torch() -> None:
    packages = loaded_packages("import " + ", ".join([*modules("chem"), "molvae.chem.datasets"]))
    assert "rdkit" in packages
    assert "torch" not in packages


def test_import_of_model_loads_no_rdkit() -> None:
    packages = loaded_packages("import " + ", ".join(modules("model")))
    assert "torch" in packages
    assert packages.isdisjoint({"rdkit", "selfies"})


def test_load_of_models_loads_no_torch_compiler() -> None:
    code = "import sys; from molvae.latent.loading import *; [load(name) for name in list_models()]"
    loaded_packages(code + "; assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules")


def test_tell_command_loads_neither_torch_nor_rdkit(tmp_path: Path) -> None:
    from tests.toys import begin

    begin(tmp_path / "c.db").close()
    words = ["tell", str(tmp_path / "c.db"), "1", "2"]
    code = f"import molvae.cli as c; assert c.main({words!r}) == 0"
    assert loaded_packages(code).isdisjoint({"torch", "rdkit"})


def imported_layers(path: Path) -> Iterator[str]:
    """First component below `molvae` of everything that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "molvae":
                names = [f"molvae.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "molvae" and rest and rest != "__version__":
                yield rest.partition(".")[0]


def test_package_files_are_short_and_few_lie_at_the_top() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: n for path, n in lines.items() if n > 450} == {}
    assert len([*PACKAGE.glob("*.py")]) <= 6


def test_package_imports_point_to_lower_layers() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if here == "__init__":  # loads its names when they are first used
            continue
        assert here in RANK, f"{here} has no layer"
        wrong += [
            f"{path.relative_to(PACKAGE)} imports {there}"
            for there in imported_layers(path)
            if there != here and RANK[there] >= RANK[here]
        ]
    assert wrong == []
