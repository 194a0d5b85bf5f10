"""What can be asked for on the command line.

Names are spelled out here, and tests compare them with the package's own: `--help` and a wrong
argument then answer at once, without importing PyTorch.
"""

from __future__ import annotations

import argparse

__all__ = ["CALIBRATIONS", "MAP_METHODS", "METHODS", "PRESETS", "SAMPLES", "build_parser"]

CALIBRATIONS = ("cross", "split", "none")
MAP_METHODS = ("attribution", "deviation", "distance", "gradient")
METHODS = (
    "differnet",
    "ocsvm",
    "1-nn",
    "mahalanobis",
    "geotrans",
    "ganomaly",
    "dsebm",
    "autoencoder-l2",
    "autoencoder-ssim",
)
PRESETS = ("default", "paper")
SAMPLES = ("flange", "weave", "tablet", "switch", "button")


def build_parser() -> argparse.ArgumentParser:
    """The parser; `command` of what it gives is the name of the command."""
    parser = argparse.ArgumentParser(
        prog="differnet-lite",
        description="DifferNet: anomaly detection with normalizing flows.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=f"{summary}.".capitalize())

    _demo(command("demo", "train on a built-in category, print a table, write a report"))
    _fit(command("fit", "train on a folder of normal photographs and save the model"))
    _score(command("score", "score images with a saved model"))

    made = command("prepare", "bring a downloaded data set into the layout")
    made.add_argument("what", choices=["samples", "mvtec", "mtd"])
    made.add_argument("source", nargs="?", help="downloaded archive, or folder")
    made.add_argument("--split", help="mtd: mtd_train_filenames.txt of the authors' repository")
    made.add_argument("--root", help="where the categories go (default data/)")

    made = command("cache", "say where features are kept and how much they take")
    made.add_argument("--clear", action="store_true", help="delete them")
    return parser


def _demo(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "category",
        nargs="?",
        default="flange",
        help=f"one of {', '.join(SAMPLES)}, or a folder in the MVTec layout (default flange)",
    )
    made.add_argument("--report", default="report.html", help="to write (default report.html)")
    made.add_argument("--preset", choices=PRESETS, default="default")
    _common(made, training=True, report=True)


def _fit(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "folder",
        nargs="+",
        help="normal images, or a category in the MVTec layout; several with --scheduler",
    )
    made.add_argument(
        "--out",
        required=True,
        help="model file to write, such as part.safetensors; with --scheduler a folder for them",
    )
    made.add_argument("--method", choices=METHODS, default="differnet", help="default differnet")
    made.add_argument("--preset", choices=PRESETS, help="of differnet (default: default)")
    views = made.add_mutually_exclusive_group()
    views.add_argument(
        "--rotations",
        type=int,
        metavar="N",
        help="angles over the full circle (default 16); 1 for parts whose pose matters: 16 small "
        "zooms and shifts are taken in place of rotations",
    )
    views.add_argument("--angles", type=float, nargs="+", metavar="A", help="the angles, degrees")
    made.add_argument("--epochs", type=int, help="of differnet: passes over the images")
    made.add_argument("--noise", type=float, help="of differnet: noise added in training")
    made.add_argument("--size", type=int, help="side of the network's input, pixels")
    made.add_argument(
        "--calibration",
        choices=CALIBRATIONS,
        help="how the threshold is found (default: as the preset says; split for other methods)",
    )
    made.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="of differnet: folder for the state of the training, so that the same command goes on "
        "after an interruption; deleted when the model is saved (default: none; with --preset "
        "paper OUT.training)",
    )
    made.add_argument("--holdout", type=float, help="share of images that calibrate, with split")
    _common(made, training=True)


def _score(made: argparse.ArgumentParser) -> None:
    made.add_argument("model", help="file that fit wrote")
    made.add_argument(
        "images", help="an image, a folder, or a category in the MVTec layout (its test set)"
    )
    made.add_argument(
        "--csv",
        metavar="FILE",
        help="table of all images to write; - is stdout. A name that a spreadsheet would take for "
        "a formula (it begins with = + - @ or a tab) gets a ' before it",
    )
    made.add_argument("--maps", metavar="DIR", help="folder for pictures of where the defect is")
    made.add_argument(
        "--map-method",
        choices=MAP_METHODS,
        help="how to draw them (default distance: the one with a level)",
    )
    made.add_argument("--report", metavar="FILE", help="HTML to write, for a labelled category")
    made.add_argument(
        "--fdr",
        type=float,
        metavar="Q",
        help="select, of this batch as a whole, parts of which a share of Q at most is good "
        "(Benjamini-Hochberg), in place of all whose p-value is alpha at most",
    )
    made.add_argument(
        "--out",
        metavar="DIR",
        help="with --scheduler: Parquet data set to write, a folder such as scores.parquet; the "
        "same command goes on after an interruption",
    )
    made.add_argument("--top", type=int, default=20, help="how many images to print (default 20)")
    _common(made, training=False)


def _common(made: argparse.ArgumentParser, *, training: bool, report: bool = False) -> None:
    made.add_argument(
        "--alpha", type=float, default=0.05, help="wanted false-alarm rate (default 0.05)"
    )
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    if not report:
        made.add_argument(
            "--scheduler",
            metavar="tcp://HOST:PORT",
            help="work on this Dask cluster, whose workers see the images at the same paths",
        )
    if training:
        made.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
