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
IGNORING = {
    "nbval-ignore-output",
    "nbval-skip",
    "NBVAL_IGNORE_OUTPUT",
    "NBVAL_SKIP",
    "nbval-raises-exception",
}
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


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_valid_and_under_one_and_a_half_megabytes(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < 1_500_000


def data_of(notebook) -> list[dict]:
    return [o["data"] for cell in notebook.cells for o in cell.get("outputs", ()) if "data" in o]


def pictures_of(notebook) -> list[bytes]:
    pictures = [data.get("image/jpeg") for data in data_of(notebook)]
    return [base64.b64decode(picture) for picture in pictures if picture]


def test_every_figure_and_every_explorer_has_a_picture(notebook):
    for data in data_of(notebook):
        assert "image/jpeg" in data, "run scripts/execute_notebooks.py"
        assert "image/png" not in data  # JupyterLab would show it in place of the figure
        assert VIEW not in data
    for picture in pictures_of(notebook):
        image = Image.open(io.BytesIO(picture)).convert("L")
        assert image.width > 200 and image.height > 150 and np.asarray(image).std() > 5


def test_pictures_are_small():
    sizes = [
        len(picture)
        for path in NOTEBOOKS
        for picture in pictures_of(nbformat.read(path, as_version=4))
    ]
    assert sizes, "run scripts/execute_notebooks.py"
    assert np.mean(sizes) <= 60_000 and max(sizes) <= 120_000


def test_answers_are_folded_and_nothing_else(notebook):
    for cell in notebook.cells:
        answer = "answer" in cell.metadata.get("tags", ())
        assert cell.metadata.get("jupyter", {}).get("outputs_hidden", False) == answer
        assert not answer or (cell.cell_type == "code" and cell.outputs)


def test_a_folded_answer_does_not_show_in_its_first_line(notebook):
    """JupyterLab prints the first line of a folded output beside the dots."""
    for cell in notebook.cells:
        if "answer" in cell.metadata.get("tags", ()) and cell.outputs:
            line = cell.outputs[0].get("text", "").split("\n")[0]
            assert not re.search(r"\d", line), f"print a question first: {line}"


def test_every_prediction_has_its_answer_and_every_answer_its_prediction(notebook):
    """The cells with outputs between a "Predict" and the next text answer it."""
    asked = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            asked = re.search(r"\*\*Predict|Predict first", cell.source) is not None
        else:
            answers = "answer" in cell.metadata.get("tags", ())
            assert answers == (asked and bool(cell.outputs)), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_in_prose_rest_on_something(path, scripts):
    claims = scripts("prose_numbers").claims(nbformat.read(path, as_version=4))
    bare = [
        f"[{claim.cell}] {claim.number.text} ({claim.context})"
        for claim in claims
        if not claim.rests_on
    ]
    assert not bare, "print them, or mark them: scripts/prose_numbers.py says how"


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
    assert 25 <= len(notebook.cells) <= 50
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
    return notebook.cells[2].outputs[0]["data"][PLOTLY]


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


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg"])
@pytest.mark.parametrize(("by", "passes"), [(0.0, True), (1e-2, False)])
def test_strict_nbval_compares_a_figures_data_and_not_its_picture(tiny, mime, by, passes):
    folder, notebook = tiny
    output = notebook.cells[2].outputs[0]
    output["data"][mime], output["metadata"] = "AAAA", {mime: {"width": 1}}
    notebook.cells[2].metadata["jupyter"] = {"outputs_hidden": True}
    shift(figure_of(notebook)["data"][0], by)
    done = nbval(folder, notebook)
    assert (done.returncode == 0) == passes, done.stdout


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


# Pictures and folded answers, as scripts/execute_notebooks.py makes them

EXPLORER = """\
import ipywidgets as widgets, plotly.graph_objects as go
figure = go.FigureWidget(go.Scatter(y=[1.0, 2.0, 3.0]))
slider = widgets.IntSlider(value=3, max=7, description="blocks")
widgets.VBox([slider, widgets.HTML("<b>three</b> blocks"), figure])"""


def test_execution_stores_pictures_folds_answers_and_keeps_no_state(tiny, scripts):
    pytest.importorskip("playwright")
    pytest.importorskip("anywidget")
    try:
        scripts("pictures").find_chromium()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder, notebook = tiny
    notebook.cells += [nbformat.v4.new_code_cell(EXPLORER)]
    notebook.cells[0].metadata["tags"] = ["answer"]
    notebook.cells[1].metadata["jupyter"] = {"outputs_hidden": True}
    path = folder / "notebooks" / "tiny.ipynb"
    nbformat.write(notebook, path)
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "execute_notebooks.py", path], check=True, timeout=300
    )
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    figure, explorer = data_of(stored)
    assert PLOTLY in figure and "image/jpeg" in figure
    assert VIEW not in explorer and "image/jpeg" in explorer and "widgets" not in stored.metadata
    widths = [Image.open(io.BytesIO(picture)).width for picture in pictures_of(stored)]
    assert min(widths) > 800
    assert [cell.metadata.get("jupyter") for cell in stored.cells[:2]] == [
        {"outputs_hidden": True},
        None,
    ]
    assert nbval(folder, stored).returncode == 0


