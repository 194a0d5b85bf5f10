"""Derive the labs' student and solution notebooks, and an nbgrader course, from one source.

    python scripts/make_labs.py            student/ and solutions/ beside notebooks/labs/source/
    python scripts/make_labs.py --course   also build/course, for nbgrader

The source is in nbgrader's cell format. The student version loses what stands between BEGIN and
END SOLUTION, and between BEGIN and END HIDDEN TESTS; the solution version loses the hidden tests.
Outputs of the solutions are kept as long as a cell's text is; scripts/execute_notebooks.py makes
them anew. The pictures that a student should see are those of the solutions' outputs: run this
script again after the solutions.
"""

from __future__ import annotations

import argparse
import copy
import re
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
LABS = ROOT / "notebooks" / "labs"
COURSE = ROOT / "build" / "course"
STUB = 'raise NotImplementedError("your code here")'
PICTURE = "image/jpeg"
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
# One folder of photographs for all submissions: without it each would draw its own 36 to 136 MB.
os.environ.setdefault("DIFFERNET_LITE_DATA", str(HERE / "photographs"))
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
    (folder / "nbgrader_config.py").write_text(CONFIG % (STUB, ANSWER), encoding="utf-8")
    return folder


def pictures(executed: NotebookNode, cell_id: str) -> list[str]:
    """The pictures (JPEG, base64) that a cell of the solutions has drawn, in order."""
    (cell,) = (cell for cell in executed.cells if cell.id == cell_id)
    data = [output.get("data", {}) for output in cell.outputs]
    return [entry[PICTURE] for entry in data if PICTURE in entry]


def attach_pictures(source: NotebookNode, executed: NotebookNode) -> None:
    """Attach to the source's cells with `picture_of` in their metadata what that cell has drawn."""
    for cell in source.cells:
        if "picture_of" not in cell.metadata:
            continue
        drawn = pictures(executed, cell.metadata["picture_of"])
        if drawn:
            cell["attachments"] = {
                f"expected-{k}.jpg": {PICTURE: jpeg} for k, jpeg in enumerate(drawn, start=1)
            }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--course", action="store_true", help=f"also {COURSE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    for path in sources():
        source = nbformat.read(path, as_version=4)
        solutions = LABS / "solutions" / path.name
        executed = nbformat.read(solutions, as_version=4) if solutions.exists() else None
        if executed:
            attach_pictures(source, executed)
            nbformat.write(source, path)
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
