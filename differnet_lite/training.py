"""Training the flow: maximum likelihood on features of normal images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.features import fast_dtype
from differnet_lite.flow import CouplingFlow, build_flow, whitening_matrix
from differnet_lite.loss import nll
from differnet_lite.settings import Settings

__all__ = ["bank_views", "pooled", "train_flow", "whitening_of_views"]

Views = Callable[[Tensor, torch.Generator], Tensor]
OnEpoch = Callable[[int, dict[str, list[float]], CouplingFlow], None]


def bank_views(features: Tensor, settings: Settings) -> Views:
    """How a step draws views from a feature bank.

    Args:
        features: (N, T, D), every view of every training image.
        settings: `views_per_image` = V views are drawn for each image: V of its T angles without
            repetition while that is possible, or, with `pool_views`, V means over random halves of them.

    Returns:
        A function of image indices (B,) and a generator that gives (B, V, D).
    """
    n_angles, n_views = features.shape[1], settings.views_per_image

    def draw(indices: Tensor, generator: torch.Generator) -> Tensor:
        chosen = features[indices]  # (B, T, D)
        if settings.pool_views:
            half = (n_angles + 1) // 2
            ranks = torch.rand(len(indices), n_views, n_angles, generator=generator).argsort(2)
            weights = torch.zeros_like(ranks, dtype=chosen.dtype).scatter_(
                2, ranks[..., :half], 1.0 / half
            )  # (B, V, T)
            return weights.to(chosen.device) @ chosen
        order = torch.rand(len(indices), n_angles, generator=generator).argsort(1)
        order = order.repeat(1, -(-n_views // n_angles))[:, :n_views]  # (B, V)
        return chosen.gather(1, order.to(chosen.device)[..., None].expand(-1, -1, chosen.shape[-1]))

    return draw


def pooled(features: Tensor, settings: Settings) -> Tensor:
    """What the flow sees of an image when scoring: its T views, or their mean as one view, (N, T or 1, D)."""
    return features.mean(1, keepdim=True) if settings.pool_views else features


def whitening_of_views(
    views: Views, n_images: int, settings: Settings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The flow's first step: mean (D,) and matrix (D, D) that whiten about 16 drawn views of each training image.

    Args:
        views: draws features of training images, see `bank_views`.
        n_images: number of training images.
        settings: `noise` is the deviation that the covariance is inflated with.
        generator: draws the views.
    """
    everyone = torch.arange(n_images)
    sample = torch.cat(
        [views(everyone, generator) for _ in range(max(1, 16 // settings.views_per_image))], dim=1
    )
    return whitening_matrix(sample.flatten(0, 1), eps=settings.noise, symmetric=settings.symmetric)


def train_flow(
    views: Views,
    n_images: int,
    settings: Settings,
    *,
    n_features: int = 768,
    held_out: Tensor | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: bool = True,
    on_epoch: OnEpoch | None = None,
) -> tuple[CouplingFlow, dict[str, list[float]]]:
    """Fit a flow to features of normal images.

    Args:
        views: draws features of training images, see `bank_views`.
        n_images: number of training images.
        settings: of the flow and of the optimiser.
        n_features: D.
        held_out: (n, T, D) features of normal images that are not trained on, to watch; may be None.
        device: where to train.
        seed: of the initial weights, the order of images, the views and the noise.
        progress: whether to show a progress bar.
        on_epoch: called after each epoch with its number, the history so far and the flow; to draw a live
            curve or to watch the flow. It must not change the flow, and draws nothing from its generator.

    Returns:
        The trained flow, of the last epoch, and the history: "epoch", "train" and "held_out"
        (empty without held-out images), losses in nats per dimension. Training loss is the mean over
        the epoch, with noise; held-out loss is measured at its end, with the same noise.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    generator = torch.Generator().manual_seed(seed)
    whitening = (
        whitening_of_views(views, n_images, settings, generator) if settings.whiten else None
    )
    flow = build_flow(
        n_features,
        n_blocks=settings.n_blocks,
        hidden=settings.hidden,
        alpha=settings.alpha,
        whitening=whitening,
        start_as_identity=settings.start_as_identity,
        seed=seed,
    ).to(device)
    flow.mixed(_products(settings, torch.device(device)))
    optimiser = torch.optim.Adam(
        flow.trainable(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.adam_eps,
        weight_decay=settings.weight_decay,
        fused=torch.device(device).type in ("cpu", "cuda"),
    )
    watched = None
    if held_out is not None and len(held_out):
        watched = held_out.flatten(0, 1)
        watched = (watched + settings.noise * torch.randn(watched.shape, generator=generator)).to(
            device
        )
    history: dict[str, list[float]] = {"epoch": [], "train": [], "held_out": []}
    with tqdm(
        range(1, settings.epochs + 1),
        desc="training",
        unit="epoch",
        disable=not progress,
        leave=False,
    ) as bar:
        for epoch in bar:
            flow.train()
            total = torch.zeros((), device=device)
            order = torch.randperm(n_images, generator=generator)
            for indices in order.split(settings.batch_images):
                y = views(indices, generator).flatten(0, 1)  # (B * V, D)
                if settings.noise:
                    y = y + settings.noise * torch.randn(y.shape, generator=generator).to(y.device)
                z, log_det = flow(y.to(device))
                loss = nll(z, log_det)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                total += loss.detach() * len(indices)
            train_loss = float(total) / n_images
            if not train_loss == train_loss or abs(train_loss) == float("inf"):
                raise FloatingPointError(
                    f"the training loss is {train_loss} in epoch {epoch}: expected a finite number; lower the learning rate, or keep whiten=True"
                )
            flow.eval()
            history["epoch"].append(epoch)
            history["train"].append(train_loss)
            if watched is not None:
                with torch.inference_mode():
                    history["held_out"].append(float(nll(*flow(watched))))
            if on_epoch is not None:
                on_epoch(epoch, history, flow)
            bar.set_postfix(
                {
                    key: f"{values[-1]:.3f}"
                    for key, values in history.items()
                    if key != "epoch" and values
                }
            )
    return flow.eval(), history


def _products(settings: Settings, device: torch.device) -> torch.dtype | None:
    """The dtype of matrix products in training, None for float32."""
    if settings.train_dtype == "auto":
        wide = settings.hidden >= 1024 and torch.get_default_dtype() == torch.float32
        return torch.bfloat16 if wide and fast_dtype(device) == torch.bfloat16 else None
    return torch.bfloat16 if settings.train_dtype == "bfloat16" else None
