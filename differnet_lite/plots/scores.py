"""Figures: each function takes arrays and returns a `plotly.graph_objects.Figure`.

Nothing here computes a score, and nothing is saved: `figure.show()`, `figure.write_image(path)` or
`report.write_report` is the caller's business. All figures are white with dark text, so that they
read the same in a light and a dark notebook; classes differ in colour and in marker or dash.

Axes: N images, D features, H, W.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from PIL import Image
from scipy.stats import binom, chi2, norm
from sklearn.metrics import roc_curve

from differnet_lite.calibration.thresholding import Threshold
from differnet_lite.data.images import ImageLike, as_rgb
from differnet_lite.evaluation.metrics import auroc, bootstrap

__all__ = [
    "TEMPLATE",
    "plot_calibration",
    "plot_covariance",
    "plot_gallery",
    "plot_history",
    "plot_map",
    "plot_qq",
    "plot_roc",
    "plot_scores",
    "plot_variances",
]

# Okabe and Ito, "Color Universal Design", 2008; its black is kept for thresholds and text,
# and its yellow left out, which white paper swallows
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
)
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
SYMBOLS = (
    "circle",
    "diamond",
    "square",
    "triangle-up",
    "cross",
    "x",
    "star",
    "triangle-down",
    "pentagon",
    "hexagon",
    "bowtie",
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
DARK, GREY = "#222222", "#767676"
MAP_CELLS, MASK_CELLS = (
    56,
    112,
)  # longest side of a map and of a mask in the figure: kilobytes, not megabytes
GALLERY_CELLS, GALLERY_BYTES, MAP_BYTES = 48, 12_000, 60_000  # of one map, of one JPEG
MAX_POINTS = 200
SQUARE = {"width": 490, "height": 500}

_AXIS = {
    "showgrid": True,
    "gridcolor": "#E6E6E6",
    "zeroline": False,
    "showline": True,
    "linecolor": GREY,
    "ticks": "outside",
    "tickcolor": GREY,
    "ticklen": 4,
    "automargin": True,
    "title": {"standoff": 10, "font": {"size": 13}},
}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "Arial, Helvetica, sans-serif", "size": 13, "color": DARK},
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14},
            "font": {"size": 15},
        },
        "margin": {"l": 70, "r": 24, "t": 64, "b": 56},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {
            "bgcolor": "white",
            "bordercolor": GREY,
            "font": {"color": DARK, "size": 12},
            "align": "left",
        },
        "legend": {
            "bgcolor": "rgba(255,255,255,0.85)",
            "bordercolor": "#D0D0D0",
            "borderwidth": 1,
            "font": {"size": 12},
        },
        "modebar": {"bgcolor": "rgba(255,255,255,0.8)", "color": GREY, "activecolor": DARK},
        "hovermode": "closest",
        "height": 400,
    }
)


def plot_scores(
    scores: ArrayLike,
    kinds: Sequence[str],
    *,
    threshold: float | Threshold | None = None,
    log: bool = True,
    names: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
) -> go.Figure:
    """Anomaly scores by kind of image: one marker for each image, a box for each kind, theta as a line.

    Args:
        scores: (N,).
        kinds: N kinds such as "good" or "scratch".
        threshold: theta; an image is flagged if score >= theta.
        log: a logarithmic axis, as anomalies may score orders of magnitude above normals.
        names: N names of images for the hover text; None numbers them.
        order: the kinds from top to bottom; None puts "good" first, and the others in order of their median.

    Raises:
        ValueError: lengths differ, scores are not finite, or not positive on a logarithmic axis, or `order` lacks a kind.
    """
    s = _vector("scores", scores)
    names = [f"image {i}" for i in range(len(s))] if names is None else list(names)
    if len(kinds) != len(s) or len(names) != len(s):
        raise ValueError(
            f"expected one kind and one name for each of {len(s)} scores, got {len(kinds)} kinds and {len(names)} names"
        )
    theta = threshold.value if isinstance(threshold, Threshold) else threshold
    if log and min(s.min(), s.min() if theta is None else theta) <= 0:
        raise ValueError(
            "a logarithmic axis needs positive scores and threshold, got some <= 0; pass log=False"
        )

    kind_of = np.array([str(kind) for kind in kinds])
    if order is None:
        order = sorted(
            set(kind_of), key=lambda kind: (kind != "good", np.median(s[kind_of == kind]), kind)
        )
    elif missing := set(kind_of) - set(order):
        raise ValueError(f"order: expected every kind, {sorted(missing)} is missing")
    order = [kind for kind in order if kind in kind_of]
    figure, ticks = go.Figure(), []
    for row, kind in enumerate(order):
        chosen = np.flatnonzero(kind_of == kind)
        chosen = chosen[np.argsort(s[chosen], kind="stable")]
        x = s[chosen]
        colour, symbol = COLOURS[row % len(COLOURS)], SYMBOLS[row % len(SYMBOLS)]
        q1, median, q3 = np.quantile(x, [0.25, 0.5, 0.75])
        length = np.log(x) if log else x  # whiskers reach 1.5 box lengths as seen on the axis
        box = np.quantile(length, [0.25, 0.75]) + 1.5 * np.ptp(
            np.quantile(length, [0.25, 0.75])
        ) * np.array([-1, 1])
        inside = x[(length >= box[0]) & (length <= box[1])]
        low, high = inside[0], inside[-1]
        figure.add_box(
            orientation="h",
            y0=row - 0.27,
            q1=[q1],
            median=[median],
            q3=[q3],
            lowerfence=[low],
            upperfence=[high],
            width=0.2,
            y=[row - 0.27],
            line={"color": colour, "width": 1.5},
            fillcolor="white",
            hoverinfo="skip",
            showlegend=False,
        )
        jitter = 0.12 + 0.42 * (
            (np.arange(len(x)) * (math.sqrt(5) - 1) / 2) % 1 - 0.5
        )  # golden ratio: even, and no chance in it
        figure.add_scatter(
            x=x,
            y=row + jitter,
            mode="markers",
            name=_text(kind),
            text=[_text(names[i]) for i in chosen],
            showlegend=False,
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 7,
                "opacity": 0.8,
                "line": {"color": DARK, "width": 0.5},
            },
            hovertemplate="%{text}<br>%{fullData.name}<br>score %{x:.4g}<extra></extra>",
        )
        flagged = "" if theta is None else f", {int((x >= theta).sum())} flagged"
        ticks.append(
            f"{_text(kind)}<br><span style='font-size:11px;color:#555555'>n = {len(x)}{flagged}</span>"
        )
    bottom = len(order) - 0.5
    if theta is not None:
        figure.add_scatter(
            x=[theta, theta],
            y=[bottom, -0.5],
            mode="lines+text",
            name="threshold",
            line={"color": "black", "width": 1.5, "dash": "dash"},
            text=["", f"θ = {theta:.4g}"],
            textposition="top center",
            cliponaxis=False,
            showlegend=False,
            hovertemplate="threshold θ = %{x:.4g}<extra></extra>",
        )
    axis = "anomaly score (no unit, logarithmic)" if log else "anomaly score (no unit)"
    figure.update_xaxes(
        title_text=axis,
        **(_log_axis(np.append(s, s[0] if theta is None else theta)) if log else {}),
    )
    figure.update_yaxes(
        tickvals=list(range(len(order))),
        ticktext=ticks,
        range=[bottom, -0.5],
        showgrid=False,
        title_text="kind of image",
    )
    return figure.update_layout(
        template=TEMPLATE, margin_t=36, height=110 + 74 * max(2, len(order))
    )


def plot_roc(
    labels: ArrayLike, scores: ArrayLike, *, n_resamples: int = 200, seed: int = 0
) -> go.Figure:
    """ROC curve with a pointwise 95 % bootstrap band; the AUROC and its interval stand in the title.

    Band and interval come from the same resamples, drawn within each class (see `metrics.bootstrap`).

    Args:
        labels: (N,) 1 anomalous, 0 normal; both present.
        scores: (N,).
        n_resamples: number of bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: lengths differ, a class is missing, scores are not finite, or n_resamples < 1.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected at least 1, got {n_resamples}")
    grid, curves = np.linspace(0, 1, 101), []

    def area(y: np.ndarray, s: np.ndarray) -> float:
        false_alarms, detected, _ = roc_curve(y, s)
        curves.append(np.interp(grid, false_alarms, detected))
        return auroc(y, s)

    interval = bootstrap(area, labels, scores, n_resamples=n_resamples, seed=seed)
    low, high = np.quantile(
        curves[:n_resamples], [0.025, 0.975], axis=0
    )  # the last curve is the one of all images

    y = np.asarray(labels).astype(int)
    false_alarms, detected, theta = roc_curve(y, np.asarray(scores))
    along = np.searchsorted(
        false_alarms + detected, np.linspace(0, 2, MAX_POINTS) - 1e-9
    )  # evenly along the curve
    kept = np.unique(np.minimum(along, len(theta) - 1))
    at = ["above every score" if math.isinf(t) else f"{t:.4g}" for t in theta[kept]]
    figure = go.Figure()
    figure.add_trace(_band(grid, low, high, "rgba(0,114,178,0.18)", "95 % band, pointwise"))
    figure.add_trace(_reference([0, 1], [0, 1], "chance"))
    figure.add_scatter(
        x=false_alarms[kept].round(5),
        y=detected[kept].round(5),
        mode="lines",
        line={"color": BLUE, "width": 2.5},
        name="ROC",
        text=at,
        hovertemplate="false alarms %{x:.1%}<br>detected %{y:.1%}<br>θ %{text}<extra></extra>",
    )
    figure.update_xaxes(title_text="false-alarm rate (share of normal images)", **_unit_range())
    figure.update_yaxes(
        title_text="detection rate (share of anomalies)", **_unit_range(), scaleanchor="x"
    )
    subtitle = f"95 % interval; {(y == 0).sum()} normal, {(y == 1).sum()} anomalous"
    return _titled(figure, f"AUROC {interval}", subtitle).update_layout(
        SQUARE, legend=_inside("right", "bottom")
    )


