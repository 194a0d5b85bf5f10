"""The package on every Python that it promises, with its newest and its oldest requirements.

`make versions`, or `python scripts/versions.py 3.12 lowest`. Each job builds a virtual environment
in a temporary folder (PyTorch: about 5 GB), installs the wheel with its development extra, runs a
part of the tests on it, and then, away from the checkout: demo, fit, score and README's example.

| job | Python | requirements |
|---|---|---|
| 3.11, 3.12, 3.13 | that one | the newest |
| lowest | the oldest | exactly the lower bounds of pyproject.toml |
| wheel | this one | as they are here: nothing is installed but the wheel |

Interpreters are looked for on the PATH and among pyenv's; a Python that is not there is said and
skipped. The exit status is 1 if a job failed, 0 otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
JOBS = (*PYTHONS, "lowest", "wheel")
# Minutes on one core; style, notebooks and browser do not depend on the version.
TESTS = (
    "test_flow.py",
    "test_loss.py",
    "test_sampling.py",
    "test_scoring.py",
    "test_settings.py",
    "test_trunk.py",
    "test_training.py",
    "test_model_files.py",
    "baselines/test_baselines.py",
    "calibration",
    "conversion",
    "data",
    "evaluation",
    "experiments/test_grid.py",
    "experiments/test_storing.py",
    "localization/test_distance.py",
    "plots/test_figures.py",
    "widgets",
)

USE = """
import pathlib, re, sys
from differnet_course import make_sample_category

from differnet_lite import DifferNet
import differnet_lite
assert pathlib.Path(differnet_lite.__file__).is_relative_to(sys.argv[1]), differnet_lite.__file__
root = make_sample_category(
    "flange", "made", n_train=40, n_test_good=4, n_per_defect=1, progress=False
)
pathlib.Path("my_good_parts").symlink_to(root / "train" / "good")
pathlib.Path("new_photographs").symlink_to(root / "test")
"""


def find_python(version: str) -> str | None:
    """The path of an interpreter of this version, such as "3.12"; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)
    named = shutil.which(f"python{version}")
    for path in [*([named] if named else []), *map(str, found)]:
        # pyenv's shims are on the PATH, and fail where the version is not chosen
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        said = subprocess.run([path, "-c", ask], capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return path
    return None


def lowest_bounds() -> list[str]:
    """The lower bound of each requirement of pyproject.toml as a pin: numpy>=2.0 as numpy==2.0."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    lines = [*project["dependencies"], *extras]
    return [line.replace(">=", "==") for line in lines if ">=" in line]


def readme_example() -> str:
    """README's Python example."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]


def run(*command: str, cwd: Path, path: Path | None = None) -> None:
    """Run a command; its output is shown only if it fails, and then it is an error."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    env |= {"DIFFERNET_LITE_CACHE": str(cwd / "cache"), "PYTHONNOUSERSITE": "1"}
    env |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}\n{done.stdout[-4000:]}")


def use(python: str, folder: Path, home: Path, path: Path | None = None) -> None:
    """Demo, fit, score and README's example, in a folder that knows nothing of the checkout."""
    folder.mkdir()
    run(python, "-c", USE, str(home), cwd=folder, path=path)
    command = [python, "-m", "differnet_lite"]
    run(*command, "demo", "made/flange", "--report", "demo.html", cwd=folder, path=path)
    small = ["--out", "part.safetensors", "--rotations", "4"]
    run(*command, "fit", "my_good_parts", *small, cwd=folder, path=path)
    table = ["--csv", "scores.csv", "--maps", "maps"]
    run(*command, "score", "part.safetensors", "new_photographs", *table, cwd=folder, path=path)
    run(python, "-c", readme_example(), cwd=folder, path=path)
    rows = (folder / "scores.csv").read_text(encoding="utf-8").splitlines()
    if len(rows) < 2 or not any((folder / "maps").iterdir()):
        raise RuntimeError("score wrote no table or no maps")


def job(name: str, wheel: Path, tests: Path, folder: Path) -> str:
    """Run one job; what to say of it."""
    if name == "wheel":
        home = folder / "installed"
        command = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(home), str(wheel)]
        run(sys.executable, *command, cwd=folder)
        use(sys.executable, folder / "away", home, home)
        return "as installed here"
    version = PYTHONS[0] if name == "lowest" else name
    found = find_python(version)
    if found is None:
        return f"skipped: no python{version} on the PATH or among pyenv's"
    home = folder / "venv"
    run(found, "-m", "venv", str(home), cwd=folder)
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
    pins = folder / "pins.txt"
    pins.write_text("\n".join(lowest_bounds() if name == "lowest" else []), encoding="utf-8")
    command = ["-m", "pip", "install", "-q", "-c", str(pins), f"{wheel}[dev]"]
    run(python, *command, cwd=folder)
    chosen = [str(tests / name) for name in TESTS]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, cwd=tests.parent)
    use(python, folder / "away", home)
    shown = "import torch, numpy; print(torch.__version__, numpy.__version__)"
    said = subprocess.run([python, "-c", shown], capture_output=True, text=True, check=True)
    return "python {}, torch {}, numpy {}".format(version, *said.stdout.split())


def main() -> int:
    """Run the jobs that are asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", help=f"some of {', '.join(JOBS)} (default: all)")
    jobs = parser.parse_args().jobs or list(JOBS)
    if unknown := sorted(set(jobs) - set(JOBS)):
        parser.error(f"unknown job(s) {unknown}; expected some of {list(JOBS)}")
    failed = False
    with tempfile.TemporaryDirectory() as made:
        source, built = Path(made) / "source", Path(made) / "wheel"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "differnet_lite", source / "differnet_lite", ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)  # a build in the checkout would take up old leftovers
        command = ["-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(built), str(source)]
        run(sys.executable, *command, cwd=Path(made))
        wheel, tests = next(built.glob("*.whl")), Path(made) / "tests"
        for name in ("tests", "scripts", "notebooks"):  # some tests read the other two
            shutil.copytree(ROOT / name, tests.parent / name, ignore=ignored)
        options = "[pytest]\naddopts = --import-mode=importlib\n"
        (tests.parent / "pytest.ini").write_text(options, encoding="utf-8")
        for name in jobs:
            start = time.perf_counter()
            # each environment is deleted before the next one is built
            with tempfile.TemporaryDirectory() as folder:
                try:
                    said = job(name, wheel, tests, Path(folder))
                except RuntimeError as error:
                    failed, said = True, f"FAILED: {error}"
            print(f"{name:7} {time.perf_counter() - start:5.0f} s  {said}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
