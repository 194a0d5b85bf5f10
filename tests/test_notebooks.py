"""What every notebook keeps to, and a test of the test: does a falsified number make nbval fail?"""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
IGNORING = {
    "nbval-ignore-output",
    "nbval-skip",
    "NBVAL_IGNORE_OUTPUT",
    "NBVAL_SKIP",
    "nbval-raises-exception",
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_valid_and_under_one_megabyte(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < 1_000_000


def test_every_code_cell_was_executed_in_order(notebook):
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run scripts/execute_notebooks.py"


def test_no_widget_state_and_no_error(notebook):
    assert "widgets" not in notebook.metadata
    assert not [
        o
        for cell in notebook.cells
        for o in cell.get("outputs", ())
        if o.output_type == "error" or o.get("name") == "stderr"
    ]


def test_nothing_is_exempt_from_comparison(notebook):
    for cell in notebook.cells:
        assert not IGNORING & set(cell.metadata.get("tags", ()))
        assert not any(marker in cell.source for marker in IGNORING | {"NBVAL_RAISES_EXCEPTION"})


def test_tolerances_are_small_and_for_code_alone(notebook):
    for cell in notebook.cells:
        if "tolerance" in cell.metadata:
            assert cell.cell_type == "code" and 0 < cell.metadata["tolerance"] <= 0.05


def test_cells_are_few_and_short(notebook):
    assert 25 <= len(notebook.cells) <= 45
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 20, cell.source


def test_it_opens_with_goals_and_closes_with_try_it(notebook):
    first, prose = (
        notebook.cells[0].source,
        "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"),
    )
    assert first.startswith("# ") and "you can" in first and "CPU, about" in first
    assert "## Try it" in prose and "## Further reading" in prose


def test_no_path_of_a_machine(notebook):
    assert not [
        cell.source
        for cell in notebook.cells
        if "/home/" in str(cell) or "/work/" in str(cell) or "/tmp/" in str(cell)
    ]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks" / "results").glob("*.csv")), ids=lambda path: path.stem
)
def test_stored_results_are_small_whole_and_of_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 100_000 and "/" not in text.replace("benchmarks/", "") and "\\" not in text
    if path.stem.startswith(("table1", "few-shot", "ablations")):
        pandas = pytest.importorskip("pandas")
        table = pandas.read_csv(path)
        assert table["error"].isna().all() and table["auroc"].between(0, 1).all()
        assert not table.duplicated(["method", "category", "seed", "n_train", "options"]).any()


# A tiny notebook, so that nbval itself runs in seconds.

SOURCES = [
    "print(f'{1 / 3:.3f}')",
    "print('took 12.3 ms')",
    "import plotly.graph_objects as go\ngo.Figure(go.Scatter(y=[1.0, 2.0, 3.0]))",
]


@pytest.fixture
def tiny(tmp_path):
    pytest.importorskip("nbval")
    pytest.importorskip("plotly")
    nbclient = pytest.importorskip("nbclient")
    (tmp_path / "notebooks").mkdir()
    for name in ("conftest.py", "sanitize.cfg"):
        (tmp_path / "notebooks" / name).write_text((ROOT / "notebooks" / name).read_text())
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in SOURCES]
    )
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbclient.NotebookClient(notebook).execute()
    return tmp_path, notebook


def nbval(
    folder: Path, notebook, *, cwd: str = ".", name: str = "notebooks/tiny.ipynb"
) -> subprocess.CompletedProcess[str]:
    nbformat.write(notebook, folder / "notebooks" / "tiny.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", name]
    return subprocess.run(
        command, cwd=folder / cwd, capture_output=True, text=True, timeout=300, check=False
    )


def figure_of(notebook) -> dict:
    return notebook.cells[2].outputs[0]["data"]["application/vnd.plotly.v1+json"]


def shift(trace: dict, by: float) -> None:
    """Move the stored array, however Plotly wrote it."""
    if isinstance(trace["y"], dict):
        array = np.frombuffer(base64.b64decode(trace["y"]["bdata"]), trace["y"]["dtype"]) + by
        trace["y"] = {
            "dtype": "f8",
            "bdata": base64.b64encode(array.astype("<f8").tobytes()).decode(),
        }
    else:
        trace["y"] = [value + by for value in trace["y"]]


def test_strict_nbval_passes_a_faithful_notebook_and_a_rounding_error(tiny):
    folder, notebook = tiny
    notebook.cells[1].outputs[0].text = "took 45.6 ms\n"
    shift(figure_of(notebook)["data"][0], 1e-9)
    done = nbval(folder, notebook)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout
    inside = nbval(folder, notebook, cwd="notebooks", name=".")
    assert inside.returncode == 0 and "3 passed" in inside.stdout, inside.stdout


def test_strict_nbval_fails_on_falsified_numbers_in_print_and_figure(tiny):
    folder, notebook = tiny
    notebook.cells[0].outputs[0].text = "0.334\n"
    shift(figure_of(notebook)["data"][0], 1e-2)
    done = nbval(folder, notebook)
    assert done.returncode == 1 and "2 failed, 1 passed" in done.stdout, done.stdout


def test_rounding_errors_pass_and_real_differences_do_not(tiny):
    folder, notebook = tiny
    line = "block 0: z   approximate  max difference {}\n"
    notebook.cells[0].source = f"print({line.format('3.3e-16').strip()!r})"
    notebook.cells[0].outputs[0].text = line.format("8.9e-13")
    assert nbval(folder, notebook).returncode == 0
    notebook.cells[0].outputs[0].text = line.format("8.9e-04")
    assert nbval(folder, notebook).returncode == 1


@pytest.mark.parametrize(
    ("printed", "by", "passes"),
    [("0.35", 0.0, True), ("0.40", 0.0, False), ("0.33", 0.03, True), ("0.33", 0.5, False)],
)
def test_a_cell_with_a_tolerance_is_compared_up_to_it(tiny, printed, by, passes):
    folder, notebook = tiny
    for cell in notebook.cells:
        cell.metadata["tolerance"] = 0.05
    notebook.cells[0].outputs[0].text = f"{printed}\n"
    shift(figure_of(notebook)["data"][0], by)
    done = nbval(folder, notebook)
    assert (done.returncode == 0) == passes, done.stdout


def test_a_tolerance_is_for_numbers_not_for_words_and_no_wide_one_is_taken(tiny):
    folder, notebook = tiny
    notebook.cells[1].metadata["tolerance"] = 0.05
    notebook.cells[1].outputs[0].text = "lasted 12.3 ms\n"
    assert nbval(folder, notebook).returncode == 1
    notebook.cells[1].outputs[0].text = "took 12.3 ms\n"
    notebook.cells[1].metadata["tolerance"] = 0.5
    assert "expected 0 to 0.05" in nbval(folder, notebook).stdout
