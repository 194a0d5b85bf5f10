"""What the parts of a model file must agree on, beyond what building the model finds out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from differnet_lite.oldchecks import shown, vector

__all__ = ["check_contents", "check_history", "check_size", "check_tensors", "load_flow", "plain"]

OUTER = {"format", "kind"}  # of a header: what `write_checkpoint` adds


def check_contents(
    given: tuple[Mapping[str, Tensor], Mapping[str, Any]],
    again: tuple[Mapping[str, Tensor], Mapping[str, Any]],
) -> None:
    """A model that was loaded must hold what its file holds: no more, no less, nothing changed.

    Args:
        given: tensors and header of the file.
        again: those that the loaded model would save.

    Raises:
        ValueError: names, shapes, dtypes or headers differ.
    """
    check_tensors(given[0], again[0])
    headers = given[1], again[1]
    differ = sorted(
        n for n in {*headers[0], *headers[1]} - OUTER if headers[0].get(n) != headers[1].get(n)
    )
    if differ:
        raise ValueError(f"its header says {differ} otherwise than its contents")


def check_tensors(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Tensors of a file must have the names, shapes and dtypes that are expected.

    Raises:
        ValueError: they differ.
    """
    kinds = [
        {n: (x.dtype, tuple(x.shape)) for n, x in tensors.items()} for tensors in (given, expected)
    ]
    if strange := sorted(n for n in {*kinds[0], *kinds[1]} if kinds[0].get(n) != kinds[1].get(n)):
        was, now = (kind.get(strange[0], "nothing") for kind in kinds)
        raise ValueError(f"{strange[0]}: expected {now}, got {was}")


def check_size(n_blocks: int, hidden: int, tensors: Mapping[str, Tensor]) -> None:
    """Refuse settings of a flow that is larger than what is there, before it is built.

    Args:
        n_blocks, hidden: of the flow; a block has four matrices (hidden, hidden).
        tensors: of the file.
    """
    there, asked = sum(x.numel() for x in tensors.values()), 4 * n_blocks * hidden**2
    if asked > there:
        raise ValueError(f"its settings ask for {asked} numbers at least, it holds {there}")


def load_flow(flow: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a flow its tensors, which must agree with one another.

    Permutations are some and have their inverses; a linear map has its own log-determinant.
    """
    flow.load_state_dict(tensors)
    for name, part in flow.named_modules():
        if (perm := getattr(part, "perm", None)) is not None:
            order = torch.arange(len(perm))
            inverse = part.perm_inv
            if not torch.equal(perm.sort()[0], order) or not torch.equal(perm[inverse], order):
                raise ValueError(f"{name}: expected a permutation and its inverse")
        if (matrix := getattr(part, "M", None)) is not None:
            log_det = torch.linalg.slogdet(matrix.double())[1]
            if not torch.allclose(log_det, part.logDetM.double(), rtol=1e-3, atol=1e-2):
                there = float(part.logDetM)
                raise ValueError(f"{name}: expected log |det| {log_det:.6g}, got {there:.6g}")


def check_history(history: Any) -> Any:
    """Losses by epoch: "epoch", "train" and "held_out", which may be empty, lists of one length."""
    if not isinstance(history, Mapping) or set(history) != {"epoch", "train", "held_out"}:
        raise ValueError(f"history: expected epoch, train and held_out, got {shown(history)}")
    n = len(vector("epoch", history["epoch"]))
    for name in ("train", "held_out"):
        if len(vector(name, history[name])) not in ((n,) if name == "train" else (0, n)):
            raise ValueError(f"history: expected {n} losses of {name}, got {len(history[name])}")
    return history


def plain(settings: Any) -> dict[str, Any]:
    """Settings as JSON keeps them: numbers, texts, lists and names to them."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))
