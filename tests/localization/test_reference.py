"""Mean and deviation of normal images' maps, and which images are taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import decode
from differnet_lite.maps import evenly
from differnet_lite.model import DifferNet
from differnet_lite.reference import reference_maps
from differnet_lite.transforms import Transformations

ANGLES = (0.0, 45.0, 90.0)
GRID = Transformations(angles=ANGLES)
Picture = Callable[..., np.ndarray]


def test_reference_maps_are_means_and_deviations_over_images(
    extractor: MultiScaleExtractor, picture: Picture
) -> None:
    pictures = [picture(k, 256, smooth=8) for k in range(10)]  # two batches
    means, deviations = reference_maps(extractor, pictures, angles=ANGLES, transformations=GRID)
    for kept in (means, deviations):
        assert [tuple(r.shape) for r in kept] == [(3, 256, 7, 7), (3, 256, 3, 3), (3, 256, 1, 1)]
        assert {r.dtype for r in kept} == {torch.float16}
        assert not any(r.requires_grad for r in kept)
    x = torch.stack([decode(p, 256) for p in pictures]) / 255
    with torch.no_grad():
        for s, maps in enumerate(extractor.feature_maps(torch.rot90(x, 1, (2, 3)))):
            torch.testing.assert_close(means[s][2].float(), maps.mean(0), rtol=2e-3, atol=2e-3)
            torch.testing.assert_close(
                deviations[s][2].float(), maps.std(0, correction=0), rtol=5e-3, atol=5e-3
            )


def test_the_views_are_filled_as_the_model_says(
    tiny_extractor: MultiScaleExtractor, picture: Picture
) -> None:
    black = Transformations(angles=(45.0,), fill="black")
    one, other = (
        reference_maps(tiny_extractor, [picture()], angles=(45.0,), transformations=t)[0][0]
        for t in (black, GRID)
    )
    assert (one - other).abs().max() > 0.1


def test_the_order_of_the_images_does_not_matter(
    tiny_extractor: MultiScaleExtractor, picture: Picture
) -> None:
    pictures = [picture(k) for k in range(5)]
    both = [
        reference_maps(tiny_extractor, images, angles=(0.0,), transformations=GRID)
        for images in (pictures, pictures[::-1])
    ]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a[0], b[0], rtol=1e-3, atol=1e-4)


def test_no_images_give_no_reference(tiny_extractor: MultiScaleExtractor) -> None:
    empty = reference_maps(tiny_extractor, [], angles=ANGLES, transformations=GRID)
    assert empty == ([], [])


def test_images_are_chosen_evenly_the_first_among_them() -> None:
    assert evenly(10, 10) == list(range(10))
    assert evenly(10, 1) == [0]
    assert evenly(7, 3) == [0, 2, 4]
    for total in range(1, 30):
        for n in range(1, total + 1):
            chosen = evenly(total, n)
            gaps = np.diff([*chosen, total])
            assert chosen[0] == 0 and len(set(chosen)) == n and chosen[-1] < total
            assert gaps.max() - gaps.min() <= 1
    for n in (0, 11):
        with pytest.raises(ValueError, match=rf"n: expected .*, got {n}"):
            evenly(10, n)


def test_reference_maps_of_a_fit_do_not_depend_on_what_was_kept(
    tiny: dict[str, Any], picture: Picture, tmp_path: Path
) -> None:
    """Features cold, warm, not kept at all, or half kept: the same bits, of the chosen images."""
    images = [picture(k) for k in range(8)]
    fits = {
        "cold": tmp_path / "a",
        "warm": tmp_path / "a",
        "nothing kept": None,
        "half kept": tmp_path / "b",
    }
    found = {}
    for name, cache in fits.items():
        model = DifferNet(
            **tiny | {"epochs": 1, "calibration": "none", "reference_images": 5}, cache=cache
        )
        if name == "half kept":
            model.features(images[:4])
        model.fit(images)
        found[name] = [*model.reference_[0], *model.reference_[1]]
    found["alone"] = [
        scale
        for kind in reference_maps(
            model.extractor,
            [images[k] for k in (0, 1, 3, 4, 6)],
            angles=model.angles_,
            transformations=model.settings.transformations,
        )
        for scale in kind
    ]
    assert len(found["cold"]) == 2
    for name, maps in found.items():
        assert all(torch.equal(a, b) for a, b in zip(maps, found["cold"], strict=True)), name