def plot_map(
    image: ImageLike,
    anomaly_map: ArrayLike,
    *,
    scale: tuple[float, float] | None = None,
    title: str = "",
    opacity: float = 0.45,
) -> go.Figure:
    """An anomaly map laid over its image; the hover text reads the map's value.

    Args:
        image: (H, W, 3) uint8 or a Pillow image, shown at 448 px at most.
        anomaly_map: 2-D, of any size; it covers the whole image, as the model squeezes any image to its
            square input. Shown as means over at most 56 x 56 cells.
        scale: (lo, hi) of the colours; None takes this map's own range, in which every map looks hot:
            pass one scale to all maps that are to be compared.
        title: of the figure.
        opacity: of the map, from 0 to 1.

    Raises:
        ValueError: the map is not 2-D or not finite, or lo < hi does not hold.
    """
    rgb, cells = as_rgb(image), _map("anomaly_map", anomaly_map)
    lo, hi = _scale([cells], scale)
    width, height = rgb.size
    figure = go.Figure(
        [_picture(rgb, 448, MAP_BYTES), _overlay(cells, rgb.size, (lo, hi), opacity, MAP_CELLS)]
    )
    figure.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain")
    figure.update_yaxes(
        visible=False, range=[height - 0.5, -0.5], constrain="domain", scaleanchor="x"
    )
    longest, top = max(rgb.size), 44 if title else 16
    own = " (own scale)" if scale is None else ""
    return figure.update_layout(
        template=TEMPLATE,
        title_text=_text(title),
        coloraxis=_colours(lo, hi, f"map value{own}, no unit"),
        margin={"l": 16, "r": 84, "t": top, "b": 16},
        width=100 + round(400 * width / longest),
        height=16 + top + max(200, round(400 * height / longest)),
    )


