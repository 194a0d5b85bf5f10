"""The localization explorer without a browser: states, agreement with the maps themselves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.gradient_maps import BLURS, GradientMaps
from differnet_course.samples import render
from differnet_course.widgets import LocalizationExplorer
from differnet_course.widgets.layout import COLUMN
from differnet_course.widgets.maps_state import CELLS
from differnet_lite import DifferNet, NotFittedError, Transformations
from differnet_lite.overlay import MARKED


@pytest.fixture(scope="module")
def parts():
    return [render("flange", np.random.default_rng(seed))[0] for seed in range(10)]


@pytest.fixture(scope="module")
def defective():
    return render("flange", np.random.default_rng(77), defect="stain")


@pytest.fixture(scope="module")
def model(parts):
    return DifferNet(
        transformations=Transformations.grid(4),
        dtype="float32",
        epochs=4,
        hidden=32,
        device="cpu",
        cache=None,
        progress=False,
    ).fit(parts)


@pytest.fixture(scope="module")
def maps(model, parts):
    return GradientMaps(model, parts, n_images=8)


@pytest.fixture
def explorer(model, maps, parts, defective):
    image, mask = defective
    return LocalizationExplorer(
        model, [image, parts[0]], maps=maps, titles=["stain", "good"], masks=[mask, None]
    )


@pytest.mark.parametrize("method", ["attribution", "deviation", "gradient"])
@pytest.mark.parametrize("n", [1, 4])
def test_maps_are_those_of_gradient_maps(explorer, maps, defective, method, n):
    """Up to a few per cent of the largest value, as the explorer works at 112 px."""
    explorer.method_buttons.value = method
    explorer.angles_slider.value = n
    for blur in (BLURS[method], 10.0):
        explorer.blur_slider.value = blur
        ours = explorer.map()
        whole = maps.anomaly_map(defective[0], method=method, n_angles=n, sigma=blur)
        theirs = whole.reshape(CELLS, 8, CELLS, 8).mean((1, 3))
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.995
        assert ours.max() == pytest.approx(theirs.max(), rel=0.08)


def test_distance_maps_have_the_models_levels(explorer, model, defective):
    assert explorer.method_buttons.value == "distance"
    whole = model.anomaly_maps([defective[0]])[0]
    largest = whole.reshape(CELLS, 8, CELLS, 8).max((1, 3))
    np.testing.assert_allclose(explorer.map(), largest, rtol=1e-6)
    shares = []
    for _, alpha in explorer.alpha_slider.options:
        explorer.alpha_slider.value = alpha
        levels = model.map_levels(alpha)
        marked = np.asarray(explorer.figure.data[1].z) >= MARKED - 1e-6
        np.testing.assert_array_equal(marked, largest >= levels.level)
        assert explorer.levels == levels and f"{levels.level:.3g}" in explorer.label.value
        shares.append(marked.mean())
    assert shares == sorted(shares) and explorer.figure.data[2].visible
    for control in (explorer.angles_slider, explorer.blur_slider, explorer.scale_buttons):
        assert control.disabled
    score = float(model.anomaly_scores([defective[0]])[0])
    assert f"score tau {score:.2f}" in explorer.label.value


def test_every_control_changes_the_drawing(explorer):
    def state():
        photograph, heat, _, outline = explorer.figure.data
        colours = explorer.figure.layout.coloraxis
        drawn = [np.array(trace.z).tobytes() for trace in (heat, outline)]
        return photograph.source, *drawn, explorer.label.value, colours.cmin, colours.cmax

    seen = [state()]
    for control, value in (
        (explorer.alpha_slider, 0.2),
        (explorer.method_buttons, "attribution"),
        (explorer.angles_slider, 1),
        (explorer.blur_slider, 16),
        (explorer.scale_buttons, False),
        (explorer.image_slider, 1),
        (explorer.method_buttons, "gradient"),
    ):
        control.value = value
        assert state() not in seen, control.description
        seen.append(state())
    assert not explorer.figure.data[2].visible
    assert "gradient map of 1 rotation, blur 3 px" in explorer.label.value


def test_one_scale_for_all_or_each_its_own(explorer):
    explorer.method_buttons.value = "attribution"
    largest = []
    for index in (0, 1):
        explorer.image_slider.value = index
        largest.append(explorer.map().max())
    assert explorer.figure.layout.coloraxis.cmax == pytest.approx(max(largest))
    explorer.scale_buttons.value = False
    assert explorer.figure.layout.coloraxis.cmax == pytest.approx(largest[1]) and (
        largest[1] < largest[0]
    )


def test_it_says_that_it_is_computing_and_keeps_what_it_computed(explorer):
    texts = []
    explorer.label.observe(lambda change: texts.append(change["new"]), names="value")
    explorer.method_buttons.value = "gradient"
    assert any("computing" in text for text in texts) and "computing" not in texts[-1]
    explorer.angles_slider.value = 1
    texts.clear()
    explorer.angles_slider.value = 4  # computed before
    assert texts and not any("computing" in text for text in texts)


def test_titles_may_repeat_and_hold_markup_and_the_rest_be_left_out(model, parts):
    explorer = LocalizationExplorer(model, parts[:2], titles=["<i>part</i>"] * 2)
    names = [name for name, _ in explorer.image_slider.options]
    assert names == ["<i>part</i> (0)", "<i>part</i> (1)"]
    assert "&lt;i&gt;" in explorer.label.value
    assert explorer.method_buttons.options == ("distance", "gradient")
    assert not np.asarray(explorer.figure.data[3].z).any()
    assert repr(explorer) == "LocalizationExplorer of 2 images: run this cell to move its controls"


def test_errors_say_what_was_expected(model, parts):
    with pytest.raises(NotFittedError, match="fit"):
        LocalizationExplorer(DifferNet(), parts[:1])
    with pytest.raises(ValueError, match="at least one image"):
        LocalizationExplorer(model, [])
    with pytest.raises(ValueError, match="as many titles"):
        LocalizationExplorer(model, parts[:2], titles=["one"])
    with pytest.raises(ValueError, match=r"masks: expected masks \(H, W\)"):
        LocalizationExplorer(model, parts[:1], masks=[np.zeros(3)])


def test_controls_stand_beside_the_picture(explorer):
    left, right = explorer.children
    assert right.children == (explorer.plot,)
    assert left.children[0] is explorer.image_slider and left.children[-1] is explorer.label
    assert explorer.figure.layout.width + COLUMN <= 830 and explorer.figure.layout.height < 560
