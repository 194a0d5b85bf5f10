"""What the figures say: positions, scales, hover texts, sizes and errors. No browser is needed."""

from __future__ import annotations

import base64
import io

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from differnet_lite.plots import scores as plots
from differnet_lite.calibration.thresholding import Threshold


def image(seed: int = 0, shape: tuple[int, int] = (448, 448)) -> np.ndarray:
    """A smooth random image."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))


def latents(n: int = 100, d: int = 80) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d))


def traces(figure: go.Figure, kind: str) -> list:
    return [trace for trace in figure.data if trace.type == kind]


def named(figure: go.Figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def jpeg(trace: go.Image) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(trace.source.split(",", 1)[1])))


# --- scores ---------------------------------------------------------------------------------------

SCORES = np.array([5.0, 1.0, 1.2, 9.0, 0.9])
KINDS = ["scratch", "good", "good", "crack", "good"]


@pytest.mark.parametrize("log", [True, False])
def test_threshold_line_sits_at_theta(log):
    rule = Threshold(1.1, 0.05, 19, "conformal", 0.05)
    for theta in (1.1, rule):
        line = named(plots.plot_scores(SCORES, KINDS, threshold=theta, log=log), "threshold")
        assert list(line.x) == [1.1, 1.1]


def test_good_comes_first_and_flagged_counts_include_equality():
    ticks = plots.plot_scores(SCORES, KINDS, threshold=1.2).layout.yaxis.ticktext
    assert [tick.split("<br>")[0] for tick in ticks] == ["good", "scratch", "crack"]
    assert "n = 3, 1 flagged" in ticks[0]  # 1.2 >= 1.2


def test_hover_names_belong_to_their_scores():
    names = [f"{kind}/{i}.png" for i, kind in enumerate(KINDS)]
    figure = plots.plot_scores(SCORES, KINDS, names=names)
    shown = {
        text: x
        for trace in traces(figure, "scatter")
        for text, x in zip(trace.text, trace.x, strict=True)
    }
    assert shown == dict(zip(names, SCORES, strict=True))


def test_scores_in_a_given_order():
    rows = {}
    for order in (None, ["b", "a", "good", "none of these"]):
        figure = plots.plot_scores([1.0, 2.0, 3.0], ["good", "a", "b"], order=order)
        rows[order is None] = [tick.split("<br>")[0] for tick in figure.layout.yaxis.ticktext]
    assert rows == {True: ["good", "a", "b"], False: ["b", "a", "good"]}
    with pytest.raises(ValueError, match="missing"):
        plots.plot_scores([1.0, 2.0], ["good", "a"], order=["good"])


def test_scores_are_drawn_without_chance_and_leave_the_global_generator_alone():
    state = np.random.get_state()[1].copy()
    assert plots.plot_scores(SCORES, KINDS).to_json() == plots.plot_scores(SCORES, KINDS).to_json()
    assert (np.random.get_state()[1] == state).all()


def test_markup_in_names_is_shown_literally():
    figure = plots.plot_scores([1.0], ["<b>&"], names=["</script><i>\udcff.png"])
    marker = next(trace for trace in traces(figure, "scatter") if trace.mode == "markers")
    assert marker.text[0] == "&lt;/script&gt;&lt;i&gt;?.png"
    assert marker.name == "&lt;b&gt;&amp;"
    figure.to_json()


def test_kinds_differ_in_colour_or_shape():
    kinds = [f"kind {i}" for i in range(20)]
    markers = [t.marker for t in traces(plots.plot_scores(np.arange(1.0, 21), kinds), "scatter")]
    assert len({(marker.color, marker.symbol) for marker in markers}) == 20


@pytest.mark.parametrize(
    ("scores", "kinds", "options", "message"),
    [
        ([1.0, 2.0], ["good"], {}, "got 1 kinds and 2 names"),
        ([[1.0]], ["good"], {}, r"got shape \(1, 1\)"),
        ([], [], {}, "at least one"),
        ([1.0, np.nan], ["good"] * 2, {}, "1 that are not, of 2"),
        ([1.0, -1.0], ["good"] * 2, {}, "log=False"),
        ([1.0, 2.0], ["good"] * 2, {"threshold": 0.0}, "log=False"),
        ([1.0, 2.0], ["good"] * 2, {"names": ["a"]}, "2 kinds and 1 names"),
    ],
)
def test_scores_errors(scores, kinds, options, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_scores(scores, kinds, **options)


def test_negative_scores_on_a_linear_axis():
    figure = plots.plot_scores([-1.0, 2.0], ["good", "good"], threshold=-0.5, log=False)
    assert figure.layout.xaxis.type != "log"


# --- ROC ------------------------------------------------------------------------------------------


def test_roc_of_a_perfect_score():
    figure = plots.plot_roc([0] * 10 + [1] * 10, range(20))
    curve = named(figure, "ROC")
    assert "AUROC 1.000 [1.000, 1.000]" in figure.layout.title.text
    assert (0.0, 1.0) in set(zip(curve.x, curve.y, strict=True))
    assert curve.text[0] == "above every score"


def test_roc_is_thinned_but_keeps_its_ends_and_its_area():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 4000)
    scores = y + generator.normal(size=4000)
    curve = named(plots.plot_roc(y, scores, n_resamples=20), "ROC")
    assert len(curve.x) <= 201
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(plots.auroc(y, scores), abs=2e-3)


def test_roc_band_contains_the_curve_and_repeats_with_its_seed():
    generator = np.random.default_rng(1)
    y = np.repeat([0, 1], 40)
    scores = y + generator.normal(size=80)
    figure = plots.plot_roc(y, scores, seed=3)
    x, band = (
        np.split(np.asarray(figure.data[0].x), 2)[0],
        np.split(np.asarray(figure.data[0].y), 2),
    )
    curve = named(figure, "ROC")
    middle = np.interp(x, curve.x, curve.y)
    assert ((band[1][::-1] <= middle + 0.03) & (middle <= band[0] + 0.03)).all()
    assert figure.to_json() == plots.plot_roc(y, scores, seed=3).to_json()


def test_roc_errors():
    with pytest.raises(ValueError, match="both present"):
        plots.plot_roc([0, 0], [1.0, 2.0])
    with pytest.raises(ValueError, match="n_resamples: expected at least 1, got 0"):
        plots.plot_roc([0, 1], [1.0, 2.0], n_resamples=0)


# --- maps -----------------------------------------------------------------------------------------


def test_map_lies_exactly_on_its_image():
    figure = plots.plot_map(image(), np.zeros((448, 448)))
    heat = traces(figure, "heatmap")[0]
    assert (heat.x0, heat.dx, heat.y0, heat.dy, np.shape(heat.z)) == (3.5, 8, 3.5, 8, (56, 56))
    assert tuple(figure.layout.yaxis.range) == (447.5, -0.5)  # rows grow downwards
    assert figure.layout.yaxis.scaleanchor == "x"


def test_a_shrunk_picture_keeps_the_pixels_of_the_original():
    figure = plots.plot_map(image(shape=(300, 900)), np.zeros((448, 448)))
    picture, heat = traces(figure, "image")[0], traces(figure, "heatmap")[0]
    width, height = jpeg(picture).size
    assert (width, height) == (448, 149)
    for trace, columns, rows in ((picture, width, height), (heat, 56, 56)):
        assert trace.x0 - trace.dx / 2 == pytest.approx(-0.5)
        assert trace.dx * columns == pytest.approx(900)
        assert trace.dy * rows == pytest.approx(300)


def test_a_hot_spot_is_drawn_where_it_is_with_its_value():
    values = np.zeros((448, 448))
    values[80:88, 160:168] = 7.25
    heat = traces(plots.plot_map(image(), values, scale=(0, 10)), "heatmap")[0]
    assert np.unravel_index(np.argmax(heat.z), (56, 56)) == (10, 20)
    assert np.max(heat.z) == 7.25
    assert heat.hovertemplate.count("%{z")


def test_map_scale_is_fixed_or_said_to_be_its_own():
    fixed = plots.plot_map(image(), np.eye(10), scale=(-1, 3)).layout.coloraxis
    own = plots.plot_map(image(), 2 * np.eye(10)).layout.coloraxis
    assert (fixed.cmin, fixed.cmax) == (-1, 3)
    assert (own.cmin, own.cmax) == (0, 2)
    assert "own scale" in own.colorbar.title.text
    assert "own scale" not in fixed.colorbar.title.text


def test_constant_map_and_pillow_image():
    axis = plots.plot_map(Image.fromarray(image()), np.zeros((20, 20))).layout.coloraxis
    assert axis.cmin < axis.cmax


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            np.zeros((1, 8, 8)),
            {},
            r"anomaly_map: expected an anomaly map \(H, W\), got shape \(1, 8, 8\)",
        ),
        (np.full((8, 8), np.inf), {}, "64 that are not, of 64"),
        (np.zeros((8, 8)), {"scale": (1, 1)}, "lo < hi"),
        (np.zeros((8, 8)), {"scale": (0, np.nan)}, "lo < hi"),
    ],
)
def test_map_errors(values, options, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_map(image(), values, **options)


def test_gallery_has_one_scale_and_one_colour_bar():
    maps = [np.full((64, 64), 0.1), np.eye(64) * 5, np.eye(64) - 1]
    figure = plots.plot_gallery(
        [image(i) for i in range(3)], maps, titles=["a", "b", "c"], columns=2
    )
    heats = traces(figure, "heatmap")
    assert {heat.coloraxis for heat in heats} == {"coloraxis"}
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1, 5)
    assert len(heats) == 3
    assert len(traces(figure, "image")) == 6


def test_gallery_cells_do_not_overlap():
    figure = plots.plot_gallery([image()] * 5, [np.eye(8)] * 5, titles=list("abcde"), columns=3)
    boxes = []
    for i in range(1, 11):
        x, y = figure.layout[f"xaxis{i}"].domain, figure.layout[f"yaxis{i}"].domain
        assert 0 <= x[0] < x[1] <= 1
        assert 0 <= y[0] < y[1] <= 1
        boxes.append((*x, *y))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]


def test_mask_outline_encloses_the_defect():
    mask = np.zeros((448, 448), dtype=bool)
    mask[100:140, 200:300] = True
    figure = plots.plot_gallery(
        [image()] * 2, [np.eye(8)] * 2, titles=["good", "cut"], masks=[None, mask]
    )
    (line,) = traces(figure, "contour")
    rows, columns = np.nonzero(np.asarray(line.z) >= line.contours.start)
    assert line.y0 + line.dy * (rows.min() - 0.5) == pytest.approx(99.5)
    assert line.y0 + line.dy * (rows.max() + 0.5) == pytest.approx(139.5)
    assert line.x0 + line.dx * (columns.min() - 0.5) == pytest.approx(199.5)
    assert line.x0 + line.dx * (columns.max() + 0.5) == pytest.approx(299.5)
    assert line.xaxis == "x4"  # the overlaid image, not the plain one


@pytest.mark.parametrize("fill", [False, True])
def test_masks_of_nothing_and_of_everything(fill):
    figure = plots.plot_gallery(
        [image()], [np.eye(8)], titles=["a"], masks=[np.full((448, 448), fill)]
    )
    assert np.asarray(traces(figure, "contour")[0].z).any() == fill


def test_gallery_titles_are_escaped_and_shortened():
    title = "<b>" + "x" * 50 + ".png\nscore 1"
    shown = plots.plot_gallery([image()], [np.eye(8)], titles=[title]).layout.annotations[0].text
    assert shown.startswith("&lt;b&gt;")
    assert "…" in shown
    assert shown.endswith(".png<br>score 1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titles": ["a"]}, r"got \[2, 2, 1, 2\]"),
        ({"images": []}, "at least one"),
        ({"columns": 0}, "columns >= 1"),
        ({"maps": [np.eye(8), np.zeros(8)]}, r"maps\[1\]"),
        ({"masks": [None, np.zeros(8)]}, r"masks\[1\]"),
    ],
)
def test_gallery_errors(change, message):
    arguments = {"images": [image()] * 2, "maps": [np.eye(8)] * 2, "titles": ["a", "b"]} | change
    with pytest.raises(ValueError, match=message):
        plots.plot_gallery(arguments.pop("images"), arguments.pop("maps"), **arguments)


def test_figures_stay_small():
    generator = np.random.default_rng(0)
    noise = [
        generator.integers(0, 255, (900, 900, 3), dtype=np.uint8) for _ in range(8)
    ]  # the worst case for JPEG
    maps = [generator.random((448, 448)) for _ in range(8)]
    mask = np.zeros((900, 900), dtype=bool)
    mask[300:600, 300:600] = True
    assert (
        len(plots.plot_gallery(noise, maps, titles=["x"] * 8, masks=[mask] * 8).to_json()) < 400_000
    )
    assert len(plots.plot_map(noise[0], maps[0]).to_json()) < 120_000
    assert (
        max(
            jpeg(t).width
            for t in traces(plots.plot_gallery(noise[:1], maps[:1], titles=["x"]), "image")
        )
        <= 224
    )


# --- training and latents -------------------------------------------------------------------------


def test_history_skips_what_was_not_measured():
    figure = plots.plot_history(
        {"epoch": [1, 2, 3], "train": [1.0, 0.5, -0.25], "held_out": [None, 0.75, float("nan")]}
    )
    train, held_out = figure.data
    assert list(train.y) == [1, 0.5, -0.25]
    assert (list(held_out.x), list(held_out.y)) == ([2], [0.75])
    assert "\N{MINUS SIGN}0.250" in train.name
    assert train.line.dash != held_out.line.dash
    assert "nats per dimension" in figure.layout.yaxis.title.text


def test_history_without_held_out_images():
    for history in ({"epoch": [1], "train": [1.0]}, {"epoch": [1], "train": [1.0], "held_out": []}):
        assert len(plots.plot_history(history).data) == 1


@pytest.mark.parametrize(
    "history", [{}, {"epoch": [1]}, {"epoch": [1, 2], "train": [1.0]}, {"train": [1.0]}]
)
def test_history_errors(history):
    with pytest.raises(ValueError, match="of one length"):
        plots.plot_history(history)


def test_qq_of_normals_lies_on_the_diagonal():
    curve = plots.plot_qq(latents(2000, 50)).data[0]
    inner = np.abs(curve.x) < 3
    assert np.abs(np.asarray(curve.y) - curve.x)[inner].max() < 0.1
    assert len(curve.x) <= 201
    assert max(curve.x) > 4  # the tails are shown


def test_qq_of_scaled_latents_has_their_slope():
    curve = plots.plot_qq(3 * latents(1000)).data[0]
    assert np.polyfit(curve.x, curve.y, 1)[0] == pytest.approx(3, rel=0.05)


def test_qq_of_single_dimensions():
    z = latents()
    z[:, 7] += 10
    figure = plots.plot_qq(z, dimensions=[7, 0])
    assert np.mean(named(figure, "dimension 7").y) == pytest.approx(10, abs=0.5)
    assert np.mean(named(figure, "dimension 0").y) == pytest.approx(0, abs=0.5)


def test_variances_are_sorted_with_the_line_at_one():
    z = latents(500, 30) * np.linspace(0.5, 2, 30)
    figure = plots.plot_variances(z)
    np.testing.assert_allclose(
        named(figure, "measured").y, np.sort(z.var(axis=0, ddof=1))[::-1], rtol=1e-6
    )
    assert list(named(figure, "variance 1").y) == [1, 1]


def test_expected_variances_match_standard_normals():
    z = np.random.default_rng(3).normal(size=(20, 4000))
    figure = plots.plot_variances(z)
    expected, measured = (
        named(figure, "standard normal, N = 20"),
        np.asarray(named(figure, "measured").y),
    )
    inner = slice(10, -10)
    np.testing.assert_allclose(
        np.asarray(expected.y)[inner], measured[np.asarray(expected.x) - 1][inner], rtol=0.06
    )


def test_constant_dimensions_are_counted_not_drawn():
    z = latents(50, 10)
    z[:, :3] = 0
    figure = plots.plot_variances(z)
    assert "3 of variance 0" in figure.layout.title.text
    assert len(named(figure, "measured").y) == 7
    correlation = np.asarray(plots.plot_covariance(z).data[0].z)
    assert np.isnan(correlation[:3]).all()
    with pytest.raises(ValueError, match="latents that vary"):
        plots.plot_variances(np.zeros((5, 4)))


def test_correlation_is_that_of_numpy_on_a_scale_centred_at_zero():
    z = latents(200, 80)
    z[:, 1] = z[:, 0] + 0.5 * z[:, 1]
    heat = plots.plot_covariance(z, n=16).data[0]
    expected = np.corrcoef(z[:, :16], rowvar=False)
    off = ~np.eye(16, dtype=bool)
    np.testing.assert_allclose(np.asarray(heat.z)[off], expected[off], atol=6e-4)
    assert np.isnan(np.diag(heat.z)).all()
    assert heat.zmin == -heat.zmax
    assert heat.zmax >= np.abs(expected[off]).max()


@pytest.mark.parametrize("draw", [plots.plot_qq, plots.plot_variances, plots.plot_covariance])
@pytest.mark.parametrize(
    "z", [np.zeros(5), np.zeros((1, 5)), np.zeros((2, 3, 4)), np.full((4, 4), np.nan)]
)
def test_latents_errors(draw, z):
    with pytest.raises(ValueError, match=r"^z: expected"):
        draw(z)


def test_dimension_errors():
    with pytest.raises(ValueError, match=r"0\.\.79, got \[80\]"):
        plots.plot_qq(latents(), dimensions=[80])
    with pytest.raises(ValueError, match="n <= 128"):
        plots.plot_covariance(latents(), n=1)


# --- calibration ----------------------------------------------------------------------------------


def test_calibration_curve_is_the_share_of_p_values_at_most_alpha():
    p = np.array([0.05, 0.05, 0.2, 0.9])
    curve = named(plots.plot_calibration(p), "obtained")
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.0], at[0.05], at[0.2], at[0.9], at[1.0]) == (0, 0.5, 0.75, 1, 1)
    assert curve.line.shape == "hv"


def test_calibration_of_many_is_thinned():
    curve = named(plots.plot_calibration(np.random.default_rng(0).random(5000)), "obtained")
    assert len(curve.x) <= 201
    assert np.abs(np.asarray(curve.x) - curve.y).max() < 0.03


def test_calibration_errors():
    with pytest.raises(ValueError, match=r"\[0, 1\], got -0.1..0.5"):
        plots.plot_calibration([-0.1, 0.5])
    with pytest.raises(ValueError, match="at least one"):
        plots.plot_calibration([])


# --- all ------------------------------------------------------------------------------------------

FIGURES = {
    "scores": lambda: plots.plot_scores(SCORES, KINDS, threshold=1.1),
    "roc": lambda: plots.plot_roc([0, 0, 1, 1], [1, 3, 2, 4]),
    "map": lambda: plots.plot_map(image(), np.eye(8)),
    "gallery": lambda: plots.plot_gallery([image()], [np.eye(8)], titles=["a"]),
    "history": lambda: plots.plot_history({"epoch": [1, 2], "train": [1.0, 0.5]}),
    "qq": lambda: plots.plot_qq(latents()),
    "variances": lambda: plots.plot_variances(latents()),
    "covariance": lambda: plots.plot_covariance(latents()),
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
