"""What holds for every figure, and for the package of them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from differnet_course import plots


def image(seed: int = 0, shape: tuple[int, int] = (448, 448)) -> np.ndarray:
    """A smooth random image."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))


def latents(n: int = 100, d: int = 80) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d))


SCORES = np.array([5.0, 1.0, 1.2, 9.0, 0.9])


KINDS = ["scratch", "good", "good", "crack", "good"]


FIGURES = {
    "scores": lambda: plots.plot_scores(SCORES, KINDS, threshold=1.1),
    "roc": lambda: plots.plot_roc([0, 0, 1, 1], [1, 3, 2, 4]),
    "map": lambda: plots.plot_map(image(), np.eye(8)),
    "gallery": lambda: plots.plot_gallery([image()], [np.eye(8)], titles=["a"]),
    "history": lambda: plots.plot_history({"epoch": [1, 2], "train": [1.0, 0.5]}),
    "qq": lambda: plots.plot_qq(latents()),
    "variances": lambda: plots.plot_variances(latents()),
    "covariance": lambda: plots.plot_covariance(latents()),
    "curves": lambda: plots.plot_curves([0, 1], {"a": [0, 1]}, x_title="x", y_title="y"),
    "calibration": lambda: plots.plot_calibration([0.1, 0.5]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_white_with_dark_text_and_labelled_axes(name):
    figure = FIGURES[name]()
    layout = figure.layout.template.layout
    assert (layout.paper_bgcolor, layout.plot_bgcolor, layout.font.color) == (
        "white",
        "white",
        "#222222",
    )
    if name not in ("map", "gallery"):
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text
    assert "http" not in figure.to_json()


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_the_same_each_time(name):
    assert FIGURES[name]().to_json() == FIGURES[name]().to_json()


def test_every_public_name_is_there():
    for name in plots.__all__:
        assert name == "TEMPLATE" or getattr(plots, name).__module__.startswith(plots.__name__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = plots.nonsense


def test_figures_of_studies_load_nothing_heavy():
    code = (
        "import sys\n"
        "from differnet_course.plots import plot_comparison, plot_shifts\n"
        "plot_shifts({'differnet': 3.0})\n"
        "print(sorted({'pandas', 'joblib', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
