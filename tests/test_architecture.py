"""How the package is built: sizes of its files, and which module imports which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "differnet_lite"
PATHS = sorted(PACKAGE.rglob("*.py"))
CODE = sorted(
    path
    for folder in ("differnet_lite", "tests", "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PATHS}


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """(module, name) of every import of the package in a file, also inside functions.

    The name is None where a module is imported, by whatever spelling. A package with a stub loads
    lazily: a name that is taken from it comes from the module that the stub names.
    """
    own = module_name(path).split(".")
    package = own if path.stem == "__init__" else own[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            if source not in MODULES:
                continue
            for alias in node.names:
                if f"{source}.{alias.name}" in MODULES:
                    yield f"{source}.{alias.name}", None
                else:
                    yield where_from(source, alias.name), alias.name


def where_from(source: str, name: str) -> str:
    """The module that a name comes from: that of the stub, where a package has one."""
    stub = MODULES[source].with_suffix(".pyi")
    if stub.exists():
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
                return where_from(f"{source}.{node.module}", name)
    return source


IMPORTS = {name: set(imported(path)) for name, path in MODULES.items()}
GRAPH = {name: {module for module, _ in found} - {name} for name, found in IMPORTS.items()}


def part(module: str) -> str:
    """The folder or the file at the top level that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def importers(of: str) -> set[str]:
    """Parts of the package that import something of this part, itself left out."""
    return {
        part(name) for name, used in GRAPH.items() if any(part(module) == of for module in used)
    } - {of}


def test_the_imports_are_found() -> None:
    assert "differnet_lite.loss" in GRAPH["differnet_lite.training"]
    assert "differnet_course.samples.folders" in GRAPH["differnet_course.experiments.__main__"]
    assert "differnet_course.baselines.registry" in GRAPH["differnet_course.experiments.running"]
    assert {"training", "course"} <= importers("loss")
    assert "experiments" not in importers("loss")


@pytest.mark.parametrize("path", PATHS, ids=place)
def test_no_file_of_the_package_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("path", CODE, ids=place)
def test_no_line_is_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [i for i, line in enumerate(lines, 1) if len(line) > 100] == []


def test_the_top_level_is_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 16


@pytest.mark.parametrize("module", MODULES)
def test_no_private_name_is_imported(module: str) -> None:
    names = {(source, name) for source, name in IMPORTS[module] if name is not None}
    private = {name for _, name in names if name.startswith("_") and not name.startswith("__")}
    assert private == set()
    assert [source for source in GRAPH[module] if source.split(".")[-1].startswith("_")] == []


def test_imports_have_no_circle() -> None:
    finished: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in finished:
            for used in sorted(GRAPH[module]):
                visit(used, [*way, module])
            finished.add(module)

    for module in sorted(GRAPH):
        visit(module, [])


@pytest.mark.parametrize("low", ["data", "transforms", "checks"])
def test_the_ground_imports_nothing_above_it(low: str) -> None:
    used = {part(module) for name in GRAPH if part(name) == low for module in GRAPH[name]}
    assert used <= {"data", "transforms", "checks"}


@pytest.mark.parametrize(
    ("of", "allowed"),
    [
        ("plots", {"cli", "widgets", "experiments", "course"}),
        ("baselines", {"experiments", "cli", "cluster"}),
        ("cluster", {"experiments", "cli"}),
        ("experiments", set()),
        ("cli", {"__main__"}),  # `python -m differnet_lite` is the command line
    ],
)
def test_the_upper_floors_are_imported_by_few(of: str, allowed: set[str]) -> None:
    assert importers(of) <= allowed
