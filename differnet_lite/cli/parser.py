"""What can be asked for on the command line; docs/command.md says more of each option.

Names and defaults are spelled out here, and tests compare them with the package's own: `--help`
and a wrong argument then answer at once, without importing PyTorch.
"""

from __future__ import annotations

import argparse

import differnet_lite

__all__ = ["PRESETS", "RULES", "SAMPLES", "build_parser"]

RULES = ("cross", "split", "none")
PRESETS = ("default", "paper")
SAMPLES = ("flange", "weave", "tablet", "switch", "button")


def build_parser() -> argparse.ArgumentParser:
    """The parser; `command` of what it gives is the name of the command."""
    parser = argparse.ArgumentParser(
        prog="differnet-lite",
        description="Find defects in photographs of a product from photographs of good ones.",
        epilog="Exit status: 0 done; 2 not possible, and one line says why; 3 done, but some files "
        "cannot be read; 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=differnet_lite.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=f"{summary}.".capitalize())
        added.add_argument("--quiet", action="store_true", help="print errors and notes alone")
        return added

    _fit(command("fit", "train on photographs of good parts and save the model"))
    _score(command("score", "score photographs with a saved model"))
    _evaluate(command("evaluate", "compare a saved model with the labels of a test folder"))
    export = command("export", "write a saved model as an ONNX file")
    export.add_argument("model", help="file that fit wrote")
    export.add_argument("out", help="file to write, such as part.onnx")
    _demo(command("demo", "train on a built-in category, print a table, write a report"))

    prepare = command("prepare", "bring a downloaded data set into the layout")
    prepare.add_argument("what", choices=["samples", "mtd"])
    prepare.add_argument("source", nargs="?", help="mtd: the clone of its repository")
    prepare.add_argument("--split", help="mtd: mtd_train_filenames.txt of the authors' repository")
    prepare.add_argument("--root", help="where the categories go (default data/)")

    cache = command("cache", "say where features are kept and how much they take")
    cache.add_argument("--clear", action="store_true", help="delete them")
    return parser


def _fit(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("folder", nargs="+", help="of good photographs, a category in the MVTec layout, or files")
    add("--out", required=True, help="model file to write, such as part.safetensors")
    add("--recursive", action="store_true", help="train on images of all sub-folders, too")
    add(
        "--groups",
        metavar="folder|REGEX",
        help="photographs of one part: those of a sub-folder, or those in whose names the pattern "
        "matches the same text",
    )
    add(
        "--calibration",
        metavar="RULE|FOLDER",
        help="what sets the threshold: cross, split, none, or a folder of other good photographs "
        "(default cross; paper none)",
    )
    add("--holdout", type=float, help="with split: share that calibrates (default 0.2)")
    add("--preset", choices=PRESETS, default="default", help="settings (default default)")
    add(
        "--rotations",
        type=int,
        metavar="N",
        help="angles over the full circle (default 16); 1 for parts whose pose matters, with 16 "
        "small zooms and shifts",
    )
    add("--epochs", type=int, help="passes over the images (default 32; paper 192)")
    add("--noise", type=float, help="added to features in training (default 0.02; paper 0)")
    add("--size", type=int, help="side of the network's input, px (default 448)")
    add("--white", type=float, help="value of white beyond 8 bits, as 4095 (default: as in folder)")
    add(
        "--checkpoint",
        metavar="DIR",
        help="folder for the state of the training, from which the same command resumes; deleted "
        "when the model is saved (default none; paper OUT.training)",
    )
    _common(command, alpha=False, seed=True)


def _score(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("model", help="file that fit wrote")
    add("images", nargs="+", help="photographs, or folders with their sub-folders")
    add("--csv", metavar="FILE", help="table to write, a row an image; - for standard output")
    add("--json", action="store_true", help="print a JSON object a line")
    add("--report", metavar="FILE", help="HTML page to write")
    add("--maps", metavar="DIR", help="pictures of where the defect is, for flagged photographs")
    add("--all-maps", action="store_true", help="with --maps: of all photographs")
    fdr = "in place of --alpha: flag parts of which, in this batch, a share of Q at most is good"
    add("--fdr", type=float, metavar="Q", help=fdr)
    add("--top", type=int, default=20, metavar="N", help="highest scores to print (default 20)")
    add("--scheduler", metavar="ADDRESS", help="score on the Dask cluster at tcp://HOST:PORT")
    add("--out", metavar="DIR", help="with --scheduler: scores, from which a rerun resumes")
    _common(command)


def _evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", help="file that fit wrote")
    command.add_argument("folder", help="has test/good/, test/DEFECT/")
    command.add_argument("--report", metavar="FILE", help="HTML page to write")
    _common(command)


def _demo(command: argparse.ArgumentParser) -> None:
    names = f"{', '.join(SAMPLES)}, or a folder in the MVTec layout (default flange)"
    command.add_argument("category", nargs="?", default="flange", help=names)
    command.add_argument("--report", default="report.html", help="default report.html")
    command.add_argument("--preset", choices=PRESETS, default="default", help="default default")
    _common(command, seed=True)


def _common(command: argparse.ArgumentParser, *, alpha: bool = True, seed: bool = False) -> None:
    add = command.add_argument
    if alpha:
        rate = "wanted false-alarm rate (default 0.05, or the smallest that the model can promise)"
        add("--alpha", type=float, help=rate)
    if seed:
        add("--seed", type=int, default=0, help="of everything random (default 0)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (default auto)")