def plot_gallery(
    images: Sequence[ImageLike],
    maps: Sequence[ArrayLike],
    *,
    titles: Sequence[str],
    scale: tuple[float, float] | None = None,
    columns: int = 4,
    masks: Sequence[ArrayLike | None] | None = None,
    opacity: float = 0.45,
) -> go.Figure:
    r"""Images, and below each the same image with its anomaly map, all on ONE scale.

    Args:
        images: N images, (H, W, 3) uint8 or Pillow images, shown at 224 px at most.
        maps: N anomaly maps, 2-D.
        titles: N titles; "\n" starts a second line.
        scale: (lo, hi) of the colours; None takes the range of all maps together.
        columns: pairs in a row.
        masks: N boolean masks (H, W) of defects, or None where there is none; drawn as an outline.
        opacity: of the maps, from 0 to 1.

    Raises:
        ValueError: the numbers of images, maps, titles and masks differ, or an array has the wrong shape.
    """
    masks = [None] * len(images) if masks is None else masks
    counts = [len(images), len(maps), len(titles), len(masks)]
    if len(set(counts)) > 1 or not len(images) or columns < 1:
        raise ValueError(
            f"expected as many images as maps, titles and masks, at least one, and columns >= 1; got {counts} and {columns}"
        )
    cells = [_map(f"maps[{i}]", values) for i, values in enumerate(maps)]
    lo, hi = _scale(cells, scale)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    cell, gap, head = 168, 10, 42  # px: side of an image, space between images, room for a title
    plot_width = columns * (cell + gap) - gap
    plot_height = rows * (head + 2 * cell + gap)

    figure = go.Figure()
    for i, (image, values, title, mask) in enumerate(
        zip(images, cells, titles, masks, strict=True)
    ):
        rgb = as_rgb(image)
        left = (i % columns) * (cell + gap)
        top = (i // columns) * (head + 2 * cell + gap) + head
        picture, half = _picture(rgb, 224, GALLERY_BYTES), max(rgb.size) / 2
        middle = ((rgb.width - 1) / 2, (rgb.height - 1) / 2)
        for number, offset in ((2 * i + 1, 0), (2 * i + 2, cell + 4)):
            x, y = f"x{number}", f"y{number}"
            figure.add_trace(go.Image(picture).update(xaxis=x, yaxis=y))
            if offset:
                figure.add_trace(
                    _overlay(values, rgb.size, (lo, hi), opacity, GALLERY_CELLS).update(
                        xaxis=x, yaxis=y
                    )
                )
                if mask is not None:  # not on the plain image: there one sees the defect itself
                    figure.add_trace(
                        _outline(f"masks[{i}]", mask, rgb.size).update(xaxis=x, yaxis=y)
                    )
            hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
            domain_x = [left / plot_width, (left + cell) / plot_width]
            domain_y = [1 - (top + offset + cell) / plot_height, 1 - (top + offset) / plot_height]
            figure.layout[f"xaxis{number}"] = hidden | {
                "domain": domain_x,
                "anchor": y,
                "range": [middle[0] - half, middle[0] + half],
            }
            figure.layout[f"yaxis{number}"] = hidden | {
                "domain": domain_y,
                "anchor": x,
                "range": [middle[1] + half, middle[1] - half],
                "scaleanchor": x,
            }
        lines = [_text(_shortened(line, 26)) for line in str(title).split("\n")[:2]]
        figure.add_annotation(
            text="<br>".join(lines),
            x=(left + cell / 2) / plot_width,
            y=1 - (top - 2) / plot_height,
            xref="paper",
            yref="paper",
            xanchor="center",
            yanchor="bottom",
            showarrow=False,
            font_size=12,
        )
    return figure.update_layout(
        template=TEMPLATE,
        coloraxis=_colours(lo, hi, "map value, one scale for all, no unit"),
        width=plot_width + 104,
        height=plot_height + 20,
        margin={"l": 12, "r": 92, "t": 4, "b": 16},
        dragmode=False,
    )


def plot_history(history: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """Training curve.

    Args:
        history: "epoch", "train" and, if there is one, "held_out": lists of one length; None or NaN
            where a loss was not measured. Losses in nats per dimension.

    Raises:
        ValueError: a list is missing or the lengths differ.
    """
    lengths = {
        key: len(history[key])
        for key in ("epoch", "train", "held_out")
        if len(history.get(key, ()))
    }
    if not {"epoch", "train"} <= set(lengths) or len(set(lengths.values())) > 1:
        raise ValueError(
            f'expected lists "epoch", "train" and perhaps "held_out" of one length, got {lengths or "none"}'
        )
    epoch = np.asarray(history["epoch"], dtype=float)
    styles = {
        "train": ("training images", BLUE, "solid", "circle"),
        "held_out": ("held-out normal images", VERMILLION, "dash", "diamond"),
    }
    figure = go.Figure()
    for key, (label, colour, dash, symbol) in styles.items():
        if key not in lengths:
            continue
        loss = np.array([np.nan if value is None else value for value in history[key]], dtype=float)
        measured = np.isfinite(loss)
        if not measured.any():
            continue
        figure.add_scatter(
            x=epoch[measured],
            y=loss[measured].round(5),
            mode="lines+markers" if measured.sum() <= 60 else "lines",
            name=f"{label}, at the end {_minus(loss[measured][-1], '.3f')}",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 6},
            hovertemplate=f"epoch %{{x}}<br>{label} %{{y:.4f}}<extra></extra>",
        )
    figure.update_xaxes(title_text="epoch (passes over the training images)", tickformat="~d")
    figure.update_yaxes(title_text="loss (nats per dimension)")
    above = {
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "orientation": "h",
        "borderwidth": 0,
    }
    return figure.update_layout(template=TEMPLATE, legend=above, showlegend=True)


def plot_qq(z: ArrayLike, *, dimensions: Sequence[int] | None = None) -> go.Figure:
    """Quantiles of the latents against those of the standard normal, all dimensions pooled.

    Args:
        z: (N, D) latents.
        dimensions: up to 6 dimensions to draw as curves of their own beside the pooled one.

    Raises:
        ValueError: z is not (N, D) with N >= 2, or a dimension is not in 0..D-1.
    """
    latents = _latents(z)
    chosen = list(dimensions or ())
    if len(chosen) > 6 or any(not 0 <= d < latents.shape[1] for d in chosen):
        raise ValueError(
            f"dimensions: expected up to 6 of 0..{latents.shape[1] - 1}, got {chosen}; pool many with z[:, dimensions]"
        )
    groups = [(f"all {latents.shape[1]} dimensions", latents.ravel())] + [
        (f"dimension {d}", latents[:, d]) for d in chosen
    ]
    figure, reach = go.Figure(), 0.0
    for i, (label, values) in enumerate(groups):
        edge = -norm.ppf(0.5 / len(values))
        theory = np.linspace(
            -edge, edge, min(MAX_POINTS, len(values))
        )  # even in the quantile: the tails are not lost
        sample = np.quantile(values, norm.cdf(theory))
        reach = max(reach, edge)
        figure.add_scatter(
            x=theory.round(4),
            y=sample.round(4),
            mode="lines",
            name=label,
            line={"color": COLOURS[i % 6], "dash": DASHES[i % 6], "width": 3 if i == 0 else 1.75},
            hovertemplate=f"{label}<br>normal %{{x:.2f}}<br>latents %{{y:.2f}}<extra></extra>",
        )
    figure.add_trace(_reference([-reach, reach], [-reach, reach], "standard normal"))
    figure.update_xaxes(title_text="standard normal quantile (standard deviations)")
    figure.update_yaxes(title_text="quantile of z (no unit)")
    subtitle = f"mean {_minus(latents.mean(), '.3f')}, standard deviation {latents.std():.3f}; N = {len(latents)}"
    return _titled(figure, "Latents against the standard normal", subtitle).update_layout(
        SQUARE, legend=_inside("left", "top")
    )


def plot_variances(z: ArrayLike) -> go.Figure:
    """Variance of each latent dimension, sorted, with the line at 1.

    The dotted curve is what N independent standard normal vectors would give: at small N much of the
    spread around 1 is chance.

    Args:
        z: (N, D) latents, N >= 2.

    Raises:
        ValueError: z is not (N, D), or no dimension varies.
    """
    latents = _latents(z)
    n, d = latents.shape
    variance = np.sort(latents.var(axis=0, ddof=1))[::-1]
    dead = int((variance <= 0).sum())
    if dead == d:
        raise ValueError(f"expected latents that vary, got {d} dimensions of variance 0")
    rank = np.arange(1, d + 1)
    chance = chi2.isf((rank - 0.5) / d, n - 1) / (n - 1)
    figure = go.Figure()
    figure.add_scatter(
        x0=1,
        dx=1,
        y=np.float32(variance[: d - dead]),
        mode="lines",
        line={"color": BLUE, "width": 2.5},
        name="measured",
        hovertemplate="rank %{x}<br>variance %{y:.3g}<extra></extra>",
    )
    every = np.unique(np.linspace(0, d - 1, MAX_POINTS).astype(int))
    figure.add_scatter(
        x=rank[every],
        y=chance[every].round(4),
        mode="lines",
        line={"color": ORANGE, "dash": "dot", "width": 2},
        name=f"standard normal, N = {n}",
        hoverinfo="skip",
    )
    figure.add_trace(_reference([1, d], [1, 1], "variance 1"))
    figure.update_xaxes(title_text="latent dimension (rank by variance)")
    figure.update_yaxes(
        title_text="variance of z (no unit, logarithmic)",
        **_log_axis(np.append(variance[: d - dead], 1.0)),
    )
    constant = f"; {dead} of variance 0 not drawn" if dead else ""
    subtitle = f"{d} dimensions, N = {n}{constant}"
    return _titled(figure, f"Mean variance {variance.mean():.3g}", subtitle).update_layout(
        legend=_inside("right", "top")
    )


def plot_covariance(z: ArrayLike, *, n: int = 64) -> go.Figure:
    """Correlations between the first n latent dimensions; the diagonal, 1 by definition, is left blank.

    Args:
        z: (N, D) latents, N >= 2; D < n shows all.
        n: number of dimensions, 2 to 128.

    Raises:
        ValueError: z is not (N, D) with D >= 2, or n is out of range.
    """
    latents = _latents(z)
    if not 2 <= n <= 128 or latents.shape[1] < 2:
        raise ValueError(
            f"expected 2 <= n <= 128 and at least 2 dimensions, got n = {n} and {latents.shape[1]} dimensions"
        )
    centred = latents[:, :n] - latents[:, :n].mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(
        norms > 0, norms, np.nan
    )  # a constant dimension has no correlation: blank
    correlation = unit.T @ unit
    np.fill_diagonal(correlation, np.nan)
    size = np.abs(correlation[np.isfinite(correlation)])
    limit = max(0.1, math.ceil(10 * size.max(initial=0)) / 10)
    figure = go.Figure(
        go.Heatmap(
            z=np.float32(correlation.round(3)),
            zmin=-limit,
            zmax=limit,
            zmid=0,
            colorscale="RdBu",
            reversescale=True,
            hoverongaps=False,
            colorbar=_bar("correlation (no unit)"),
            hovertemplate="dimensions %{x} and %{y}<br>correlation %{z:.2f}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="latent dimension (index)", constrain="domain", showgrid=False)
    figure.update_yaxes(
        title_text="latent dimension (index)",
        constrain="domain",
        showgrid=False,
        scaleanchor="x",
        autorange="reversed",
    )
    found = f"{size.mean():.3f}" if len(size) else "none"
    subtitle = f"mean |r| {found}; by chance at N = {len(latents)}: {math.sqrt(2 / (math.pi * max(1, len(latents) - 1))):.3f}"
    return _titled(
        figure, f"Correlation of {correlation.shape[0]} latent dimensions", subtitle
    ).update_layout(width=490, height=440)


def plot_calibration(p_values: ArrayLike) -> go.Figure:
    """False-alarm rate obtained against the rate asked for: the distribution of normal images' p-values.

    On or below the diagonal the promise is kept. The grey band holds 95 % of the curves' points if
    the p-values are uniform and independent; it leaves out the chance in the calibration set.

    Args:
        p_values: (N,) p-values of normal images that were not used for calibration, in [0, 1].

    Raises:
        ValueError: not a vector of numbers in [0, 1].
    """
    p = np.sort(_vector("p_values", p_values))
    if p[0] < 0 or p[-1] > 1:
        raise ValueError(f"p_values: expected numbers in [0, 1], got {p[0]:.4g}..{p[-1]:.4g}")
    n, grid = len(p), np.linspace(0, 1, 101)
    alpha = np.linspace(0, 1, MAX_POINTS + 1)
    obtained = (
        np.searchsorted(p, alpha + 1e-9, side="right") / n
    )  # 1e-9: 3 / 20 is 0.15 on the grid, not above it
    low, high = binom.ppf([[0.025], [0.975]], n, grid) / n
    figure = go.Figure()
    figure.add_trace(_band(grid, low, high, "rgba(118,118,118,0.18)", "95 %, if uniform"))
    figure.add_trace(_reference([0, 1], [0, 1], "as asked"))
    figure.add_scatter(
        x=alpha.round(5),
        y=obtained.round(5),
        mode="lines",
        line={"color": BLUE, "width": 2.5, "shape": "hv"},
        name="obtained",
        hovertemplate="asked %{x:.1%}<br>obtained %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title_text="false-alarm rate asked for (alpha)", **_unit_range())
    figure.update_yaxes(title_text="false-alarm rate obtained", **_unit_range(), scaleanchor="x")
    found = "; ".join(f"{a:.0%} asked: {np.mean(p <= a):.1%}" for a in (0.05, 0.1))
    return _titled(figure, "False alarms on normal images", f"{found}; n = {n}").update_layout(
        SQUARE, legend=_inside("left", "top")
    )


# --- one trace each -------------------------------------------------------------------------------


def _reference(x: Sequence[float], y: Sequence[float], name: str) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        name=name,
        hoverinfo="skip",
    )


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, name: str) -> go.Scatter:
    outline = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]]).round(4)}
    return go.Scatter(
        outline,
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name=name,
    )


