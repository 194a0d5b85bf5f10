"""The package on every Python that it promises, with its newest and its oldest requirements.

    python scripts/versions.py [3.11] [3.12] [3.13] [lowest] [wheel]

A job builds a virtual environment in a temporary folder (PyTorch: about 5 GB), installs the wheel
with its development extra, runs a part of the tests on it, and then, away from the checkout: demo,
fit, score and README's example. "lowest" takes the oldest Python and exactly the lower bounds of
pyproject.toml; "wheel" takes this Python and installs nothing but the wheel. A Python that is not
on the PATH is skipped. The exit status is 1 if a job failed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
TESTS = ("test_flow.py", "test_loss.py", "test_sampling.py", "test_training.py", "widgets", "plots")
USE = """
import pathlib, sys
from differnet_course import make_sample_category
import differnet_lite
assert pathlib.Path(differnet_lite.__file__).is_relative_to(sys.argv[1]), differnet_lite.__file__
sizes = {"n_train": 40, "n_test_good": 4, "n_per_defect": 1}
root = make_sample_category("flange", "made", progress=False, **sizes)
pathlib.Path("my_good_parts").symlink_to(root / "train" / "good")
pathlib.Path("new_photographs").symlink_to(root / "test")
"""
COMMANDS = (
    "demo made/flange --report demo.html",
    "fit my_good_parts --out part.safetensors --rotations 4",
    "score part.safetensors new_photographs --csv scores.csv --maps maps",
)


def lowest_bounds() -> list[str]:
    """The lower bound of each requirement of pyproject.toml as a pin: numpy>=2.0 as numpy==2.0."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    lines = [*project["dependencies"], *extras]
    return [line.replace(">=", "==") for line in lines if ">=" in line]


def run(*command: str, cwd: Path, path: Path | None = None) -> None:
    """Run a command; its output is shown only if it fails, and then it is a RuntimeError."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    env |= {"DIFFERNET_LITE_CACHE": str(cwd / "cache"), "PYTHONNOUSERSITE": "1"}
    env |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def use(python: str, folder: Path, home: Path, path: Path | None = None) -> None:
    """Demo, fit, score and README's example, in a folder that knows nothing of the checkout."""
    folder.mkdir()
    run(python, "-c", USE, str(home), cwd=folder, path=path)
    for command in COMMANDS:
        run(python, "-m", "differnet_lite", *command.split(), cwd=folder, path=path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]
    run(python, "-c", example, cwd=folder, path=path)


def job(name: str, wheel: Path, folder: Path) -> str:
    """Run one job; a word on how it went."""
    home = folder / "installed"
    if name == "wheel":
        command = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(home), str(wheel)]
        run(sys.executable, *command, cwd=folder)
        use(sys.executable, folder / "away", home, home)
        return "passed"
    interpreter = shutil.which(f"python{PYTHONS[0] if name == 'lowest' else name}")
    if interpreter is None:
        return "skipped: it is not on the PATH"
    run(interpreter, "-m", "venv", str(home), cwd=folder)
    python = str(home / "bin" / "python")
    pins = folder / "pins.txt"
    pins.write_text("\n".join(lowest_bounds() if name == "lowest" else []), encoding="utf-8")
    run(python, "-m", "pip", "install", "-q", "-c", str(pins), f"{wheel}[dev]", cwd=folder)
    tests = Path(shutil.copytree(ROOT / "tests", folder / "tests"))  # without the packages beside
    options = ["-q", "--import-mode=importlib", "--rootdir", str(folder)]
    run(python, "-m", "pytest", *options, *(str(tests / name) for name in TESTS), cwd=folder)
    use(python, folder / "away", home)
    return "passed"


def main() -> None:
    failed = False
    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        for name in ("differnet_lite", "differnet_course"):
            shutil.copytree(ROOT / name, source / name)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)  # a build in the checkout would take up old leftovers
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", str(source), cwd=source)
        wheel = next(source.glob("*.whl"))
        for name in sys.argv[1:] or [*PYTHONS, "lowest", "wheel"]:
            with tempfile.TemporaryDirectory() as folder:  # one environment at a time
                try:
                    print(name, job(name, wheel, Path(folder)), flush=True)
                except RuntimeError as error:
                    failed = True
                    print(name, f"FAILED: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
