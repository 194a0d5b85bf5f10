"""Maps and galleries: where things lie, which scale they share, and how large the figures are."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from differnet_course import plots
from differnet_lite.maps import MapLevels
from differnet_lite.overlay import MARKED

LEVELS = MapLevels(usual=1.0, level=2.0, alpha=0.05)


def image(seed: int = 0, shape: tuple[int, int] = (448, 448)) -> np.ndarray:
    """A smooth random image."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))


def traces(figure: go.Figure, kind: str) -> list:
    return [trace for trace in figure.data if trace.type == kind]


def jpeg(trace: go.Image) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(trace.source.split(",", 1)[1])))


def test_a_shrunk_picture_and_its_map_keep_the_pixels_of_the_original():
    figure = plots.plot_map(image(shape=(300, 900)), np.zeros((448, 448)), levels=LEVELS)
    picture, heat = traces(figure, "image")[0], traces(figure, "heatmap")[0]
    width, height = jpeg(picture).size
    assert (width, height) == (448, 149)
    for trace, columns, rows in ((picture, width, height), (heat, 56, 56)):
        assert trace.x0 - trace.dx / 2 == pytest.approx(-0.5)
        assert trace.dx * columns == pytest.approx(900)
        assert trace.dy * rows == pytest.approx(300)
    assert tuple(figure.layout.yaxis.range) == (599.5, -300.5)  # rows grow downwards


def test_a_single_pixel_at_the_level_is_marked_where_it_is():
    values = np.zeros((448, 448))
    values[83, 166] = 2.0
    heat, line = plots.plot_map(image(), values, levels=LEVELS).data[1:]
    assert np.argwhere(np.asarray(heat.z) >= MARKED).tolist() == [[10, 20]]
    assert line.contours.start == line.contours.end == MARKED
    assert np.array_equal(line.z, heat.z)


def test_a_gallery_has_one_scale_and_shows_its_values():
    maps = [np.full((64, 64), 0.1), np.eye(48) * 5, np.eye(64) - 1]
    images = [image(i) for i in range(3)]
    figure = plots.plot_gallery(images, maps, titles=list("abc"), columns=2, scale=(-1, 5))
    heats = traces(figure, "heatmap")
    assert [heat.coloraxis for heat in heats] == ["coloraxis"] * 3
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1, 5)
    assert len(traces(figure, "image")) == 6
    np.testing.assert_allclose(heats[1].z, maps[1])


def test_gallery_cells_do_not_overlap():
    figure = plots.plot_gallery([image()] * 5, [np.eye(8)] * 5, titles=list("abcde"), columns=3)
    boxes = []
    for i in range(1, 11):
        x, y = figure.layout[f"xaxis{i}"].domain, figure.layout[f"yaxis{i}"].domain
        assert 0 <= x[0] < x[1] <= 1 and 0 <= y[0] < y[1] <= 1
        boxes.append((*x, *y))
    for a, b in itertools.combinations(boxes, 2):
        assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]


def test_mask_outline_encloses_the_defect():
    mask = np.zeros((448, 448), dtype=bool)
    mask[100:140, 200:300] = True
    options = {"titles": ["good", "cut"], "masks": [None, mask]}
    figure = plots.plot_gallery([image()] * 2, [np.eye(8)] * 2, **options)
    (line,) = traces(figure, "contour")
    rows, columns = np.nonzero(np.asarray(line.z) >= line.contours.start)
    edges = np.array([-0.5, 0.5])
    down = line.y0 + line.dy * ([rows.min(), rows.max()] + edges)
    across = line.x0 + line.dx * ([columns.min(), columns.max()] + edges)
    np.testing.assert_allclose([*down, *across], [99.5, 139.5, 199.5, 299.5])
    assert line.xaxis == "x4"  # the overlaid image, not the plain one


def test_gallery_titles_are_escaped_and_shortened_and_as_many_as_images():
    title = "<b>" + "x" * 50 + ".png\nscore 1"
    shown = plots.plot_gallery([image()], [np.eye(8)], titles=[title]).layout.annotations[0].text
    assert shown.startswith("&lt;b&gt;") and "…" in shown
    assert shown.endswith(".png<br>score 1")
    with pytest.raises(ValueError, match="shorter"):
        plots.plot_gallery([image()] * 2, [np.eye(8)] * 2, titles=["a"])


def test_methods_stand_side_by_side_each_against_its_own_level():
    mask = np.eye(448, dtype=bool)
    own = {"one": ([np.eye(8)], LEVELS), "two": ([8 * np.eye(8)], LEVELS)}
    figure = plots.plot_methods([image()], own, titles=["part"], masks=[mask])
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert texts == ["part", "one: 0.5 x level", "two: 4.0 x level"]
    domains = [figure.layout[f"xaxis{k}"].domain for k in (1, 2, 3)]
    assert domains[0][1] < domains[1][0] < domains[1][1] < domains[2][0]


def test_figures_stay_small():
    generator = np.random.default_rng(0)
    # the worst case for JPEG
    noise = [generator.integers(0, 255, (900, 900, 3), dtype=np.uint8) for _ in range(8)]
    maps = [generator.random((448, 448)) for _ in range(8)]
    gallery = plots.plot_gallery(noise, maps, titles=["x"] * 8)
    assert len(gallery.to_json()) < 400_000
    assert len(plots.plot_map(noise[0], maps[0], levels=LEVELS).to_json()) < 130_000
