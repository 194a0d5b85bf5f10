"""nbgrader's whole way: assignment, marks and feedback for solutions, stubs and wrong answers.

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

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install .[labs]")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "notebooks" / "labs" / "source"
LABS = [path.stem.split("_")[0] for path in sorted(SOURCE.glob("lab*.ipynb"))]

# What a student may have written instead, by the cell's id.
WRONG = {
    "lab1": {
        "exercise-1-3": "def linear_flow(y, A, b):\n"
        "    return (y - b) @ A.T, torch.logdet(A).expand(len(y))",
        "exercise-1-6": "def nll(z, log_det):\n"
        "    return (0.5 * z.square().sum(1) + log_det).mean() / z.shape[1]",
    },
    "lab2": {
        "exercise-2-4": "def uncouple(keep, changed, net):\n"
        "    h, t = net(keep).chunk(2, dim=1)\n"
        "    s = soft_clamp(h)\n"
        "    return changed * (-s).exp() - t, -s.sum(1)",
        "exercise-2-6": "def unpermute(z, order):\n    return z[:, order]",
    },
    "lab3": {
        "exercise-3-2": "def auroc(labels, scores):\n"
        "    return (scores[labels][:, None] > scores[~labels]).mean()",
        "exercise-3-6": "honest_evaluation = colleagues_evaluation",
    },
    "lab4": {
        "exercise-4-4": "def rate_interval(seen, n, confidence):\n"
        "    p, z = seen / n, stats.norm.ppf((1 + confidence) / 2)\n"
        "    half = z * math.sqrt(p * (1 - p) / n)\n"
        "    return p - half, p + half",
        "exercise-4-6": "def map_level(maps, alpha):\n    return np.quantile(maps, 1 - alpha)",
    },
}


def nbgrader(course: Path, *arguments: str) -> str:
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
    return done.stdout + done.stderr


def save(notebook, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module", params=LABS)
def marked(request, make_labs, tmp_path_factory):
    """The course folder after marking three students, and the name of the lab."""
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
        if cell.cell_type == "markdown" or cell.id == "setup" or "nbgrader" in cell.metadata
    ]
    nbformat.write(source, path)
    nbgrader(course, "generate_assignment", lab)
    release = nbformat.read(course / "release" / lab / path.name, as_version=4)
    for student in ("solver", "waiter", "mistaken"):
        handed_in = release.copy() | {"cells": [cell.copy() for cell in release.cells]}
        for cell, original in zip(handed_in["cells"], source.cells, strict=True):
            if student != "waiter" and original.metadata.get("nbgrader", {}).get("solution"):
                cell["source"] = make_labs.solution_text(original.source)
            if student == "mistaken" and original.id in WRONG.get(lab, {}):
                cell["source"] = WRONG[lab][original.id]
        save(nbformat.from_dict(handed_in), course / "submitted" / student / lab / path.name)
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


def points(source) -> dict[str, float]:
    return {
        cell.id: cell.metadata["nbgrader"]["points"]
        for cell in source.cells
        if cell.id.startswith("check-")
    }


def test_the_assignment_is_the_student_version(marked, make_labs):
    course, lab, source = marked
    (released,) = (course / "release" / lab).iterdir()  # and no other file beside it
    cells = nbformat.read(released, as_version=4).cells
    wanted = [make_labs.student_text(cell.source, cell.cell_type) for cell in source.cells]
    assert [cell.source.strip() for cell in cells] == [text.strip() for text in wanted]
    text = released.read_text(encoding="utf-8")
    assert "HIDDEN" not in text and "marking" not in text and "BEGIN SOLUTION" not in text


def test_solutions_get_full_marks_and_stubs_none(marked):
    course, lab, source = marked
    assert marks(course, lab, "solver") == points(source)
    assert set(marks(course, lab, "waiter").values()) == {0.0}


def test_wrong_answers_lose_their_own_points(marked):
    course, lab, source = marked
    if lab not in WRONG:
        pytest.skip("no wrong answers are written down for this lab")
    found, full = marks(course, lab, "mistaken"), points(source)
    for cell in WRONG[lab]:
        assert found[cell.replace("exercise", "check")] == 0.0
    assert 0 < sum(found.values()) < sum(full.values())


@pytest.mark.parametrize("student", ["solver", "waiter", "mistaken"])
def test_the_feedback_tells_what_is_wrong_and_nothing_hidden(marked, student):
    course, lab, _ = marked
    (page,) = (course / "feedback" / student / lab).glob("*.html")
    text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
    for hidden in sorted(SOURCE.glob("marking*.py")):
        for line in hidden.read_text(encoding="utf-8").splitlines():
            if len(line.strip()) > 30 and "import" not in line:
                assert line.strip() not in text
    assert "marking.py" not in text and str(course) not in text
    if student == "mistaken" and lab in WRONG:
        assert "✗" in text and "is not passed" in text