def jpeg_bytes(picture: Image.Image, quality: int) -> bytes:
    """The content of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def jpeg_uri(content: bytes) -> str:
    """A JPEG file as a data URI, for a figure or a page that needs no other file."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _picture(rgb: Image.Image, longest: int, most: int) -> go.Image:
    """The image as a JPEG of about `most` bytes at most; coordinates stay pixels of the original."""
    small = rgb.copy()
    small.thumbnail((longest, longest))
    for quality in (85, 70, 55, 40, 25, 15):  # textures need a lower one
        content = jpeg_bytes(small, quality)
        if len(content) <= most:
            break
    return go.Image(
        source=jpeg_uri(content), **_placed((small.height, small.width), rgb.size), hoverinfo="skip"
    )


def _overlay(
    values: np.ndarray,
    size: tuple[int, int],
    scale: tuple[float, float],
    opacity: float,
    longest: int,
) -> go.Heatmap:
    """A map over an image of this size (width, height), rounded to a thousandth of the scale."""
    cells = _reduced(values, longest)
    decimals = 3 - math.floor(math.log10(scale[1] - scale[0]))
    return go.Heatmap(
        z=np.float32(cells.round(decimals)),
        **_placed(cells.shape, size),
        zsmooth="best",
        opacity=opacity,
        coloraxis="coloraxis",
        hovertemplate="x %{x:.0f} px, y %{y:.0f} px<br>map %{z:.4g}<extra></extra>",
    )


