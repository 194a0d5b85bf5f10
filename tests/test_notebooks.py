"""What every notebook keeps to, and a test of the test: does a falsified number make nbval fail?"""

from __future__ import annotations

import base64
import importlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXEMPTING = re.compile(r"nbval-(ignore-output|skip|raises-exception)", re.IGNORECASE)
PLOTLY = "application/vnd.plotly.v1+json"
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


@pytest.fixture
def scripts(monkeypatch):
    """Imports a module of scripts/ by its name."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


def data_of(notebook) -> list[dict]:
    return [o["data"] for cell in notebook.cells for o in cell.get("outputs", ()) if "data" in o]


def pictures_of(notebook) -> list[bytes]:
    return [base64.b64decode(data["image/jpeg"]) for data in data_of(notebook)]


def test_it_is_valid_small_executed_and_of_no_machine(notebook):
    nbformat.validate(notebook)
    text = nbformat.writes(notebook)
    assert len(text) < 1_600_000  # notebook 07 shows 20 photographs in one figure
    assert not re.search(r"/(home|work|tmp|root)/", text)
    assert "widgets" not in notebook.metadata
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(counts) + 1)), "run scripts/execute_notebooks.py"
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


def test_every_figure_and_every_explorer_has_a_small_picture(notebook):
    for data in data_of(notebook):
        assert "image/jpeg" in data, "run scripts/execute_notebooks.py"
        assert "image/png" not in data  # JupyterLab would show it in place of the figure
        assert VIEW not in data
    for picture in pictures_of(notebook):
        image = Image.open(io.BytesIO(picture)).convert("L")
        assert image.width > 200 and image.height > 150 and np.asarray(image).std() > 5
        assert len(picture) <= 120_000


def test_predictions_are_answered_below_their_cell_and_folded(notebook):
    cells = notebook.cells
    if any("Your prediction?" in cell.source for cell in cells):
        pytest.skip("not yet rewritten")
    for k, cell in enumerate(cells):
        assert "outputs_hidden" not in cell.metadata.get("jupyter", {})  # running unfolds them
        if cell.cell_type != "markdown" or "**Predict" not in cell.source.split("</details>")[-1]:
            continue
        assert cells[k + 1].cell_type == "code"
        below = next(after for after in cells[k + 1 :] if after.cell_type == "markdown")
        assert below.source.startswith("<details><summary>Answer</summary>\n\n"), cell.source


def test_nothing_is_exempt_from_comparison_and_tolerances_are_small(notebook):
    for cell in notebook.cells:
        words = cell.source.replace("_", "-") + " ".join(cell.metadata.get("tags", ()))
        assert not EXEMPTING.search(words)
        if "tolerance" in cell.metadata:
            assert cell.cell_type == "code" and 0 < cell.metadata["tolerance"] <= 0.05


def test_its_form_is_that_of_the_course(notebook):
    assert 20 <= len(notebook.cells) <= 50
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert max(len(source.splitlines()) for source in code) <= 20
    first = notebook.cells[0].source
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert first.startswith("# ") and "you can" in first and "**Time**" in first
    assert "## Try it" in prose and "## Further reading" in prose


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_in_prose_rest_on_something(path, scripts):
    bare = scripts("prose_numbers").bare(nbformat.read(path, as_version=4))
    assert not bare, "print them, or mark them: scripts/prose_numbers.py says how"


@pytest.mark.parametrize(
    ("prose", "bare"),
    [
        ("It has 0.96, and 37 % of 60; 32 epochs, in 3 of them.", []),
        ("It has 0.95, and 36 % of 61; 33 epochs.", ["0.95", "36 %", "61", "33"]),
        ("It has 0.96 more than 0.95731.", ["0.95731"]),
        ("Notebook 15 and section 3.12, `x = 77`, arXiv 2008.12577, $n = 99$.", []),
        ("Is it 0.5 or 0.7? There are $99$ images.", ["99"]),
        ("The authors have 0.80. <!-- literature: 0.80 -->", []),
        ("## Try it\n1. Set it to 0.123.\n\n## Then\nIt is 0.123.", ["0.123"]),
        ("| a | 97.5 |\n|---|---|\n| b | 0.96 |", ["97.5"]),
    ],
)
def test_a_number_in_prose_needs_an_output_a_setting_or_a_mark(scripts, prose, bare):
    code = nbformat.v4.new_code_cell("EPOCHS = 32")
    text = "AUROC 0.9573, alarms 36.7%, 2 of 60\n"
    code.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    cells = [code, nbformat.v4.new_markdown_cell(prose)]
    lines = scripts("prose_numbers").bare(nbformat.v4.new_notebook(cells=cells))
    assert [re.sub(r"\[1\] (.*?) \(.*", r"\1", line) for line in lines] == bare


def test_stored_results_are_small_and_of_no_machine():
    for path in (ROOT / "notebooks" / "results").glob("*.csv"):
        text = path.read_text(encoding="utf-8").replace("benchmarks/", "")
        assert len(text) < 100_000 and "/" not in text and "\\" not in text, path.name


# A tiny notebook, so that nbval itself runs in seconds.

SOURCES = [
    "print(f'{1 / 3:.3f}')",
    "print('took 12.3 ms')",
    "import plotly.graph_objects as go\ngo.Figure(go.Scatter(y=[1.0, 2.0, 3.0]))",
    "print('z   approximate  max difference 3.3e-16')",
]
EXPLORER = """\
import ipywidgets as widgets, plotly.graph_objects as go
from differnet_course.widgets.plot import Plot
figure = go.Figure(go.Scatter(y=[1.0, 2.0, 3.0]), layout={"width": 860, "height": 450})
slider = widgets.IntSlider(value=3, max=7, description="blocks")
widgets.VBox([slider, widgets.HTML("<b>three</b> blocks"), Plot(figure)])"""


@pytest.fixture
def tiny(tmp_path):
    pytest.importorskip("nbval")
    pytest.importorskip("plotly")
    nbclient = pytest.importorskip("nbclient")
    (tmp_path / "notebooks").mkdir()
    for name in ("conftest.py", "sanitize.cfg"):
        (tmp_path / "notebooks" / name).write_text((ROOT / "notebooks" / name).read_text())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in SOURCES])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["kernelspec"] = kernel
    nbclient.NotebookClient(notebook).execute()
    return tmp_path, notebook


def failed(folder: Path, notebook, *, cwd: str = ".", name: str = "notebooks/tiny.ipynb") -> set:
    """The cells that fail."""
    nbformat.write(notebook, folder / "notebooks" / "tiny.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", name]
    done = subprocess.run(command, cwd=folder / cwd, capture_output=True, text=True, check=False)
    cells = {int(k) for k in re.findall(r"^FAILED \S*::Cell (\d+)", done.stdout, re.MULTILINE)}
    assert (done.returncode == 0) == (not cells), done.stdout
    return cells


def shift(notebook, by: float) -> None:
    """Move the stored curve, however Plotly wrote it."""
    trace = notebook.cells[2].outputs[0]["data"][PLOTLY]["data"][0]
    if isinstance(trace["y"], dict):
        array = np.frombuffer(base64.b64decode(trace["y"]["bdata"]), trace["y"]["dtype"]) + by
        bdata = base64.b64encode(array.astype("<f8").tobytes()).decode()
        trace["y"] = {"dtype": "f8", "bdata": bdata}
    else:
        trace["y"] = [value + by for value in trace["y"]]


def test_strict_nbval_passes_what_may_differ(tiny):
    folder, notebook = tiny
    notebook.cells[1].outputs[0].text = "took 45.6 ms\n"
    notebook.cells[3].outputs[0].text = "z   approximate  max difference 8.9e-13\n"
    notebook.cells[2].outputs[0]["data"]["image/jpeg"] = "AAAA"
    shift(notebook, 1e-9)
    assert failed(folder, notebook) == set()
    assert failed(folder, notebook, cwd="notebooks", name=".") == set()


def test_strict_nbval_fails_on_falsified_numbers_in_print_and_figure(tiny):
    folder, notebook = tiny
    notebook.cells[0].outputs[0].text = "0.334\n"
    shift(notebook, 1e-2)
    notebook.cells[3].outputs[0].text = "z   approximate  max difference 8.9e-04\n"
    assert failed(folder, notebook) == {0, 2, 3}


@pytest.mark.parametrize(("printed", "by", "wrong"), [("0.35", 0.1, set()), ("0.40", 0.5, {0, 2})])
def test_a_cell_with_a_tolerance_is_compared_up_to_it(tiny, printed, by, wrong):
    folder, notebook = tiny
    for cell in notebook.cells:
        cell.metadata["tolerance"] = 0.05
    notebook.cells[0].outputs[0].text = f"{printed}\n"
    notebook.cells[1].outputs[0].text = "lasted 12.3 ms\n"  # a tolerance is not for words
    shift(notebook, by)
    notebook.cells[3].metadata["tolerance"] = 0.5  # too wide
    assert failed(folder, notebook) == wrong | {1, 3}


def test_a_tolerance_hides_no_real_change(program):
    close = program("notebooks/conftest.py").close
    rng = np.random.default_rng(0)
    points = rng.normal(size=600)
    curve = np.linspace(0.5, 0.9, 50)
    image = rng.random((20, 20))
    for stored, noise in ((points, 0.05), (1000 * points, 50), (curve, 0.03), (image, 0.04)):
        moved = stored + noise * rng.choice([-1, 1], stored.shape)
        assert close(stored.tolist(), moved.tolist(), 0.05)
        assert not close(stored.tolist(), (stored + 3 * noise).tolist(), 0.05)
        assert not close(stored.tolist(), moved.tolist()), "without a tolerance"


def test_execution_stores_the_last_state_and_keeps_no_widget(tiny, scripts):
    for package in ("playwright", "anywidget"):
        pytest.importorskip(package)
    try:
        scripts("pictures").find_chromium()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder, notebook = tiny
    notebook.cells += [nbformat.v4.new_code_cell(EXPLORER)]
    path = folder / "notebooks" / "tiny.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, ROOT / "scripts" / "execute_notebooks.py", path]
    subprocess.run(command, check=True, timeout=300)
    stored = nbformat.read(path, as_version=4)
    figure, explorer = data_of(stored)
    assert PLOTLY in figure and VIEW not in explorer and "widgets" not in stored.metadata
    assert min(Image.open(io.BytesIO(p)).width for p in pictures_of(stored)) > 800
    assert failed(folder, stored) == set()
