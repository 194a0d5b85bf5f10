"""Global switches of PyTorch and Pillow, at their defaults while a detector works.

Other code in the same program may have thrown them: another default dtype or device, autocast, no
gradients, inference mode, coarser matrix products, images that are filled up where they are cut
off. A score that depended on them would no longer fit the scores that calibrated the model.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from PIL import ImageFile

__all__ = ["default_switches", "torch_threads", "with_default_switches"]

F = TypeVar("F", bound=Callable[..., Any])

GLOBAL: tuple[tuple[Callable[[], Any], Callable[[Any], Any], Any], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (
        lambda: ImageFile.LOAD_TRUNCATED_IMAGES,
        lambda value: setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", value),
        False,
    ),
)


@contextmanager
def default_switches() -> Iterator[None]:
    """Within, all of the above are as after `import torch`; afterwards as they were.

    Example:
        >>> with torch.inference_mode(), default_switches():
        ...     torch.is_grad_enabled()
        True
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for get, put, value in GLOBAL:
            if (before := get()) != value:
                stack.callback(put, before)
                put(value)
        yield


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Within, torch computes with n threads; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_default_switches(function: F) -> F:
    """Decorator: a function, or each step of a generator, works with `default_switches`."""
    if not inspect.isgeneratorfunction(function):
        return default_switches()(function)

    @functools.wraps(function)
    def steps(*args: Any, **options: Any) -> Iterator[Any]:
        made, end = function(*args, **options), object()
        while True:
            with default_switches():
                item = next(made, end)
            if item is end:
                return
            yield item

    return steps  # type: ignore[return-value]
