"""Training the flow: maximum likelihood on features of normal images."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.loss import nll
from differnet_lite.resume import History, read_state, write_state
from differnet_lite.sampling import Sampler, whitening_matrix
from differnet_lite.settings import Settings

__all__ = ["History", "add_noise", "build_optimiser", "empty_flow", "start_flow", "train_epoch"]
__all__ += ["train_flow", "train_step"]


def start_flow(
    sample: Sampler,
    n_images: int,
    settings: Settings,
    *,
    n_features: int,
    seed: int,
    generator: torch.Generator,
) -> CouplingFlow:
    """The untrained flow; its whitening is that of about 16 draws of rows of each image."""
    whitening = None
    if settings.whiten:
        everyone = torch.arange(n_images)
        n_draws = max(1, 16 // settings.views_per_image)
        rows = torch.cat([sample(everyone, generator) for _ in range(n_draws)], dim=1)
        whitening = whitening_matrix(rows.flatten(0, 1), eps=settings.noise)
    return empty_flow(settings, n_features=n_features, whitening=whitening, seed=seed)


def empty_flow(
    settings: Settings,
    *,
    n_features: int,
    whitening: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
) -> CouplingFlow:
    """A flow as the settings say, to be trained or to load weights into."""
    if settings.whiten and whitening is None:
        whitening = (torch.zeros(n_features), torch.eye(n_features))
    return build_flow(
        n_features,
        n_blocks=settings.n_blocks,
        hidden=settings.hidden,
        clamp=settings.clamp,
        clamp_factor=settings.clamp_factor,
        start_as_identity=settings.start_as_identity,
        whitening=whitening,
        seed=seed,
    )


def build_optimiser(flow: CouplingFlow, settings: Settings) -> torch.optim.Optimizer:
    """Adam as the settings say; its update is one fused call where the device has one."""
    return torch.optim.Adam(
        flow.trainable(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.adam_eps,
        weight_decay=settings.weight_decay,
        fused=flow.mean.device.type in ("cpu", "cuda"),
    )


def add_noise(y: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """y + noise * N(0, 1), drawn on the CPU, so that every device sees the same."""
    if not noise:
        return y
    return y + noise * torch.randn(y.shape, generator=generator).to(y.device)


def train_step(flow: CouplingFlow, optimiser: torch.optim.Optimizer, y: Tensor) -> Tensor:
    """One step of maximum likelihood on rows (M, D); the loss before it, a scalar."""
    z, log_det = flow(y)
    loss = nll(z, log_det)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def train_epoch(
    flow: CouplingFlow,
    optimiser: torch.optim.Optimizer,
    sample: Sampler,
    n_images: int,
    *,
    batch_images: int,
    noise: float,
    generator: torch.Generator,
) -> float:
    """Every training image once, in random order; the mean loss over images."""
    flow.train()
    total = torch.zeros((), device=flow.mean.device)
    for indices in torch.randperm(n_images, generator=generator).split(batch_images):
        y = add_noise(sample(indices, generator).flatten(0, 1), noise, generator)  # (B * V, D)
        total += train_step(flow, optimiser, y.to(flow.mean.device)) * len(indices)
    flow.eval().zero_grad(set_to_none=True)  # nothing stays that only the step needed
    return float(total) / n_images


def train_flow(
    sample: Sampler,
    n_images: int,
    settings: Settings,
    *,
    n_features: int = 768,
    held_out: Tensor | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: bool = True,
    description: str = "training",
    on_epoch: Callable[[int, History, CouplingFlow], None] | None = None,
    state_file: Path | None = None,
) -> tuple[CouplingFlow, History]:
    """Fit a flow to features of normal images.

    Args:
        sample: draws features of the n_images training images, see `view_sampler`.
        settings: of the flow and of the optimiser.
        n_features: D.
        held_out: (n, T or 1, D) rows of other normal images, to watch; may be None.
        seed: of the initial weights, the order of images, the views and the noise.
        progress: whether to show a progress bar, with this description.
        on_epoch: called after each epoch with its number, history and flow; must change nothing.
        state_file: where the state is written after each epoch; an interrupted training resumes
            from it. The caller names it by everything that the training depends on.

    Returns:
        The trained flow, of the last epoch, and the history: "epoch", "train" and "held_out"
        (empty without held-out images), losses in nats per dimension. Training loss is the mean
        over the epoch, with noise; held-out loss that at its end, with noise that is drawn once.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    generator = torch.Generator().manual_seed(seed)
    flow = start_flow(
        sample, n_images, settings, n_features=n_features, seed=seed, generator=generator
    )
    flow = flow.to(device)
    optimiser = build_optimiser(flow, settings)
    watched = None
    if held_out is not None and len(held_out):
        watched = add_noise(held_out.flatten(0, 1), settings.noise, generator).to(device)
    history: History = {"epoch": [], "train": [], "held_out": []}
    if state_file is not None and state_file.exists():
        history = read_state(state_file, flow, optimiser, generator)
    epochs = range(len(history["epoch"]) + 1, settings.epochs + 1)
    with tqdm(epochs, description, unit="epoch", disable=not progress, leave=False) as bar:
        for epoch in bar:
            loss = train_epoch(
                flow,
                optimiser,
                sample,
                n_images,
                batch_images=settings.batch_images,
                noise=settings.noise,
                generator=generator,
            )
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the training loss is {loss} in epoch {epoch}: expected a finite number; "
                    "lower the learning rate, or set whiten=True"
                )
            history["epoch"].append(epoch)
            history["train"].append(loss)
            if watched is not None:
                with torch.inference_mode():
                    history["held_out"].append(float(nll(*flow(watched))))
            if state_file is not None:
                write_state(state_file, flow, optimiser, generator, history)
            if on_epoch is not None:
                on_epoch(epoch, history, flow)
            bar.set_postfix({k: f"{v[-1]:.3f}" for k, v in history.items() if v and k != "epoch"})
    return flow, history
