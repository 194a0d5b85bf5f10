"""An explorer of the threshold: what each choice of theta flags, misses, and guarantees."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike

from differnet_course.widgets.cards import Cards
from differnet_course.widgets.layout import BESIDE, columns, slider_style
from differnet_course.widgets.plot import Plot
from differnet_course.widgets.threshold_figure import draw_threshold, move_threshold
from differnet_course.widgets.threshold_states import ThresholdStates
from differnet_lite.checks import rate, vector
from differnet_lite.images import ImageLike

__all__ = ["ThresholdExplorer"]


class ThresholdExplorer(widgets.HBox):
    """Drag theta, or choose the false-alarm rate, and see what is flagged.

    The two sliders are one choice seen from two sides: theta flags a share of the held-out normals,
    and the conformal guarantee of theta is alpha = (1 + #{s_i >= theta}) / (n + 1); an alpha gives
    the smallest theta that guarantees it. Every state is computed when the explorer is made.

    Args:
        calibration: (n,) scores of held-out normal images.
        scores: (N,) scores of the images to judge.
        kinds: N kinds, "good" for normal images; None takes all images for normal ones, and the
            explorer then shows false alarms alone.
        images: N images for the thumbnails, paths or arrays; None shows names alone.
        names: N names; None takes kind and file name of paths, else a number.
        alpha: the false-alarm rate to begin with; the nearest that n scores can guarantee is taken.

    Attributes:
        theta_slider: the control of theta; its `value` is an index into `thetas`.
        alpha_slider: the control of the guaranteed false-alarm rate; its `value` is in `alphas`.
        thetas: all values that the first slider can take, ascending.
        alphas: all rates that the second one can take, ascending: k / (n + 1).
        label: says in words what the state is.
        flips: thumbnails of images that have just flipped, and of those that would be next.
        figure: the distributions with theta, and the confusion matrix.

    Raises:
        ValueError: lengths differ, there is no score, or one is not finite.
    """

    def __init__(
        self,
        calibration: ArrayLike,
        scores: ArrayLike,
        kinds: Sequence[str] | None = None,
        *,
        images: Sequence[ImageLike] | None = None,
        names: Sequence[str] | None = None,
        alpha: float = 0.05,
    ) -> None:
        self.calibration = np.sort(vector("calibration", calibration))
        self.scores = vector("scores", scores)
        count = len(self.scores)
        self.kinds = np.array(["good"] * count if kinds is None else kinds)
        if names is None:
            shown = range(count) if images is None else images
            stems = [getattr(image, "stem", i) for i, image in enumerate(shown)]
            names = [f"{kind} {stem}" for kind, stem in zip(self.kinds, stems, strict=False)]
        self.names = list(names)
        lengths = [
            count,
            len(self.kinds),
            len(self.names),
            count if images is None else len(images),
        ]
        if not count or not len(self.calibration) or len(set(lengths)) > 1:
            raise ValueError(
                "expected at least one score, as many kinds, names and images, and calibration "
                f"scores; got {lengths} of the four, and {len(self.calibration)} calibration scores"
            )
        self.anomalous = self.kinds != "good"
        self._states = ThresholdStates(self.calibration, self.scores)
        self.thetas = self._states.thetas
        self.alphas = self._states.alphas
        self._cards = Cards(self.scores, self.anomalous, self.names, images)
        self.figure = draw_threshold(
            self.calibration,
            self.scores,
            self.kinds,
            self.names,
            ends=self._states.ends,
            logarithmic=self._states.logarithmic,
        )
        self.plot = Plot(self.figure)
        wide = slider_style("90px")
        options = [(f"{theta:.3g}", i) for i, theta in enumerate(self.thetas)]
        self.theta_slider = widgets.SelectionSlider(
            options=options, description="threshold θ", **wide
        )
        rates = [(f"{a:.1%}", float(a)) for a in self.alphas]
        self.alpha_slider = widgets.SelectionSlider(
            options=rates, description="or its rate α", **wide
        )
        self.label = widgets.HTML()
        self.flips = widgets.HTML()
        self._before: np.ndarray | None = None  # what was flagged before
        self._moving = False
        self.theta_slider.observe(lambda change: self._move(change["new"]), names="value")
        self.alpha_slider.observe(lambda change: self._take(change["new"]), names="value")
        self._take(self._states.nearest_alpha(rate("alpha", alpha)))
        controls = [self.theta_slider, self.alpha_slider, self.label]
        super().__init__(columns(controls, [self.plot, self.flips]), layout=BESIDE)

    @property
    def theta(self) -> float:
        """The threshold shown."""
        return float(self.thetas[self.theta_slider.value])

    def confusion(self) -> np.ndarray:
        """Counts, (2, 2): rows normal and anomalous, columns passed and flagged."""
        flagged = self._states.flagged[self.theta_slider.value]
        rows = [flagged[~self.anomalous], flagged[self.anomalous]]
        return np.array([[(~row).sum(), row.sum()] for row in rows])

    def _take(self, alpha: float) -> None:
        """Take the smallest theta that guarantees this rate."""
        self._move(self._states.of_alpha(alpha))

    def _move(self, state: int) -> None:
        """Set both sliders to one state, and show it once."""
        if self._moving:
            return
        self._moving = True
        try:
            self.theta_slider.value = state
            self.alpha_slider.value = self._states.nearest_alpha(self._states.guaranteed[state])
        finally:
            self._moving = False
        self._show(state)

    def _show(self, state: int) -> None:
        counts = self.confusion()
        move_threshold(self.figure, self.theta, counts, logarithmic=self._states.logarithmic)
        self.plot.draw()
        guaranteed = self._states.guaranteed[state]
        promise = f"guarantees α ≤ {guaranteed:.1%}" if guaranteed < 1 else "guarantees nothing"
        parts = [f"θ = {self.theta:.3g}, {promise} (n = {len(self.calibration)})"]
        words = ("normal images: false alarms", "anomalies: detected")
        for name, (passed, caught) in zip(words, counts, strict=True):
            if passed + caught:
                share = caught / (passed + caught)
                parts.append(f"{name} {caught} of {passed + caught}, {share:.1%}")
        self.label.value = "; ".join(parts)
        flagged = self._states.flagged[state]
        self.flips.value = self._cards.strip(flagged, self._before)
        self._before = flagged

    def __repr__(self) -> str:
        return f"ThresholdExplorer of {len(self.scores)} images: run this cell to move its sliders"
