"""Where scores meet labels: metrics, the evaluation of a category, the paper's figures."""

from __future__ import annotations

from differnet_lite.evaluation.evaluating import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
