"""Run notebooks and store their outputs in place, without widget state and without timings.

    python scripts/execute_notebooks.py                     all, and the labs' solutions
    python scripts/execute_notebooks.py notebooks/02*.ipynb

Afterwards `pytest --nbval notebooks/` compares every later run with what was stored.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def execute(notebook: Path) -> float:
    """Run one notebook in its own folder; seconds it took, kernel start included.

    Raises:
        subprocess.CalledProcessError: a cell failed; nbconvert has printed which.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    }
    options = ["store_widget_state=False", "record_timing=False", "timeout=600"]
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--inplace",
        "--log-level=ERROR",
    ]
    start = time.perf_counter()
    subprocess.run(
        [*command, *(f"--ExecutePreprocessor.{o}" for o in options), str(notebook)],
        env=environment,
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    folders = ROOT / "notebooks", ROOT / "notebooks" / "labs" / "solutions"
    every = [notebook for folder in folders for notebook in sorted(folder.glob("*.ipynb"))]
    for notebook in parser.parse_args().notebooks or every:
        seconds = execute(notebook)
        print(
            f"{notebook.name}: {seconds:.0f} s, {notebook.stat().st_size / 1000:.0f} kB", flush=True
        )


if __name__ == "__main__":
    main()
