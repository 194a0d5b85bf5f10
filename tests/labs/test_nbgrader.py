"""nbgrader's whole way: assignment, marks and feedback for right, other, wrong and no answers.

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
IN_MAKE_TEST = "lab2"

# Right answers in another style, with a warning on the way or an array in the place of a pair.
OTHERWISE = {
    "exercise-1-2": "def log_density(f, y):\n"
    "    import warnings\n"
    "    warnings.warn('an old way')\n"
    "    slope = torch.func.vmap(torch.func.grad(f))(y)\n"
    "    return -(f(y) ** 2 + math.log(2 * math.pi)) / 2 + slope.abs().log()",
    "exercise-2-7": "def train_step(flow, optimiser, y):\n"
    "    loss = nll(*flow(y))\n"
    "    parameters = list(flow.parameters())\n"
    "    for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):\n"
    "        p.grad = g\n"
    "    optimiser.step()\n"
    "    return float(loss)",
    "exercise-3-3": "def interval(metric, labels, scores, rng, n_resamples):\n"
    "    values = []\n"
    "    for _ in range(n_resamples):\n"
    "        rows = [rng.choice(np.flatnonzero(m), m.sum()) for m in (labels, ~labels)]\n"
    "        i = np.concatenate(rows)\n"
    "        values.append(metric(labels[i], scores[i]))\n"
    "    return np.quantile(values, [0.025, 0.975])",
    "exercise-4-4": "def rate_interval(seen, n, confidence):\n"
    "    a = (1 - confidence) / 2\n"
    "    ends = stats.beta.ppf([a, 1 - a], [seen, seen + 1], [n - seen + 1, n - seen])\n"
    "    return np.where(np.isnan(ends), [0.0, 1.0], ends)",
    "exercise-5-2": "def whitening(y, noise):\n"
    "    print('progress', file=__import__('sys').stderr)\n"
    "    C = np.cov(y.numpy().T, bias=True) + noise**2 * np.eye(y.shape[1])\n"
    "    values, vectors = np.linalg.eigh(C)\n"
    "    matrix = vectors / np.sqrt(values)\n"
    "    return y.mean(0), torch.as_tensor(matrix).to(y)",
}
WRONG = {
    "exercise-1-3": "def linear_flow(y, A, b):\n"
    "    return (y - b) @ A.T, torch.logdet(A).expand(len(y))",
    "exercise-2-4": "def uncouple(keep, changed, net):\n"
    "    h, t = net(keep).chunk(2, dim=1)\n"
    "    s = soft_clamp(h)\n"
    "    return changed * (-s).exp() - t, -s.sum(1)",
    "exercise-2-6": "def unpermute(z, order):\n    return z[:, order]",
    "exercise-3-6": "honest_evaluation = lambda y, part, kind, fit, rng: (kind, kind)",
    "exercise-4-6": "def map_level(maps, alpha):\n    return np.quantile(maps, 1 - alpha)",
    "exercise-5-1": "def features(trunk, images):\n    return trunk(images).mean((2, 3))",
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


def handed_in(student: str, original, solution: str) -> str:
    """The source of a student's cell."""
    if student == "waiter":
        return original.source
    if student == "stylist":
        return OTHERWISE.get(original.id, solution)
    if student == "mistaken":
        return WRONG.get(original.id, solution)
    return solution


@pytest.fixture(
    scope="module",
    params=[
        lab if lab == IN_MAKE_TEST else pytest.param(lab, marks=pytest.mark.slow) for lab in LABS
    ],
)
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
    for student in ("solver", "stylist", "mistaken", "waiter"):
        release = nbformat.read(course / "release" / lab / path.name, as_version=4)
        for cell, original in zip(release.cells, source.cells, strict=True):
            if original.metadata.get("nbgrader", {}).get("solution") and student != "waiter":
                solution = make_labs.solution_text(original.source)
                cell.source = handed_in(student, original, solution)
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
    assert marks(course, lab, "stylist") == full
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