def _outline(name: str, mask: ArrayLike, size: tuple[int, int]) -> go.Contour:
    values = np.asarray(mask)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name}: expected a mask (H, W), got shape {values.shape}")
    cells = np.pad(
        _reduced((values != 0) * 100.0, MASK_CELLS), 1
    )  # the rim closes outlines at the image's edge
    inside = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    top, bottom, left, right = (
        (inside[0][0], inside[0][-1], inside[1][0], inside[1][-1])
        if len(inside[0])
        else (1, 1, 1, 1)
    )
    place = _placed((cells.shape[0] - 2, cells.shape[1] - 2), size)
    place["x0"] += (left - 2) * place["dx"]
    place["y0"] += (top - 2) * place["dy"]
    return go.Contour(
        z=np.uint8(cells[top - 1 : bottom + 2, left - 1 : right + 2]),
        **place,
        showscale=False,
        hoverinfo="skip",
        showlegend=False,
        autocontour=False,
        contours={"coloring": "none", "start": 40, "end": 40, "size": 1},
        line={"color": VERMILLION, "width": 2},
    )


def _placed(shape: tuple[int, ...], size: tuple[int, int]) -> dict[str, float]:
    """Centre of the first cell and cell sizes, px, that spread (rows, columns) cells over the image."""
    dx, dy = size[0] / shape[1], size[1] / shape[0]
    return {"x0": dx / 2 - 0.5, "dx": dx, "y0": dy / 2 - 0.5, "dy": dy}


