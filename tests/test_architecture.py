"""How the house is built: which package may import what, no circle, and how long it may be."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.glob("differnet_*/**/*.py")
}
COURSE = {"differnet_course", "plotly", "ipywidgets", "pandas", "dask", "distributed"}


def names_used(module: str, path: Path) -> set[str]:
    """Names that a module imports, also inside functions, or may load by a string of the course."""
    names: set[str] = set()
    package = [*module.split("."), "__init__"] if path.stem == "__init__" else module.split(".")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if "TYPE_CHECKING" not in ast.unparse(node)[:20]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: -node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("differnet_course"):
            names.add(str(node.value))
    return names


USED = {module: names_used(module, path) for module, path in FILES.items()}


def test_the_method_imports_nothing_of_the_course() -> None:
    wrong = {
        (module, name.split(".")[0])
        for module, names in USED.items()
        for name in names
        if module.startswith("differnet_lite") and name.split(".")[0] in COURSE
    }
    allowed = {"course": {"differnet_course"}, "cluster": {"dask", "distributed"}}
    assert wrong <= {(f"differnet_lite.cli.{m}", n) for m, names in allowed.items() for n in names}


def test_imports_have_no_circle() -> None:
    graph = {module: (names & FILES.keys()) - {module} for module, names in USED.items()}
    assert "differnet_lite.loss" in graph["differnet_lite.training"], "imports are seen"
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def lines(paths: list[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_no_file_is_long() -> None:
    assert [str(path) for path in FILES.values() if lines([path]) > 300] == []


@pytest.mark.parametrize(
    ("pattern", "most"),
    [("differnet_lite/**/*.py", 4200), ("differnet_*/**/*.py", 12_500), ("[!.]*/**/*.py", 25_000)],
)
def test_it_stays_small(pattern: str, most: int) -> None:
    assert lines([*ROOT.glob(pattern)]) <= most


def test_what_a_detector_loads_stays_small() -> None:
    code = """import sys; from differnet_lite import DifferNet
print(*(m.__file__ for name, m in sys.modules.items() if name.startswith("differnet_lite")))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert lines([Path(name) for name in done.stdout.split()]) <= 3000
