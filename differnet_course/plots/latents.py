"""Latents (N, D) against the standard normal that the loss asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from differnet_course.plots.style import (
    BLUE,
    COLOURS,
    DASHES,
    MAX_POINTS,
    ORANGE,
    SQUARE,
    colour_bar,
    finite,
    legend_inside,
    log_axis,
    reference_line,
    titled,
    with_minus,
)
from differnet_lite.oldchecks import checked, whole

__all__ = ["plot_covariance", "plot_qq", "plot_variances"]


@checked
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
            f"dimensions: expected up to 6 of 0..{latents.shape[1] - 1}, got {chosen}; "
            "pool many with z[:, dimensions]"
        )
    groups = [(f"all {latents.shape[1]} dimensions", latents.ravel())] + [
        (f"dimension {d}", latents[:, d]) for d in chosen
    ]
    figure, reach = go.Figure(), 0.0
    for i, (label, values) in enumerate(groups):
        edge = -norm.ppf(0.5 / len(values))
        # even in the quantile: the tails are not lost
        theory = np.linspace(-edge, edge, min(MAX_POINTS, len(values)))
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
    figure.add_trace(reference_line([-reach, reach], [-reach, reach], "standard normal"))
    figure.update_xaxes(title_text="standard normal quantile (standard deviations)")
    figure.update_yaxes(title_text="quantile of z (no unit)")
    mean = with_minus(latents.mean(), ".3f")
    subtitle = f"mean {mean}, standard deviation {latents.std():.3f}; N = {len(latents)}"
    return titled(figure, "Latents against the standard normal", subtitle).update_layout(
        SQUARE, legend=legend_inside("left", "top")
    )


@checked
def plot_variances(z: ArrayLike) -> go.Figure:
    """Variance of each latent dimension, sorted, with the line at 1.

    The dotted curve is what N independent standard normal vectors would give: at small N much of
    the spread around 1 is chance.

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
    figure.add_trace(reference_line([1, d], [1, 1], "variance 1"))
    figure.update_xaxes(title_text="latent dimension (rank by variance)")
    figure.update_yaxes(
        title_text="variance of z (no unit, logarithmic)",
        **log_axis(np.append(variance[: d - dead], 1.0)),
    )
    constant = f"; {dead} of variance 0 not drawn" if dead else ""
    subtitle = f"{d} dimensions, N = {n}{constant}"
    return titled(figure, f"Mean variance {variance.mean():.3g}", subtitle).update_layout(
        legend=legend_inside("right", "top")
    )


@checked(n=whole(2, 128))
def plot_covariance(z: ArrayLike, *, n: int = 64) -> go.Figure:
    """Correlations between the first n latent dimensions; the diagonal, always 1, is left blank.

    Args:
        z: (N, D) latents, N >= 2; D < n shows all.
        n: number of dimensions, 2 to 128.

    Raises:
        ValueError: z is not (N, D) with D >= 2, or n is out of range.
    """
    latents = _latents(z)
    if not 2 <= n <= 128 or latents.shape[1] < 2:
        raise ValueError(
            "expected 2 <= n <= 128 and at least 2 dimensions, "
            f"got n = {n} and {latents.shape[1]} dimensions"
        )
    centred = latents[:, :n] - latents[:, :n].mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    # a constant dimension has no correlation: blank
    unit = centred / np.where(norms > 0, norms, np.nan)
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
            colorbar=colour_bar("correlation (no unit)"),
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
    chance = math.sqrt(2 / (math.pi * max(1, len(latents) - 1)))
    subtitle = f"mean |r| {found}; by chance at N = {len(latents)}: {chance:.3f}"
    title = f"Correlation of {correlation.shape[0]} latent dimensions"
    return titled(figure, title, subtitle).update_layout(width=490, height=440)


def _latents(z: ArrayLike) -> np.ndarray:
    latents = np.asarray(z, dtype=float)
    if latents.ndim != 2 or len(latents) < 2 or not latents.shape[1]:
        raise ValueError(
            f"z: expected latents (N, D) with N >= 2, got shape {latents.shape}; "
            "put rotations into the first axis"
        )
    return finite("z", latents)