def _reduced(values: np.ndarray, longest: int) -> np.ndarray:
    """Means over boxes, so that the longer side has at most this many cells."""
    shrink = min(1.0, longest / max(values.shape))
    if shrink == 1:
        return values
    height, width = (max(1, round(side * shrink)) for side in values.shape)
    return np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BOX),
        dtype=float,
    )


# --- looks ----------------------------------------------------------------------------------------


def _titled(figure: go.Figure, title: str, subtitle: str) -> go.Figure:
    text = f"{title}<br><span style='font-size:12px;color:#555555'>{subtitle}</span>"
    return figure.update_layout(template=TEMPLATE, title={"text": text, "pad": {"t": 26}})


def _inside(x: str, y: str) -> dict[str, object]:
    return {
        "x": {"left": 0.02, "right": 0.98}[x],
        "xanchor": x,
        "y": {"bottom": 0.03, "top": 0.97}[y],
        "yanchor": y,
    }


def _unit_range() -> dict[str, object]:
    return {"range": [-0.01, 1.01], "tickformat": ".0%", "dtick": 0.2, "constrain": "domain"}


def _log_axis(values: np.ndarray) -> dict[str, object]:
    """A logarithmic axis labelled 1, 2, 5, 10 over few decades and by powers of ten over many."""
    decades = math.log10(values.max() / values.min())
    if decades > 2.5:
        return {"type": "log", "dtick": math.ceil(decades / 8), "exponentformat": "power"}
    return {"type": "log", "tickformat": "~g"} | (
        {"dtick": "D2"} if decades > 0.7 else {"nticks": 6}
    )


