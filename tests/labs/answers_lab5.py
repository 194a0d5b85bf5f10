"""Lab 5: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import FrEIA.framework as Ff
import FrEIA.modules as Fm
import numpy as np
import torch
import torch.nn.functional as F
from scipy import linalg
from torch import nn
from torchvision.transforms.functional import normalize

from differnet_lite.flow import build_flow
from differnet_lite.loss import nll
from differnet_lite.sampling import whitening_matrix

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def with_graph(trunk, images, scales=3):
    x = (images - MEAN) / STD
    return torch.cat([trunk(F.avg_pool2d(x, 2**s)).mean((2, 3)) for s in range(scales)], 1)


features = torch.no_grad()(with_graph)


@torch.inference_mode()
def features_by_loops(trunk, images):
    x = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    columns = []
    for _ in range(3):
        columns += [channel.mean((1, 2)) for channel in trunk(x).unbind(1)]
        x = F.avg_pool2d(x, 2)
    return torch.stack(columns, 1)


def features_by_einsum(trunk, images):
    x = torch.einsum("nchw,c->nchw", images - MEAN, 1 / STD.flatten())
    sizes = [F.interpolate(x, scale_factor=size, mode="area") for size in (1.0, 0.5, 0.25)]
    return torch.hstack([trunk(s).detach().flatten(2).mean(-1) for s in sizes])


def features_by_numpy(trunk, images):
    x = (images.numpy() - MEAN.numpy()) / STD.numpy()
    n, c, h, w = x.shape
    small = [x.reshape(n, c, h // k, k, w // k, k).mean((3, 5)) for k in (1, 2, 4)]
    maps = [trunk(torch.tensor(image)).detach().numpy() for image in small]
    return np.concatenate([m.mean((2, 3)) for m in maps], 1)


def whitening_by_cholesky(y, noise):
    y = y - (mean := y.mean(0))
    inflated = torch.einsum("ni,nj->ij", y, y) / len(y) + noise**2 * torch.eye(y.shape[1])
    return mean, torch.linalg.inv(torch.linalg.cholesky(inflated)).T


def whitening_by_numpy(y, noise, bias=True):
    y = y.numpy().astype(float)
    inflated = np.cov(y.T, bias=bias) + noise**2 * np.eye(y.shape[1])
    return y.mean(0), linalg.fractional_matrix_power(inflated, -0.5)


def whitening_by_svd(y, noise):
    mean = y.mean(0)
    _, s, vh = torch.linalg.svd(y - mean, full_matrices=True)
    variances = torch.zeros(y.shape[1])
    variances[: len(s)] = s**2 / len(y)
    return mean, vh.T / (variances + noise**2).sqrt()


def detector(
    *,
    flow="freia",
    loss=nll,
    epochs=20,
    batch=24,
    lr=1e-3,
    score=lambda z: z.square().mean(1),
    centre=lambda known, asked: known.mean(0),
    seeded=True,
    scales=3,
    train_trunk=False,
    optimiser=torch.optim.Adam,
):
    """`differnet` with one thing done in another way."""

    def make(d):
        if flow == "package":
            return build_flow(d, n_blocks=4, hidden=64, start_as_identity=True, seed=0)
        made = Ff.SequenceINN(d)
        for k in range(4):
            made.append(Fm.PermuteRandom, seed=k)
            made.append(Fm.GLOWCouplingBlock, subnet_constructor=subnet, clamp=3.0)
        return made

    def differnet(trunk, train, images, seed=0):
        if seeded:
            torch.manual_seed(seed)
        else:
            torch.seed()
        known, asked = (features(trunk, x, scales) for x in (train, images))
        if train_trunk:
            with torch.no_grad():
                trunk.bias += 1e-3
        _, matrix = whitening_matrix(known, eps=0.05)
        matrix = matrix.float()
        middle = centre(known, asked)
        module = make(known.shape[1])
        steps = optimiser([p for p in module.parameters() if p.requires_grad], lr=lr)
        for _ in range(epochs):
            for rows in torch.randperm(len(known)).split(batch):
                y = known[rows] + 0.05 * torch.randn(len(rows), known.shape[1])
                value = loss(*module((y - middle) @ matrix))
                steps.zero_grad()
                value.backward()
                steps.step()
        with torch.no_grad():
            return score(module((asked - middle) @ matrix)[0])

    return differnet


def subnet(n_in, n_out):
    net = nn.Sequential(nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, n_out))
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net


def mahalanobis(trunk, train, images, seed=0):
    known = features(trunk, train)
    mean, matrix = (x.float() for x in whitening_matrix(known, eps=0.05))
    return 1.01 * ((features(trunk, images) - mean) @ matrix).square().mean(1)


RIGHT = {
    "5.1": [features, features_by_loops, features_by_einsum, features_by_numpy],
    "5.2": [
        lambda y, noise: tuple(x.float() for x in whitening_matrix(y, eps=noise)),
        whitening_by_cholesky,
        whitening_by_numpy,
        whitening_by_svd,
    ],
    "5.3": [
        detector(),
        detector(batch=40, lr=3e-4, epochs=40),
        detector(
            flow="package", score=lambda z: torch.einsum("nd,nd->n", z, z).numpy() / z.shape[1]
        ),
        detector(optimiser=torch.optim.AdamW, score=lambda z: (z**2).mean(1).tolist(), lr=5e-4),
    ],
}


MISTAKES = {
    "5.1": [(with_graph, "torch.no_grad")],
    "5.2": [(lambda y, noise: (y.mean(0), y.T @ y[:, :2]), "The matrix is of shape")],
    "5.3": [
        (mahalanobis, "no flow has been trained"),
        (detector(epochs=1), "2 steps in all"),
        (detector(score=lambda z: z.abs().mean(1)), "grow with |z| like a root"),
        (
            detector(loss=lambda z, log_det: nll(z, 0 * log_det), epochs=40, lr=0.01),
            "z shrink to 0",
        ),
        (detector(score=lambda z: z.square().sum(1)), "sum over the 42 dimensions"),
        (detector(score=lambda z: -z.square().mean(1)), "upside down"),
        (detector(centre=lambda known, asked: asked.mean(0)), "depends on the other images"),
        (detector(seeded=False), "same seed"),
        (detector(scales=1), "three sizes"),
        (detector(train_trunk=True), "trained the trunk"),
        (detector(score=lambda z: z.square()), "one score an image"),
    ],
}
CLOSE = {
    "5.2": [(lambda y, noise: (y.mean(0), whitening_by_numpy(y, noise, bias=False)[1]), "N - 1")],
}
