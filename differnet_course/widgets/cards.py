"""Thumbnails beside a decision: what has just flipped, and what would flip next."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from differnet_course.plots.images import jpeg_bytes, jpeg_uri
from differnet_course.plots.style import BLUE, DARK, VERMILLION
from differnet_lite.images import ImageLike, as_rgb

__all__ = ["Cards"]

THUMBNAIL, CARD = 84, 96  # px: of a thumbnail, and width of its card
NEIGHBOURS = 3  # images shown on each side of theta
STRIP = "background:white;color:{};padding:4px;display:flex;flex-wrap:wrap;gap:18px;font-size:12px"
ROW = "display:flex;flex-wrap:wrap;gap:6px;min-height:{}px;width:{}px"


class Cards:
    """The cards of N images, as HTML.

    Args:
        scores: (N,).
        anomalous: (N,) bool, what they are.
        names: N names.
        images: N images, or None for cards without thumbnails.
    """

    def __init__(
        self,
        scores: np.ndarray,
        anomalous: np.ndarray,
        names: Sequence[str],
        images: Sequence[ImageLike] | None,
    ) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.anomalous = anomalous
        self.names = names
        self.pictures = [""] * len(names) if images is None else [_picture(i) for i in images]

    def strip(self, flagged: np.ndarray, before: np.ndarray | None) -> str:
        """Three groups: next to be flagged, next to pass, and just flipped.

        Args:
            flagged: (N,) bool, the decisions.
            before: (N,) bool, those of the state before; None if there was none.
        """
        below = [i for i in self.order if not flagged[i]][-NEIGHBOURS:]
        above = [i for i in self.order if flagged[i]][:NEIGHBOURS]
        flipped = [] if before is None else [i for i in self.order if flagged[i] != before[i]]
        shown = flipped[: 2 * NEIGHBOURS]
        groups = [
            self._group("Next to be flagged, as θ falls", below, 0, flagged),
            self._group("Next to pass, as θ rises", above, 0, flagged),
            self._group(
                f"Just flipped ({len(flipped)})", shown, len(flipped) - len(shown), flagged
            ),
        ]
        return f"<div style='{STRIP.format(DARK)}'>{''.join(groups)}</div>"

    def _group(self, title: str, shown: Sequence[int], more: int, flagged: np.ndarray) -> str:
        cards = "".join(self._card(i, bool(flagged[i])) for i in shown) or "<i>none</i>"
        rest = f"<i>and {more} more</i>" if more else ""
        row = ROW.format(THUMBNAIL + 40, NEIGHBOURS * (CARD + 6) - 6)
        return f"<div><b>{title}</b><div style='{row}'>{cards}{rest}</div></div>"

    def _card(self, i: int, flagged: bool) -> str:
        """Thumbnail, name and decision; wrong ones have a thick vermillion frame."""
        wrong = flagged != self.anomalous[i]
        verdicts = ("missed", "false alarm") if wrong else ("passed", "detected")
        frame = f"3px solid {VERMILLION}" if wrong else f"3px dotted {BLUE}"
        return (
            f"<div style='width:{CARD}px;text-align:center;overflow-wrap:anywhere'>"
            f"<div style='border:{frame};display:inline-block'>{self.pictures[i]}</div>"
            f"<div>{html.escape(self.names[i])}<br>"
            f"<b>{'✗' if wrong else '✓'} {verdicts[flagged]}</b></div></div>"
        )


def _picture(image: ImageLike) -> str:
    """A thumbnail, a JPEG of some 4 kB as a data URI."""
    source = jpeg_uri(jpeg_bytes(as_rgb(image).resize((THUMBNAIL, THUMBNAIL)), 75))
    return f"<img src='{source}' width={THUMBNAIL} height={THUMBNAIL} alt='' style='display:block'>"
