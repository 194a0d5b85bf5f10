"""Held-back tests of lab 5: another trunk, one image, plain defects."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_course.metrics import auroc


def features(answer: Answer, draw: Draw) -> None:
    """A trunk that gives back its input: the mean of a mean is the mean."""
    images = draw.uniform(0.0, 1.0, 1, 3, 24, 40)
    mean = torch.tensor([0.485, 0.456, 0.406])
    deviation = torch.tensor([0.229, 0.224, 0.225])
    one = (images.mean((2, 3)) - mean) / deviation
    compare("features", answer(nn.Identity(), images), one.repeat(1, 3))


def whitening(answer: Answer, draw: Draw) -> None:
    """A single image: all that varies is the noise."""
    y = draw.normal(1, 3)
    mean, matrix = answer.pair(y, 0.5)
    factor = as_numbers(matrix)
    compare("mean", mean, y[0])
    compare("matrix", factor @ factor.T, 4 * torch.eye(3))


def differnet(answer: Answer, draw: Draw) -> None:
    weight = 0.3 * draw.normal(6, 3, 3, 3)

    def trunk(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x.to(weight), weight, stride=2).relu()

    images = 0.5 + 0.05 * draw.normal(60, 3, 24, 24)
    images[45:, :, 8:16, 8:16] += 0.3
    scores = as_numbers(answer(trunk, images[:30], images[30:])).numpy()
    if scores.shape != (30,) or auroc(np.arange(30) >= 15, scores) < 0.9:
        raise Wrong("misses plain defects")


HELD_BACK = {"5.1": features, "5.2": whitening, "5.3": differnet}
