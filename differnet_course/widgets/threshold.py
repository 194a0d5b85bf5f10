"""The threshold explorer: what each choice of theta flags, misses, and guarantees."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike

from differnet_course.widgets.plot import BESIDE, Plot, columns, slider_style
from differnet_course.widgets.threshold_figure import Cards, draw_threshold, move_threshold
from differnet_lite.checks import vector
from differnet_lite.images import ImageLike
from differnet_lite.thresholds import conformal_threshold, p_values

__all__ = ["ThresholdExplorer"]

GRID = 120  # thresholds between the lowest and the highest score, beside the conformal ones


class ThresholdExplorer(widgets.HBox):
    """Drag theta, or choose the false-alarm rate, and see what is flagged.

    The two sliders are one choice seen from two sides: theta flags a share of the held-out normals,
    and the conformal guarantee of theta is alpha = (1 + #{s_i >= theta}) / (n + 1); an alpha gives
    the smallest theta that guarantees it.

    Args:
        calibration: (n,) scores of held-out normal images, positive.
        scores: (N,) scores of the images to judge, positive.
        kinds: N kinds, "good" for normal images.
        images: N images for the thumbnails, paths or arrays.
        alpha: the false-alarm rate to begin with; the nearest that n scores can guarantee is taken.

    Attributes:
        theta_slider: the control of theta; its `value` is an index into `thetas`.
        alpha_slider: the control of the guaranteed false-alarm rate; its `value` is in `alphas`.
        thetas: all values that the first slider can take, ascending, (M,).
        alphas: all rates that the second one can take, ascending: k / (n + 1), (n + 1,).
        label: says in words what the state is.
        flips: thumbnails of images that have just flipped, and of those that would be next.
        figure: the distributions with theta, and the confusion matrix.
    """

    def __init__(
        self,
        calibration: ArrayLike,
        scores: ArrayLike,
        kinds: Sequence[str],
        *,
        images: Sequence[ImageLike],
        alpha: float = 0.05,
    ) -> None:
        self.calibration = np.sort(vector("calibration", calibration))
        self.scores = vector("scores", scores)
        kind_of = np.array(kinds)
        stems = [getattr(image, "stem", i) for i, image in enumerate(images)]
        names = [f"{kind} {stem}" for kind, stem in zip(kinds, stems, strict=True)]
        self.anomalous = kind_of != "good"
        n = len(self.calibration)
        self.alphas = np.arange(1, n + 2) / (n + 1)
        rates = self.alphas[:-1].tolist()
        conformal = [conformal_threshold(self.calibration, rate).value for rate in rates]
        drawn = np.log(np.concatenate([self.calibration, self.scores]))
        margin = 0.05 * np.ptp(drawn)
        grid = np.exp(np.linspace(drawn.min() - margin, drawn.max() + margin, GRID))
        self.thetas = np.unique(np.concatenate([grid, conformal]))
        self.guaranteed = p_values(self.calibration, self.thetas)
        self._cards = Cards(self.scores, self.anomalous, names, images)
        ends = float(grid[0]), float(grid[-1])
        self.figure = draw_threshold(self.calibration, self.scores, kind_of, names, ends=ends)
        self.plot = Plot(self.figure)
        wide = slider_style("90px")
        options = [(f"{theta:.3g}", i) for i, theta in enumerate(self.thetas)]
        self.theta_slider = widgets.SelectionSlider(
            options=options, description="threshold θ", **wide
        )
        options = [(f"{rate:.1%}", rate) for rate in self.alphas.tolist()]
        self.alpha_slider = widgets.SelectionSlider(
            options=options, description="or its rate α", **wide
        )
        self.label = widgets.HTML()
        self.flips = widgets.HTML()
        self._before: np.ndarray | None = None  # what was flagged before
        self._moving = False
        self.theta_slider.observe(lambda change: self._move(change["new"]), names="value")
        self.alpha_slider.observe(lambda change: self._take(change["new"]), names="value")
        self._take(self._nearest_alpha(alpha))
        controls = [self.theta_slider, self.alpha_slider, self.label]
        super().__init__(columns(controls, [self.plot, self.flips]), layout=BESIDE)

    @property
    def theta(self) -> float:
        """The threshold shown."""
        return float(self.thetas[self.theta_slider.value])

    def _nearest_alpha(self, rate: float) -> float:
        return float(self.alphas[np.argmin(np.abs(self.alphas - rate))])

    def _take(self, alpha: float) -> None:
        """Take the smallest theta that guarantees this rate."""
        self._move(int(np.flatnonzero(self.guaranteed <= alpha + 1e-9)[0]))

    def _move(self, state: int) -> None:
        """Set both sliders to one state, and show it once."""
        if self._moving:
            return
        self._moving = True
        try:
            self.theta_slider.value = state
            self.alpha_slider.value = self._nearest_alpha(self.guaranteed[state])
        finally:
            self._moving = False
        self._show(self.guaranteed[state])

    def _show(self, guaranteed: float) -> None:
        flagged = self.scores >= self.theta
        rows = [flagged[~self.anomalous], flagged[self.anomalous]]
        counts = np.array([[(~row).sum(), row.sum()] for row in rows])
        move_threshold(self.figure, self.theta, counts)
        self.plot.draw()
        promise = f"guarantees α ≤ {guaranteed:.1%}" if guaranteed < 1 else "guarantees nothing"
        parts = [f"θ = {self.theta:.3g}, {promise} (n = {len(self.calibration)})"]
        words = ("normal images: false alarms", "anomalies: detected")
        for name, (passed, caught) in zip(words, counts, strict=True):
            if passed + caught:
                share = caught / (passed + caught)
                parts.append(f"{name} {caught} of {passed + caught}, {share:.1%}")
        self.label.value = "; ".join(parts)
        before = flagged if self._before is None else self._before
        self.flips.value = self._cards.strip(flagged, before)
        self._before = flagged

    def __repr__(self) -> str:
        return f"ThresholdExplorer of {len(self.scores)} images: run this cell to move its sliders"
