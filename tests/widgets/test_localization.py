"""The localization explorer without a browser: states, agreement with the package's maps."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.plots.ramp import MARKED
from differnet_course.samples import render
from differnet_course.widgets import LocalizationExplorer
from differnet_course.widgets.layout import COLUMN
from differnet_course.widgets.maps_state import CELLS
from differnet_lite import DifferNet, NotFittedError
from differnet_lite.localizer import BLURS
from differnet_lite.transforms import Transformations

SETTINGS = {
    "cache": None,
    "progress": False,
    "dtype": "float32",
    "device": "cpu",
    "epochs": 4,
    "hidden": 32,
    "reference_images": 8,
}


@pytest.fixture(scope="module")
def parts():
    return [render("flange", np.random.default_rng(seed))[0] for seed in range(10)]


@pytest.fixture(scope="module")
def defective():
    return render("flange", np.random.default_rng(77), defect="stain")


@pytest.fixture(scope="module")
def model(parts):
    return DifferNet(transformations=Transformations.grid(4), **SETTINGS).fit(parts)


@pytest.fixture
def explorer(model, parts, defective):
    image, mask = defective
    return LocalizationExplorer(
        model, [image, parts[0]], titles=["stain", "good"], masks=[mask, None]
    )


def cells(values: np.ndarray) -> np.ndarray:
    side = values.shape[0] // CELLS
    return values.reshape(CELLS, side, CELLS, side).mean((1, 3))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Up to a few per cent of the largest value, as the explorer works at 112 px."""
    return np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995 and abs(a.max() / b.max() - 1) < 0.08


@pytest.mark.parametrize("method", ["attribution", "deviation", "gradient"])
@pytest.mark.parametrize("n", [1, 4])
def test_maps_are_those_of_the_package(explorer, model, defective, method, n):
    for blur in (BLURS[method], 10.0):
        theirs = model.anomaly_maps([defective[0]], method=method, n_angles=n, sigma=blur)[0]
        assert same(explorer.map(0, n_angles=n, blur=blur, method=method), cells(theirs))


def test_distance_maps_have_the_models_levels(explorer, model, defective):
    assert explorer.method_buttons.value == model.localizer.methods[0] == "distance"
    whole = model.anomaly_maps([defective[0]])[0]
    side = whole.shape[0] // CELLS
    largest = whole.reshape(CELLS, side, CELLS, side).max((1, 3))
    np.testing.assert_allclose(explorer.map(0), largest, rtol=1e-6)
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


def test_score_is_the_models(explorer, model, defective):
    assert explorer.score(0) == pytest.approx(
        float(model.anomaly_scores([defective[0]])[0]), rel=1e-4
    )


@pytest.mark.parametrize("reference_images", [0, 4])
def test_score_heeds_the_log_determinant(parts, reference_images):
    options = SETTINGS | {"epochs": 1, "reference_images": reference_images}
    model = DifferNet(transformations=Transformations.grid(2), use_log_det=True, **options)
    model.fit(parts)
    explorer = LocalizationExplorer(model, parts[:1])
    assert explorer.score(0) == pytest.approx(float(model.anomaly_scores(parts[:1])[0]), rel=1e-4)


@pytest.fixture
def scaled(explorer):
    """With a map that has no level."""
    explorer.method_buttons.value = "attribution"
    return explorer


def test_every_control_changes_the_drawing(explorer):
    heat = explorer.figure.data[1]

    def state():
        photograph, _, _, outline = explorer.figure.data
        colours = explorer.figure.layout.coloraxis
        return (
            photograph.source,
            np.array(heat.z).tobytes(),
            np.array(outline.z).tobytes(),
            explorer.label.value,
            colours.cmin,
            colours.cmax,
        )

    seen = [state()]
    for control, value in (
        (explorer.alpha_slider, 0.2),
        (explorer.method_buttons, "attribution"),
        (explorer.angles_slider, 1),
        (explorer.blur_slider, 16),
        (explorer.top_slider, 40),
        (explorer.scale_buttons, False),
        (explorer.image_slider, 1),
        (explorer.method_buttons, "gradient"),
    ):
        control.value = value
        assert state() not in seen, control.description
        seen.append(state())
    assert not explorer.figure.data[2].visible
    assert "gradient map of 1 rotation" in explorer.label.value and "good" in explorer.label.value


