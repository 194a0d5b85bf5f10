"""The package as a whole: what importing costs, and what is declared where."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import differnet_lite

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "FrEIA", "numpy", "PIL", "sklearn", "plotly", "pandas"}
FIGURES = {"plotly", "ipywidgets", "anywidget", "IPython", "matplotlib", "dask"}


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("statement", "avoided"),
    [
        ("import differnet_lite", HEAVY),
        ("from differnet_lite import DifferNet, load", FIGURES),
        ("from differnet_course import metrics", {"torch"}),
        ("from differnet_course import published", {"torch", "pandas"}),
    ],
)
def test_importing_loads_no_more_than_it_needs(statement: str, avoided: set[str]) -> None:
    names = run("-c", f"{statement}\nimport sys\nprint(*(n.split('.')[0] for n in sys.modules))")
    assert not set(names.split()) & avoided


def test_every_public_name_is_there() -> None:
    assert all(getattr(differnet_lite, name) is not None for name in differnet_lite.__all__)


def requirements(lines: list[str]) -> dict[str, str]:
    """Names and bounds: "torch>=2.6" is torch and >=2.6; what a package asks of itself is left."""
    parts = [re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[.*\])?\s*(.*)", line) for line in lines]
    named = {m[1].lower().replace("_", "-"): m[2] for m in parts if m is not None}
    named.pop("differnet-lite", None)
    return named


def test_conda_environment_is_in_step_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    wanted = requirements(project["dependencies"] + extras)
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    entries = environment["dependencies"]
    conda = requirements([line for line in entries if isinstance(line, str)])
    nested = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    from_pip = requirements([line for pip in nested for line in pip])
    assert conda.pop("python") == project["requires-python"]
    conda.pop("pip")
    conda["torch"] = conda.pop("pytorch")
    assert not set(conda) & set(from_pip)
    assert conda | from_pip == wanted


def test_the_workflow_names_tests_that_exist() -> None:
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    names = re.findall(r"tests/[\w/.]+", workflow)
    assert len(names) > 5 and all((ROOT / name).exists() for name in names)


def test_version_is_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", differnet_lite.__version__)
    assert str(citation["version"]) == differnet_lite.__version__


def test_weights_ship_with_their_licence() -> None:
    folder = ROOT / "differnet_lite" / "weights"
    assert "BSD 3-Clause" in (folder / "LICENSE-torchvision").read_text(encoding="utf-8")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert "weights/*" in tools["setuptools"]["package-data"]["differnet_lite"]


def test_links_of_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
        assert [link for link in links if not (page.parent / link).exists()] == [], page
    words = len((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert words <= 900