def _colours(lo: float, hi: float, title: str) -> dict[str, object]:
    return {"cmin": lo, "cmax": hi, "colorscale": "Cividis", "colorbar": _bar(title)}


def _bar(title: str) -> dict[str, object]:
    return {
        "title": {"text": title, "side": "right", "font": {"size": 12}},
        "thickness": 14,
        "outlinewidth": 0,
        "tickformat": "~g",
    }


def _text(value: object) -> str:
    """Any name as text that Plotly shows literally: no markup, no half characters of odd file names."""
    return html.escape(str(value).encode("utf-8", "replace").decode(), quote=False)


def _shortened(text: str, length: int) -> str:
    return (
        text
        if len(text) <= length
        else f"{text[: length // 2 - 1]}…{text[-(length - length // 2) :]}"
    )


def _minus(value: float, form: str) -> str:
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


# --- checks ---------------------------------------------------------------------------------------


def _vector(name: str, values: ArrayLike) -> np.ndarray:
    vector = np.asarray(values, dtype=float)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(
            f"{name}: expected a vector of at least one number, got shape {vector.shape}"
        )
    return _finite(name, vector)


def _latents(z: ArrayLike) -> np.ndarray:
    latents = np.asarray(z, dtype=float)
    if latents.ndim != 2 or len(latents) < 2 or not latents.shape[1]:
        raise ValueError(
            f"z: expected latents (N, D) with N >= 2, got shape {latents.shape}; put rotations into the first axis"
        )
    return _finite("z", latents)


def _map(name: str, values: ArrayLike) -> np.ndarray:
    cells = np.asarray(values, dtype=float)
    if cells.ndim != 2 or not cells.size:
        raise ValueError(f"{name}: expected an anomaly map (H, W), got shape {cells.shape}")
    return _finite(name, cells)


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name}: expected finite numbers, got {int((~np.isfinite(values)).sum())} that are not, of {values.size}"
        )
    return values


def _scale(maps: Sequence[np.ndarray], scale: tuple[float, float] | None) -> tuple[float, float]:
    if scale is None:
        lo, hi = float(min(m.min() for m in maps)), float(max(m.max() for m in maps))
        return (
            (lo, hi) if lo < hi else (lo, lo + (abs(lo) or 1.0))
        )  # a constant map has no range of its own
    lo, hi = float(scale[0]), float(scale[1])
    if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
        raise ValueError(f"scale: expected (lo, hi) with lo < hi, got ({lo}, {hi})")
    return lo, hi
