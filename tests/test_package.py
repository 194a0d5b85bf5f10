"""The package as a whole: what importing costs, what is declared where, style and types."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import differnet_lite

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "differnet_lite"
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The name under which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_bound_by(node: ast.stmt) -> set[str]:
    """Names that a statement of a module's top level binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    found = [name for target in targets if target is not None for name in ast.walk(target)]
    return {name.id for name in found if isinstance(name, ast.Name)}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def loaded_by(statement: str) -> set[str]:
    done = run(
        "-c",
        f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))",
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_costs_nothing() -> None:
    assert not loaded_by("import differnet_lite") & {
        "torch",
        "torchvision",
        "FrEIA",
        "numpy",
        "PIL",
        "sklearn",
        "plotly",
        "ipywidgets",
        "pandas",
    }


def test_scoring_needs_neither_plotly_nor_ipywidgets() -> None:
    loaded = loaded_by(
        "from differnet_lite import DifferNet, evaluate, load_category\n"
        "from differnet_lite import conformal_threshold, make_sample_category"
    )
    assert "torch" in loaded
    assert not loaded & {"plotly", "ipywidgets", "anywidget", "IPython", "matplotlib"}


def test_metrics_and_published_figures_load_little() -> None:
    assert "torch" not in loaded_by("from differnet_lite import metrics")
    assert "pandas" not in loaded_by("from differnet_course import published")


def test_every_public_name_is_there() -> None:
    assert set(differnet_lite.__all__) <= set(dir(differnet_lite))
    for name in differnet_lite.__all__:
        value = getattr(differnet_lite, name)
        if name not in ("__version__", "SAMPLE_CATEGORIES", "check"):
            assert value.__name__ == name
            home = "sklearn." if name == "NotFittedError" else "differnet_lite."
            assert value.__module__.startswith(home)
    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = differnet_lite.nonsense


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_names_exactly_what_is_public(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    if path.with_suffix(".pyi").exists():  # `__all__` comes from the stub
        module = importlib.import_module(name_of(path))
        assert module.__all__ and all(hasattr(module, name) for name in module.__all__)
        return
    defined = {name for node in tree.body for name in names_bound_by(node)}
    written = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and names_bound_by(node) == {"__all__"}
    ]
    if not listed:
        assert not written, f"no __all__, but {sorted(written)} are public"
        return
    assert written - set(listed[0]) == set(), "public, but not in __all__"
    if "__getattr__" not in defined:
        assert set(listed[0]) - defined == set(), "in __all__, but not there"
    assert len(set(listed[0])) == len(listed[0])


def requirements(lines: list[str]) -> dict[str, str]:
    parts = [re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[.*\])?\s*(.*)", line) for line in lines]
    return {m[1].lower().replace("_", "-"): m[2] for m in parts if m is not None}


def test_conda_environment_is_in_step_with_pyproject() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    wanted = requirements(
        project["dependencies"]
        + [line for extra in project["optional-dependencies"].values() for line in extra]
    )
    del wanted["differnet-lite"]  # the development extra names the notebooks' one
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    entries = environment["dependencies"]
    conda = requirements([line for line in entries if isinstance(line, str)])
    from_pip = requirements(
        [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    )
    assert conda.pop("python") == project["requires-python"]
    conda.pop("pip")
    conda["torch"] = conda.pop("pytorch")
    assert not set(conda) & set(from_pip)
    assert conda | from_pip == wanted
    assert environment["name"] == project["name"]


def test_version_is_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", differnet_lite.__version__)
    assert str(citation.get("version", differnet_lite.__version__)) == differnet_lite.__version__


def test_weights_ship_with_their_licence() -> None:
    folder = ROOT / "differnet_lite" / "weights"
    assert "BSD 3-Clause" in (folder / "LICENSE-torchvision").read_text(encoding="utf-8")
    assert "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc" in (
        folder / "PROVENANCE.md"
    ).read_text(encoding="utf-8")
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]["package-data"]["differnet_lite"]
    assert "weights/*" in packaged


def test_ruff_is_clean() -> None:
    done = run("-m", "ruff", "check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_format_is_clean() -> None:
    done = run("-m", "ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_clean() -> None:
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout + done.stderr
