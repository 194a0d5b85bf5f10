"""What the command line understands. Nothing heavy is imported here: `--help` answers at once."""

from __future__ import annotations

import argparse

__all__ = ["CALIBRATIONS", "MAP_METHODS", "PRESETS", "SAMPLES", "build_parser"]

# tests/cli keeps these in step with the package, whose import takes seconds
CALIBRATIONS = ("cross", "split", "none")
MAP_METHODS = ("attribution", "deviation", "distance", "gradient")
PRESETS = ("default", "paper")
SAMPLES = ("flange", "switch", "tablet", "weave")


def build_parser() -> argparse.ArgumentParser:
    """The parser; `args.command` is the name of the command."""
    about = "DifferNet: find defects in photographs of a product, trained on pictures of good ones."
    parser = argparse.ArgumentParser(prog="differnet-lite", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    made = commands.add_parser("demo", help="train on a built-in category, write a report")
    names = ", ".join(SAMPLES)
    made.add_argument(
        "category", nargs="?", default="flange", help=f"{names}, or a folder in the MVTec layout"
    )
    made.add_argument("--report", default="report.html")
    _common(made)
    _training(made)

    made = commands.add_parser("fit", help="train on a folder of normal photographs")
    made.add_argument("folder", help="normal images, or a category in the MVTec layout")
    made.add_argument("--out", required=True, help="model file to write: part.safetensors")
    made.add_argument("--method", default="differnet", help="or a baseline, such as mahalanobis")
    turns = made.add_mutually_exclusive_group()
    turns.add_argument(
        "--rotations",
        type=int,
        metavar="N",
        help="angles over the full circle (default 16); 1 for parts that must not be rotated",
    )
    turns.add_argument("--angles", type=float, nargs="+", metavar="DEGREES", help="these angles")
    made.add_argument("--epochs", type=int, help="passes over the training images (default 128)")
    made.add_argument("--noise", type=float, help="on the features in training (default 0.01)")
    made.add_argument("--size", type=int, help="side of the input in pixels (default 448)")
    made.add_argument(
        "--calibration",
        choices=CALIBRATIONS,
        help="split (default): a share of the normals is held out, with an exact guarantee; cross: "
        "all normals train and all calibrate, by five more flows; none: no threshold",
    )
    made.add_argument("--holdout", type=float, help="the share of split (default 0.2)")
    _common(made)
    _training(made)

    made = commands.add_parser("score", help="score images with a model")
    made.add_argument("model")
    made.add_argument("images", help="an image, a folder, or a category in the MVTec layout")
    made.add_argument(
        "--csv",
        metavar="FILE",
        help="table of all images to write, - for standard output; names that a spreadsheet would "
        "take for a formula get a ' in front",
    )
    made.add_argument("--maps", metavar="FOLDER", help="pictures of where the defect is")
    made.add_argument("--map-method", choices=MAP_METHODS, help="how to draw them")
    made.add_argument("--report", metavar="FILE", help="HTML report, for a category with labels")
    made.add_argument("--top", type=int, default=20, help="how many images to print (default 20)")
    _common(made)

    made = commands.add_parser("prepare", help="bring a data set into the layout")
    made.add_argument("what", choices=["samples", "mvtec", "mtd"])
    made.add_argument("source", nargs="?", help="downloaded archive, or folder")
    made.add_argument("--split", help="mtd: mtd_train_filenames.txt of the authors' repository")
    made.add_argument("--root", help="where the categories go (default data/)")

    made = commands.add_parser("cache", help="say what the feature cache holds")
    made.add_argument("--clear", action="store_true")
    return parser


def _common(made: argparse.ArgumentParser) -> None:
    made.add_argument("--alpha", type=float, default=0.05, help="false-alarm rate (default 0.05)")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def _training(made: argparse.ArgumentParser) -> None:
    made.add_argument("--preset", default="default", choices=PRESETS)
    made.add_argument("--seed", type=int, default=0)
