"""A sample of mutants of the core, each run against the tests of its own module.

    python scripts/mutation.py --sample 10 --seed 0

It changes files in place and puts them back: run it in a clone of its own. A mutant changes one
operator, comparison, constant or truth value; docstrings and annotations are left alone. A mutant
that the tests do not notice survives, and is printed with its line.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "flow": ["test_flow.py"],
    "loss": ["test_loss.py", "test_training.py"],
    "training": ["test_training.py", "test_settings.py"],
    "scoring": ["test_scoring.py", "test_model.py"],
    "calibration/thresholding": ["calibration/test_thresholding.py"],
    "evaluation/metrics": ["evaluation/test_metrics.py"],
    "localization/maps": ["localization/test_maps.py"],
    "localization/distance": ["localization/test_distance.py"],
}
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def places(source: str) -> list[tuple[int, int]]:
    """(index of a node in `ast.walk`, line) for all that can be changed."""
    tree, found = ast.parse(source), []
    skipped = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if (part := getattr(node, field, None)) is not None:
                skipped |= {id(child) for child in ast.walk(part)}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    for index, node in enumerate(ast.walk(tree)):
        if id(node) not in skipped and mutated(node, try_only=True):
            found.append((index, getattr(node, "lineno", 0)))
    return found


def mutated(node: ast.AST, *, try_only: bool = False) -> bool:
    """Change a node in place; False where there is nothing to change."""
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        if not try_only:
            node.op = SWAPS[type(node.op)]()
        return True
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        if not try_only:
            node.ops[0] = SWAPS[type(node.ops[0])]()
        return True
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        if not try_only:
            value = node.value
            node.value = not value if isinstance(value, bool) else value + 1
        return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=10, help="mutants a module (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, killed, total = random.Random(args.seed), 0, 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for module, tests in TESTS.items():
        path = ROOT / "differnet_lite" / f"{module}.py"
        source = path.read_text(encoding="utf-8")
        everywhere = places(source)
        for index, line in rng.sample(everywhere, min(args.sample, len(everywhere))):
            tree = ast.parse(source)
            mutated(list(ast.walk(tree))[index])
            files = [str(ROOT / "tests" / name) for name in tests]
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", *files]
            try:
                path.write_text(ast.unparse(tree), encoding="utf-8")
                done = subprocess.run(
                    command, cwd=ROOT, env=environment, capture_output=True, timeout=240
                )
                survived = done.returncode == 0
            except subprocess.TimeoutExpired:
                survived = False
            finally:
                path.write_text(source, encoding="utf-8")
            total, killed = total + 1, killed + (not survived)
            if survived:
                print(f"survived: {module}.py:{line}: {source.splitlines()[line - 1].strip()}")
            sys.stdout.flush()
        print(f"{module}: so far {killed} of {total} killed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
