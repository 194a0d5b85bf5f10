"""The localization explorer without a browser: states, agreement with the maps themselves."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.gradient_maps import BLURS, GradientMaps
from differnet_course.samples import render
from differnet_course.widgets import LocalizationExplorer
from differnet_course.widgets.maps_state import CELLS, KeptMaps
from differnet_course.widgets.plot import COLUMN
from differnet_lite import DifferNet, Transformations
from differnet_lite.overlay import MARKED

SIZE = 224  # px, of the model's input


@pytest.fixture(scope="module")
def parts():
    return [render("flange", np.random.default_rng(seed))[0] for seed in range(10)]


@pytest.fixture(scope="module")
def defective():
    return render("flange", np.random.default_rng(77), defect="stain")


@pytest.fixture(scope="module")
def model(parts):
    small = {"size": SIZE, "n_scales": 2, "epochs": 4, "hidden": 32, "dtype": "float32"}
    views = Transformations.grid(4)
    model = DifferNet(transformations=views, cache=None, device="cpu", progress=False, **small)
    return model.fit(parts)


@pytest.fixture(scope="module")
def maps(model, parts):
    return GradientMaps(model, parts, n_images=8)


@pytest.fixture
def kept(maps, parts, defective):
    return KeptMaps(maps, [defective[0], parts[0]], parts[1:4])


@pytest.fixture
def explorer(kept, defective):
    return LocalizationExplorer(kept, titles=["stain", "good"], masks=[defective[1], None])


@pytest.mark.parametrize("method", ["attribution", "gradient"])
@pytest.mark.parametrize(("n", "scale"), [(1, None), (4, None), (4, 1)])
def test_maps_are_those_of_gradient_maps(kept, maps, defective, method, n, scale):
    """Up to a few per cent of the largest value, as kept maps are of 112 px."""
    for blur in (BLURS[method], 10.0):
        ours = kept.map(method, 0, n_angles=n, blur=blur, scale=scale)
        whole = maps.anomaly_map(defective[0], method=method, n_angles=n, sigma=blur, scale=scale)
        theirs = whole.reshape(CELLS, SIZE // CELLS, CELLS, SIZE // CELLS).mean((1, 3))
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.995
        assert ours.max() == pytest.approx(theirs.max(), rel=0.12)


def test_a_level_is_the_largest_value_of_good_photographs(kept, model, defective):
    level = kept.level("gradient", n_angles=1, blur=5.0)
    largest = [kept.map("gradient", k, n_angles=1, blur=5.0).max() for k in (2, 3, 4)]
    assert level.level == max(largest) and level.alpha == 1 / 4 and level.usual < level.level
    assert kept.missing("gradient", 1) == [0, 1] and kept.missing("distance", 1) == []
    assert kept.level("distance", n_angles=4) == model.map_levels(0.05, if_too_few="fallback")
    whole = model.anomaly_maps([defective[0]])[0]
    cells = whole.reshape(CELLS, SIZE // CELLS, CELLS, SIZE // CELLS).max((1, 3))
    np.testing.assert_allclose(kept.map("distance", 0, n_angles=4), cells, rtol=1e-6)


def test_the_terms_of_all_places_sum_to_the_whole(kept, defective):
    total = 0.0
    for scale, side in enumerate((6, 2)):  # places of the trunk's maps
        at = (np.arange(side) + 0.5) * kept.size / side
        total += sum(kept.terms(0, x, y)[scale][0] for x in at for y in at)
    assert total == pytest.approx(1, abs=1e-3)


def test_every_control_changes_the_drawing(explorer):
    def state():
        return tuple(str(explorer.plot.get_state(f"trace{k}")) for k in range(5))

    seen = [state()]
    for control, value in (
        (explorer.scale_buttons, 1),
        (explorer.angles_slider, 1),
        (explorer.blur_slider, 16),
        (explorer.method_buttons, "attribution"),
        (explorer.method_buttons, "distance"),
        (explorer.image_menu, 1),
    ):
        control.value = value
        assert state() not in seen, (control.description, value)
        seen.append(state())
    marked = np.asarray(explorer.figure.data[1].z) >= MARKED
    assert f"{100 * marked.mean():.1f} % of the image" in explorer.label.value
    assert explorer.blur_slider.disabled
    # beside each other in JupyterLab at 1280 x 720
    assert explorer.figure.layout.width + COLUMN <= 830 and explorer.figure.layout.height < 560


def test_it_says_that_it_is_computing_and_a_click_says_the_terms(explorer, kept):
    texts = []
    explorer.plot.observe(lambda change: texts.append(change["new"]), names="busy")
    assert not kept.missing("attribution", 4)  # it came with the gradient
    explorer.angles_slider.value = 1
    assert texts == ["computing the gradient map", ""] and not kept.missing("gradient", 1)
    before = explorer.terms.value
    explorer.plot.clicked = {"trace": 1, "index": [3, 4], "x": 100.0, "y": 200.0}
    assert "Attribution</b> at x 100, y 200 px" in explorer.terms.value != before
    assert [*explorer.figure.data[4].x, *explorer.figure.data[4].y] == [100, 200]
    assert f"{100 * kept.terms(0, 100, 200)[0][0]:+.1f} %" in explorer.terms.value


def test_in_a_notebook_the_rest_is_computed_between_its_cells(kept):
    async def notebook():
        explorer = LocalizationExplorer(kept, titles=["<i>a</i>", "b"], masks=[None, None])
        left = len(kept.missing("gradient", 4))
        while kept.missing("gradient", 4):
            await asyncio.sleep(0.1)
        return explorer, left

    explorer, left = asyncio.run(notebook())
    assert left == 3  # of five: the photograph that is shown, and a good one for its level
    assert "About 25 % of good photographs" in explorer.label.value
    assert "&lt;i&gt;a" in explorer.label.value