def test_changing_the_method_takes_its_own_blur(explorer):
    explorer.method_buttons.value = "gradient"
    assert explorer.blur_slider.value == BLURS["gradient"]
    assert "blur 3 px" in explorer.label.value


def test_one_scale_for_all_reaches_the_largest_map_and_own_scale_each_its_own(scaled):
    explorer = scaled

    def end() -> float:
        return explorer.figure.layout.coloraxis.cmax

    largest = max(explorer.map(i, method="attribution").max() for i in (0, 1))
    assert end() == pytest.approx(largest)
    explorer.image_slider.value = 1
    common = end()
    explorer.scale_buttons.value = False
    own = float(explorer.map(1, method="attribution").max())
    assert end() == pytest.approx(own) and end() < common
    assert explorer.top_slider.disabled


def test_precomputed_states_answer_at_once(scaled):
    explorer = scaled
    slowest = 0.0
    for control, value in (
        (explorer.angles_slider, 1),
        (explorer.blur_slider, 12),
        (explorer.image_slider, 1),
        (explorer.angles_slider, 4),
    ):
        start = time.process_time()
        control.value = value
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 0.2


def test_it_says_that_it_is_computing(explorer):
    said = []
    explorer.label.observe(lambda change: said.append(change["new"]), names="value")
    explorer.method_buttons.value = "gradient"
    assert any("computing" in text for text in said) and "computing" not in said[-1]
    said.clear()
    explorer.angles_slider.value = 1
    explorer.angles_slider.value = 4  # kept by now
    assert not any("computing" in text for text in said[1:])


def test_without_any_anomalous_image_titles_or_masks(model, parts):
    explorer = LocalizationExplorer(model, parts[:2])
    assert "image 0" in explorer.label.value
    assert not np.asarray(explorer.figure.data[3].z).any()


def test_titles_may_repeat_and_hold_markup(model, parts):
    explorer = LocalizationExplorer(model, parts[:2], titles=["<i>part</i>", "<i>part</i>"])
    assert [name for name, _ in explorer.image_slider.options] == [
        "<i>part</i> (0)",
        "<i>part</i> (1)",
    ]
    assert "&lt;i&gt;" in explorer.label.value


def test_without_reference_maps_it_has_gradient_maps(parts):
    plain = DifferNet(
        transformations=Transformations.none(), **(SETTINGS | {"reference_images": 0})
    ).fit(parts)
    explorer = LocalizationExplorer(plain, parts[:1])
    assert explorer.method_buttons.options == ("gradient",)
    assert explorer.figure.data[1].z.shape == (CELLS, CELLS)


def test_the_model_is_left_as_it_was(model, parts):
    before = {name: value.clone() for name, value in model.flows_[0].state_dict().items()}
    LocalizationExplorer(model, parts[:1]).method_buttons.value = "gradient"
    assert all(value.equal(before[name]) for name, value in model.flows_[0].state_dict().items())
    assert all(p.grad is None for p in model.flows_[0].parameters())


def test_errors_say_what_was_expected(model, parts):
    with pytest.raises(NotFittedError, match="fit"):
        LocalizationExplorer(DifferNet(**SETTINGS), parts[:1])
    with pytest.raises(ValueError, match="at least one image"):
        LocalizationExplorer(model, [])
    with pytest.raises(ValueError, match="as many titles"):
        LocalizationExplorer(model, parts[:2], titles=["one"])
    with pytest.raises(ValueError, match=r"masks: expected masks \(H, W\)"):
        LocalizationExplorer(model, parts[:1], masks=[np.zeros(3)])


def test_controls_stand_beside_the_picture(explorer):
    left, right = explorer.children
    assert right.children == (explorer.figure,)
    assert left.children[0] is explorer.image_slider and left.children[-1] is explorer.label
    assert explorer.figure.layout.width + COLUMN <= 830 and explorer.figure.layout.height < 560


def test_its_text_is_one_line(explorer):
    assert repr(explorer) == "LocalizationExplorer of 2 images: run this cell to move its controls"
