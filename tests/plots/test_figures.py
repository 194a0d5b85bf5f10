"""Figures without maps: what holds for each of them, and the numbers that they show."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from differnet_course import plots
from differnet_course.metrics import auroc
from differnet_lite.maps import MapLevels
from differnet_lite.thresholds import Threshold

SCORES = np.array([5.0, 1.0, 1.2, 9.0, 0.9])
KINDS = ["scratch", "good", "good", "crack", "good"]
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
FIGURES = {
    "scores": lambda: plots.plot_scores(SCORES, KINDS, threshold=1.1),
    "views": lambda: plots.plot_views(np.ones((2, 3)), ["good", "dent"]),
    "groups": lambda: plots.plot_groups([1, 2], [3, 4], "ab", x_title="x", y_title="y", order="ab"),
    "roc": lambda: plots.plot_roc([0, 0, 1, 1], [1, 3, 2, 4]),
    "map": lambda: plots.plot_map(PHOTOGRAPH, np.eye(8), levels=MapLevels(0.1, 0.5, 0.05)),
    "gallery": lambda: plots.plot_gallery([PHOTOGRAPH], [np.eye(8)], titles=["a"]),
    "curves": lambda: plots.plot_curves([0, 1], {"a": [0, 1]}, x_title="x", y_title="y"),
    "calibration": lambda: plots.plot_calibration([0.1, 0.5]),
}


def named(figure: go.Figure, name: str):
    return next(trace for trace in figure.data if str(trace.name).startswith(name))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_white_with_dark_text_and_labelled_axes(name):
    figure = FIGURES[name]()
    layout = figure.layout.template.layout
    assert (layout.paper_bgcolor, layout.plot_bgcolor) == ("white", "white")
    assert layout.font.color == "#222222"
    if name not in ("map", "gallery"):
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text
    assert "http" not in figure.to_json()
    assert FIGURES[name]().to_json() == figure.to_json()


def test_the_line_of_the_threshold_and_the_counts_of_what_reaches_it():
    for threshold in (1.2, Threshold(1.2, 0.05, 19, "conformal", 0.05)):
        figure = plots.plot_scores(SCORES, KINDS, threshold=threshold)
        assert list(named(figure, "threshold").x) == [1.2, 1.2]
        ticks = figure.layout.yaxis.ticktext
        assert [tick.split("<br>")[0] for tick in ticks] == ["good", "crack", "scratch"]
        assert "n = 3, 1 flagged" in ticks[0]  # 1.2 >= 1.2
    with pytest.raises(ValueError, match="log=False"):
        plots.plot_scores([1.0, -1.0], ["good"] * 2)


def test_hover_texts_are_literal_and_belong_to_their_scores():
    names = ["</script><i>\udcff.png", *(f"{i}.png" for i in range(4))]
    figure = plots.plot_scores(SCORES, ["<b>&", *KINDS[1:]], names=names)
    marks = [trace for trace in figure.data if trace.type == "scatter"]
    shown = {text: x for mark in marks for text, x in zip(mark.text, mark.x, strict=True)}
    literal = ["&lt;/script&gt;&lt;i&gt;?.png", *names[1:]]
    assert shown == dict(zip(literal, SCORES, strict=True))
    assert "&lt;b&gt;&amp;" in {mark.name for mark in marks}


def test_a_roc_has_its_ends_and_its_area():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 400)
    scores = y + generator.normal(size=400)
    curve = named(plots.plot_roc(y, scores, n_resamples=20), "ROC")
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert curve.text[0] == "above every score"
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(auroc(y, scores))


def test_the_band_of_a_roc_is_of_the_resamples_alone():
    # one resample: the band is its curve, from end to end, and not that of all images
    y = np.repeat([0, 1], 4)
    scores = np.array([1.0, 4, 5, 8, 2, 3, 6, 7])
    figure = plots.plot_roc(y, scores, n_resamples=1)
    upper, lower = np.split(np.asarray(figure.data[0].y), 2)
    np.testing.assert_array_equal(upper, lower[::-1])
    curve = named(figure, "ROC")
    assert np.abs(upper - np.interp(np.linspace(0, 1, 101), curve.x, curve.y)).max() > 0.2


def test_calibration_curve_is_the_share_of_p_values_at_most_alpha():
    curve = named(plots.plot_calibration([0.05, 0.05, 0.2, 0.9]), "obtained")
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.0], at[0.05], at[0.2], at[0.9], at[1.0]) == (0, 0.5, 0.75, 1, 1)


def test_curves_with_bars_a_line_a_level_and_options_of_the_axes():
    titles = {"x_title": "x", "y_title": "y", "x_type": "log"}
    curves = {"a": [3, 4], "b": [4, 5]}
    bands = {"a": ([2, 3], [4, 6])}
    figure = plots.plot_curves(
        [1, 2], curves, bands=bands, line=("limit", 0.5), level=3.5, **titles
    )
    first, second, limit = figure.data
    assert first.error_y.array.tolist() == [1, 2] and first.error_y.arrayminus.tolist() == [1, 1]
    assert second.error_y.array is None
    assert len({(curve.line.color, curve.line.dash) for curve in figure.data}) == 3
    assert limit.y == (0.5, 0.5) and figure.layout.xaxis.type == "log"
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 3.5


def test_a_single_curve_needs_no_legend_and_small_positions_are_kept():
    x = np.arange(1, 101) / 300_000
    figure = plots.plot_curves(x, {"a": x}, x_title="x", y_title="y", log=True)
    assert not figure.layout.showlegend and figure.layout.yaxis.type == "log"
    np.testing.assert_allclose(figure.data[0].x, x, rtol=2e-2)


def test_histograms_and_shifts_hold_what_they_are_given():
    rates = {"full": np.array([0.01, 0.02])}
    histogram = plots.plot_rate_histograms(rates, 0.05, law=(19, 19), largest=0.2)
    assert [trace.name for trace in histogram.data] == ["full", "Beta(1, 19)"]
    assert sum(histogram.data[0].y) == pytest.approx(1)
    shifts = plots.plot_shifts({"dsebm": -0.2, "1-nn": 1.5}, title="t")
    marks = [(trace.name, *trace.x) for trace in shifts.data if trace.mode == "markers"]
    assert marks == [("DSEBM", -0.2), ("1-NN", 1.5)]


def test_views_stand_by_kind_in_order_of_medians_from_the_lowest_to_the_highest():
    scores = np.array([[3.0, 5, 6], [2, 2, 2], [1, 1, 4]])
    good, dent = plots.plot_views(scores, ["dent", "good", "good"], title="t").data
    assert (good.name, list(good.y), list(dent.y)) == ("good", [1, 2], [5])
    assert list(good.error_y.array) == [3, 0] and list(good.error_y.arrayminus) == [0, 0]
    assert list(dent.error_y.arrayminus) == [2] and max(good.x) < min(dent.x)


def test_groups_keep_their_order_their_points_and_their_names():
    titles = {"x_title": "x", "y_title": "y", "log": True, "order": ["<old>", "none", "new"]}
    figure = plots.plot_groups([1, 2, 3], [4, 5, 6], ["new", "<old>", "new"], **titles)
    assert [(t.name, list(t.x), list(t.text)) for t in figure.data] == [
        ("&lt;old&gt;", [2], ["image 1"]),
        ("new", [1, 3], ["image 0", "image 2"]),
    ]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert [t.marker.symbol for t in figure.data] == ["circle", "square"]


def test_images_and_feature_maps_are_small_and_hold_what_they_were_given():
    figure = plots.plot_images({"one": PHOTOGRAPH, "two": Image.fromarray(PHOTOGRAPH)})
    assert [a.text for a in figure.layout.annotations] == ["one", "two"]
    assert len(figure.to_json()) < 90_000
    rows = {"448 px": [("photograph", PHOTOGRAPH), ("map", np.eye(3)), ("twice", 2 * np.eye(3))]}
    _, one, two = plots.plot_feature_maps(rows).data
    assert np.array_equal(one.z, np.eye(3)) and one.zmax == two.zmax == 2
