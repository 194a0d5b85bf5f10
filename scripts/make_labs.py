"""Derive the labs' student and solution notebooks, and an nbgrader course, from one source.

    python scripts/make_labs.py            student/ and solutions/ beside notebooks/labs/source/
    python scripts/make_labs.py --course   also build/course, for nbgrader
    python scripts/make_labs.py --pictures first draw the expected pictures anew (needs Chromium)

The source is in nbgrader's cell format. The student version loses what stands between BEGIN and
END SOLUTION, and between BEGIN and END HIDDEN TESTS; the solution version loses the hidden tests.
Outputs of the solutions are kept as long as a cell's text is; scripts/execute_notebooks.py makes
them anew.
"""

from __future__ import annotations

import argparse
import base64
import copy
import io
import os
import re
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LABS = ROOT / "notebooks" / "labs"
COURSE = ROOT / "build" / "course"
STUB = 'raise NotImplementedError("your code here")'
PLOTLY = "application/vnd.plotly.v1+json"
ANSWER = "*Your answer here.*"
SOLUTION = re.compile(r"(?ms)^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?")
HIDDEN = re.compile(r"(?ms)^[ \t]*### BEGIN HIDDEN TESTS\n.*?^[ \t]*### END HIDDEN TESTS\n?")

CONFIG = '''"""nbgrader's settings for the labs; run nbgrader in this folder."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "differnet"
c.CourseDirectory.root = str(HERE)
c.ClearSolutions.code_stub = {"python": %r}
c.ClearSolutions.text_stub = %r
c.ExecutePreprocessor.timeout = 300
# The held-back tests are found while marking, and by nobody else.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(HERE / "marking"), os.environ.get("PYTHONPATH")])
)
'''


def sources() -> list[Path]:
    """The instructor notebooks, in order."""
    return sorted((LABS / "source").glob("lab*.ipynb"))


def without_hidden_tests(text: str) -> str:
    return HIDDEN.sub("", text).rstrip("\n")


def student_text(text: str, kind: str) -> str:
    stub = STUB if kind == "code" else ANSWER
    return SOLUTION.sub(rf"\1{stub}\n", without_hidden_tests(text)).rstrip("\n")


def solution_text(text: str) -> str:
    return SOLUTION.sub(r"\2", without_hidden_tests(text)).rstrip("\n")


def student_version(source: NotebookNode) -> NotebookNode:
    """What students get: stubs, visible checks, no outputs."""
    notebook = _without_outputs(source)
    for cell in notebook.cells:
        cell.source = student_text(cell.source, cell.cell_type)
    return notebook


def solution_version(source: NotebookNode, executed: NotebookNode | None = None) -> NotebookNode:
    """What students get afterwards; outputs of unchanged cells come from the executed version."""
    notebook = _without_outputs(source)
    old = {cell.id: cell for cell in executed.cells} if executed else {}
    for cell in notebook.cells:
        cell.source = solution_text(cell.source)
        if cell.cell_type == "code" and cell.id in old and old[cell.id].source == cell.source:
            cell.outputs = old[cell.id].outputs
            cell.execution_count = old[cell.id].execution_count
    if executed and "language_info" in executed.metadata:  # the kernel's, of the execution
        notebook.metadata["language_info"] = executed.metadata["language_info"]
    return notebook


def _without_outputs(source: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(source)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def make_course(folder: Path = COURSE) -> Path:
    """An nbgrader course folder with all labs as assignments; an old one is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sources():
        assignment = folder / "source" / path.stem.split("_")[0]
        assignment.mkdir(parents=True)
        shutil.copy(path, assignment)
    (folder / "marking").mkdir()
    for path in sorted((LABS / "source").glob("*.py")):
        shutil.copy(path, folder / "marking")
    (folder / "nbgrader_config.py").write_text(CONFIG % (STUB, ANSWER), encoding="utf-8")
    return folder


def add_pictures(path: Path) -> None:
    """Attach to the source what its solution has drawn: cells with `picture_of` in the metadata.

    Args:
        path: of the source; its solution must have been run.
    """
    source = nbformat.read(path, as_version=4)
    executed = nbformat.read(LABS / "solutions" / path.name, as_version=4)
    figures = {
        cell.id: output["data"][PLOTLY]
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if PLOTLY in output.get("data", ())
    }
    for cell in source.cells:
        if "picture_of" in cell.metadata:
            png = base64.b64encode(_png(figures[cell.metadata["picture_of"]])).decode()
            cell["attachments"] = {"expected.png": {"image/png": png}}
    nbformat.write(source, path)


def _png(figure: dict) -> bytes:
    import plotly.graph_objects as go
    from playwright.sync_api import sync_playwright

    drawn = go.Figure(data=figure["data"], layout=figure["layout"])
    chromium = os.environ.get("BROWSER_PATH") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 880, "height": 600})
        page.set_content(drawn.to_html(include_plotlyjs=True, config={"displayModeBar": False}))
        page.wait_for_selector(".main-svg")
        page.wait_for_timeout(500)
        png = page.locator(".js-plotly-plot").screenshot()
        browser.close()
    with Image.open(io.BytesIO(png)) as image, io.BytesIO() as small:
        image.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
        return small.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--course", action="store_true", help=f"also {COURSE.relative_to(ROOT)}")
    parser.add_argument("--pictures", action="store_true", help="draw the expected pictures anew")
    arguments = parser.parse_args()
    for path in sources():
        if arguments.pictures:
            add_pictures(path)
        source = nbformat.read(path, as_version=4)
        solutions = LABS / "solutions" / path.name
        executed = nbformat.read(solutions, as_version=4) if solutions.exists() else None
        for target, notebook in (
            (LABS / "student" / path.name, student_version(source)),
            (solutions, solution_version(source, executed)),
        ):
            target.parent.mkdir(exist_ok=True)
            nbformat.write(notebook, target)
            print(target.relative_to(ROOT))
    if arguments.course:
        print(make_course().relative_to(ROOT))


if __name__ == "__main__":
    main()
