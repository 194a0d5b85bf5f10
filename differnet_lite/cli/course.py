"""The one place where the command reaches into `differnet_course`."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["course"]


def course(module: str) -> ModuleType:
    """A module of the course: commands (demo, evaluate, prepare), plots (reports) or cluster."""
    try:
        return importlib.import_module(f"differnet_course.{module}")
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"this needs {error.name}; install differnet_lite and differnet_course again, with "
            "pip and from the project's folder"
        ) from error