def test_an_explorers_picture_is_of_its_state_at_the_end(tiny, scripts):
    pytest.importorskip("anywidget")
    folder, notebook = tiny
    later = "figure.update_layout(title='afterwards'); figure.data[0].name = 'moved'"
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in (EXPLORER, later)]
    scripts("execute_notebooks").execute(notebook, folder)
    (state,) = notebook.metadata["widgets"].values()
    states = [model["state"] for model in state["state"].values()]
    (figure,) = [values for values in states if "_widget_data" in values]
    assert figure["_widget_layout"]["title"]["text"] == "afterwards"
    assert figure["_widget_data"][0]["name"] == "moved"
    assert [cell.source for cell in notebook.cells] == [EXPLORER, later]


# Numbers in prose


def prose_notebook(prose: str, output: str = "AUROC 0.9573, alarms 36.7%, 2 of 60\n"):
    code = nbformat.v4.new_code_cell("EPOCHS = 32")
    code.outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
    return nbformat.v4.new_notebook(cells=[code, nbformat.v4.new_markdown_cell(prose)])


@pytest.mark.parametrize(
    ("prose", "bare"),
    [
        ("It has 0.96, and 37 % of 60; 32 epochs.", []),
        ("It has 0.95, and 36 % of 61; 33 epochs.", ["0.95", "36 %", "61", "33"]),
        ("It has 0.96 more than 0.95731.", ["0.95731"]),
        ("Sixty of them, and not twenty.", ["twenty"]),
        ("In three of them, notebook 15 and section 3.12, `x = 77`, arXiv 2008.12577.", []),
        ("Is it 0.5 or 0.7? The formula $n = 99$; and $99$ images.", ["99"]),
        ("The authors have 0.80. <!-- literature: 0.80 -->", []),
        ("## Try it\n1. Set it to 0.123.\n\n## Then\nIt is 0.123.", ["0.123"]),
        ("| a | 97.5 |\n|---|---|\n| b | 0.96 |", ["97.5"]),
        ("- first 11.5\n- second 367/1000", ["11.5"]),
    ],
)
def test_a_number_in_prose_needs_an_output_a_setting_or_a_mark(scripts, prose, bare):
    claims = scripts("prose_numbers").claims(prose_notebook(prose))
    assert [claim.number.text for claim in claims if not claim.rests_on] == bare


@pytest.mark.parametrize(
    ("mark", "problem"), [("literature: 0.81", "not a number"), ("rumour: 0.80", "a mark is one")]
)
def test_a_mark_names_its_kind_and_a_number_of_the_cell(scripts, mark, problem):
    with pytest.raises(ValueError, match=problem):
        scripts("prose_numbers").claims(prose_notebook(f"They have 0.80. <!-- {mark} -->"))
