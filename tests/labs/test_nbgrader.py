"""nbgrader's whole way: assignment, marks and feedback for right, loud, wrong and no answers.

The demonstrations are left out of the notebooks here, so that a lab is marked in seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from differnet_course import check

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install .[labs]")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
SOURCE = ROOT / "notebooks" / "labs" / "source"
LABS = [path.stem.split("_")[0] for path in sorted(SOURCE.glob("lab*.ipynb"))]

# A right answer that warns and writes to stderr, as some of PyTorch's and NumPy's functions do.
LOUD = """


def loud(function):
    def louder(*inputs):
        import sys, warnings
        warnings.warn("an old way")
        print("progress", file=sys.stderr)
        return function(*inputs)
    return louder


{name} = loud({name})
"""
WRONG = {  # by what the solution has and what has come in its place
    "exercise-1-3": ("torch.linalg.slogdet(A).logabsdet", "torch.logdet(A)"),
    "exercise-2-4": ("(changed - t) * (-s).exp()", "changed * (-s).exp() - t"),
    "exercise-2-6": ("order.argsort()", "order"),
    "exercise-3-6": (
        "np.isin(part, parts[: round(0.25 * len(parts))])",
        "rng.random(len(part)) < 0.25",
    ),
    "exercise-4-6": ("threshold(maps.max(axis=(1, 2)), alpha)", "np.quantile(maps, 1 - alpha)"),
    "exercise-5-1": ("range(3)", "range(1)"),
}


def nbgrader(course: Path, *arguments: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # alembic
        "JUPYTER_CONFIG_DIR": str(course / "jupyter"),
        "IPYTHONDIR": str(course / "ipython"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def handed_in(student: str, cell_id: str, solution: str) -> str:
    """The source of a student's cell."""
    if student == "loud" and cell_id.startswith("exercise-"):
        label = cell_id.removeprefix("exercise-").replace("-", ".")
        return solution + LOUD.format(name=check.exercises_of(label[0])[label].name)
    if student == "mistaken" and cell_id in WRONG:
        right, wrong = WRONG[cell_id]
        assert right in solution
        return solution.replace(right, wrong)
    return solution


@pytest.fixture(scope="module", params=LABS)
def marked(request, make_labs, tmp_path_factory):
    """The course folder after marking four students, the name of the lab and its source."""
    lab = request.param
    course = make_labs.make_course(tmp_path_factory.mktemp("nbgrader") / "course")
    for other in (course / "source").iterdir():
        if other.name != lab:
            shutil.rmtree(other)
    (path,) = (course / "source" / lab).glob("*.ipynb")
    source = nbformat.read(path, as_version=4)
    source.cells = [
        cell
        for cell in source.cells
        if cell.cell_type == "markdown"
        or cell.id in ("setup", "pieces")
        or "nbgrader" in cell.metadata
    ]
    nbformat.write(source, path)
    nbgrader(course, "generate_assignment", lab)
    for student in ("solver", "loud", "mistaken", "waiter"):
        release = nbformat.read(course / "release" / lab / path.name, as_version=4)
        for cell, original in zip(release.cells, source.cells, strict=True):
            if original.metadata.get("nbgrader", {}).get("solution") and student != "waiter":
                solution = make_labs.solution_text(original.source)
                cell.source = handed_in(student, original.id, solution)
        folder = course / "submitted" / student / lab
        folder.mkdir(parents=True)
        nbformat.write(release, folder / path.name)
    nbgrader(course, "autograde", lab)
    nbgrader(course, "generate_feedback", lab)
    return course, lab, source


def marks(course: Path, lab: str, student: str) -> dict[str, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        (notebook,) = gradebook.find_submission(lab, student).notebooks
        return {
            grade.name: grade.auto_score for grade in notebook.grades if grade.name[:5] == "check"
        }


def test_marks_are_fair(marked):
    course, lab, source = marked
    graded = [cell for cell in source.cells if cell.id.startswith("check-")]
    full = {cell.id: cell.metadata["nbgrader"]["points"] for cell in graded}
    assert marks(course, lab, "solver") == full
    assert marks(course, lab, "loud") == full
    assert set(marks(course, lab, "waiter").values()) == {0.0}
    wrong = {cell.replace("exercise", "check") for cell in WRONG}
    for cell, points in marks(course, lab, "mistaken").items():
        assert points == 0.0 or cell not in wrong
    assert 0 < sum(marks(course, lab, "mistaken").values()) < sum(full.values())


def test_the_assignment_and_the_feedback_show_nothing_hidden(marked, make_labs):
    course, lab, source = marked
    (released,) = (course / "release" / lab).iterdir()  # and no other file beside it
    cells = nbformat.read(released, as_version=4).cells
    wanted = [make_labs.student_text(cell.source, cell.cell_type) for cell in source.cells]
    assert [cell.source.strip() for cell in cells] == [text.strip() for text in wanted]
    assert "held_back" not in released.read_text(encoding="utf-8")
    for student in ("solver", "mistaken"):
        (page,) = (course / "feedback" / student / lab).glob("*.html")
        text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
        assert str(course) not in text
        assert ("is not passed" in text) == (student == "mistaken")
