"""PatchCore: the memory covers what is normal, and the oddest patch decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from differnet_course.baselines.patchcore import greedy_coreset


def test_the_coreset_takes_from_every_cluster() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 100 * torch.eye(5)
    rows = (centres[:, None] + torch.rand(5, 50, 5, generator=generator)).flatten(0, 1)
    chosen = greedy_coreset(rows, 5, generator)
    assert set((chosen // 50).tolist()) == set(range(5))
    assert len(greedy_coreset(rows, 999, generator)) == len(rows)


def test_what_is_remembered_scores_0_and_one_odd_patch_raises_the_score(
    make: Callable[..., Any], photographs: list[Path]
) -> None:
    everything = make("patchcore", n_patches=10_000, n_candidates=10_000).fit(photographs[:3])
    x = everything.inputs(photographs[:1])
    density = everything.density_
    np.testing.assert_allclose(density.score(x), 0, atol=0.3)  # float32: of norms of 30
    x[:, :, 20:36, 20:36] = torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
    assert density.score(x) > 1
