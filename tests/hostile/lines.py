"""The command line, in this process: what it is given, and where it is to write (8, 10, 11, 14)."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from differnet_course.experiments.__main__ import main as experiments
from differnet_lite import settings
from differnet_lite.cli.commands import main
from differnet_lite.model import DifferNet
from tests.hostile.harness import WORDS, Case

Arguments = Callable[[Any], list[Any]]


def run(
    arguments: Arguments, s: Any, program: Callable[[list[str]], int] = main
) -> tuple[int, str, str]:
    """The exit status, and what was said: of output and errors."""
    quick = DifferNet(**s.tiny | {"calibration": "split"}).settings
    s.patch.setitem(settings.PRESETS, "default", quick)
    try:
        status = program([str(argument) for argument in arguments(s)])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = s.capture.readouterr()
    return status, printed.out, printed.err


def refused(arguments: Arguments, s: Any) -> bool:
    """Status 2, one line that says why, no traceback, nothing written, inputs as they were."""
    given = [Path(str(argument)) for argument in arguments(s)]
    files = {p: p.read_bytes() for p in [s.saved, *given] if len(str(p)) < 150 and p.is_file()}
    before = set(s.folder.rglob("*"))
    status, _, said = run(arguments, s)
    left = set(s.folder.rglob("*")) - before
    same = all(path.read_bytes() == content for path, content in files.items())
    clear = bool(WORDS.search(said) or "usage:" in said) and "Traceback" not in said
    return status == 2 and clear and not left and same


def done(arguments: Arguments, right: Callable[[Any, str, str], bool], s: Any) -> bool:
    status, out, said = run(arguments, s)
    return status == 0 and right(s, out, said)


def score(*more: Any) -> Arguments:
    return lambda s: ["score", s.saved, s.photographs, *(m(s) if callable(m) else m for m in more)]


def scored(model: Callable[[Any], Any], images: Callable[[Any], Any], s: Any) -> list[Any]:
    return ["score", model(s), images(s)]


def fit(*more: Any) -> Arguments:
    out = [] if "--out" in more else ["--out", "m"]
    return lambda s: [
        "fit",
        s.photographs,
        *(s.folder / "m" if m == "m" else m(s) if callable(m) else m for m in [*out, *more]),
    ]


def in_folder(name: str) -> Callable[[Any], Path]:
    return lambda s: s.folder / name


def linked(target: Callable[[Any], Any]) -> Callable[[Any], Path]:
    """A link of its own to something."""

    def make(s: Any) -> Path:
        link = s.folder / "link"
        if not link.is_symlink():
            link.symlink_to(target(s))
        return link

    return make


def without_test(s: Any) -> Path:
    root = s.folder / "part"
    if not root.exists():
        shutil.copytree(s.category, root)
        shutil.rmtree(root / "test")
    return root


def Good(s: Any) -> Path:
    root = without_test(s)
    shutil.copytree(s.category / "test" / "good", root / "test" / "Good", dirs_exist_ok=True)
    return root


REFUSED: dict[str, Arguments] = {
    "nothing": lambda s: [],
    "unknown command": lambda s: ["scroe"],
    "score without images": lambda s: ["score", s.saved],
    **{
        f"score of {name}": functools.partial(scored, lambda s: s.saved, make)
        for name, make in {
            "nothing there": in_folder("nowhere"),
            "an empty folder": lambda s: s.folder,
            "a model as an image": lambda s: s.saved,
            "a category without test": without_test,
            "a category with test/Good": Good,
            "an empty name": lambda s: "",
            "a zero byte": lambda s: "a\0b",
            "a name of 300": lambda s: "a" * 300,
            "/dev/zero": lambda s: "/dev/zero",
        }.items()
    },
    **{
        f"score by {name}": functools.partial(scored, make, lambda s: s.photographs)
        for name, make in {
            "no model": in_folder("nowhere"),
            "a folder": lambda s: s.photographs,
            "an image": lambda s: s.photographs / "00.png",
            "/dev/null": lambda s: "/dev/null",
            "an empty name": lambda s: "",
            "a name of 300": lambda s: "a" * 300,
        }.items()
    },
    **{
        f"score --alpha {a}": score("--alpha", a)
        for a in ("0", "1", "-1", "2", "nan", "inf", "x", "")
    },
    **{f"score --top {n}": score("--top", n) for n in ("-1", "x", "1.5", "")},
    **{
        f"score --device {d}": score("--device", d)
        for d in ("xpu", "cuda:99", "gpu", "", "meta", "cuda")
    },
    "score --csv over the model": score("--csv", lambda s: s.saved),
    "score --csv over an image": score("--csv", lambda s: s.photographs / "00.png"),
    "score --csv over the model by a link": score("--csv", linked(lambda s: s.saved)),
    "score --csv over an image by a link": score(
        "--csv", linked(lambda s: s.photographs / "01.png")
    ),
    "score --csv into no folder": score("--csv", in_folder("no/such/t.csv")),
    "score --csv onto a folder": score("--csv", lambda s: s.folder),
    "score --csv through a file": score("--csv", lambda s: s.saved / "t.csv"),
    "score --maps into the images": score("--maps", lambda s: s.photographs),
    "score --maps below the images": score("--maps", lambda s: s.photographs / "maps"),
    "score --maps above the images": score("--maps", lambda s: s.photographs.parent),
    "score --maps into the images by a link": score("--maps", linked(lambda s: s.photographs)),
    "score --maps onto a file": score("--maps", lambda s: s.saved),
    "score --maps into no folder": score("--maps", in_folder("no/such")),
    "score --report without labels": score("--report", in_folder("r.html")),
    "score --report over an image": lambda s: [
        "score",
        s.saved,
        s.category,
        "--report",
        s.category / "test/good/0.png",
    ],
    "score --report over a mask": lambda s: [
        "score",
        s.saved,
        s.category,
        "--report",
        s.category / "ground_truth/dent/0_mask.png",
    ],
    "score --report and --csv alike": lambda s: [
        "score",
        s.saved,
        s.category,
        "--report",
        s.folder / "r",
        "--csv",
        s.folder / "r",
    ],
    "score --map-method x": score("--map-method", "x"),
    **{f"fit --alpha {a}": fit("--alpha", a) for a in ("0", "2", "nan", "x")},
    **{f"fit --epochs {n}": fit("--epochs", n) for n in ("0", "-1", "x", "1.5")},
    **{f"fit --size {n}": fit("--size", n) for n in ("0", "62", "-448", "x", "99999")},
    **{f"fit --rotations {n}": fit("--rotations", n) for n in ("0", "-1", "x")},
    **{f"fit --noise {n}": fit("--noise", n) for n in ("-1", "nan", "inf", "0", "x")},
    **{f"fit --holdout {n}": fit("--holdout", n) for n in ("0", "1", "2", "nan")},
    **{f"fit --seed {n}": fit("--seed", n) for n in ("-1", "x", str(2**63))},
    **{f"fit --angles {a}": fit("--angles", *a.split()) for a in ("nan", "x", "inf 3", "")},
    "fit --angles and --rotations": fit("--angles", "0", "--rotations", "4"),
    "fit --preset of a baseline": fit("--method", "1-nn", "--preset", "paper"),
    "fit --method x": fit("--method", "x"),
    "fit --device xpu": fit("--device", "xpu"),
    "fit --out over an image": fit("--out", lambda s: s.photographs / "00.png"),
    "fit --out over an image by a link": fit("--out", linked(lambda s: s.photographs / "02.png")),
    "fit --out onto a folder": fit("--out", lambda s: s.folder),
    "fit --out into no folder": fit("--out", in_folder("no/m")),
    "fit of nothing": lambda s: ["fit", s.folder / "nowhere", "--out", s.folder / "m"],
    "fit of an empty folder": lambda s: ["fit", s.folder, "--out", s.folder / "m"],
    "fit of a model": lambda s: ["fit", s.saved, "--out", s.folder / "m"],
    "fit without --out": lambda s: ["fit", s.photographs],
    "demo of no folder": lambda s: ["demo", s.folder / "nowhere", "--report", s.folder / "r"],
    "demo --report into no folder": lambda s: ["demo", s.category, "--report", s.folder / "no/r"],
    "demo --report over an image": lambda s: [
        "demo",
        s.category,
        "--report",
        s.category / "train/good/0.png",
    ],
    "demo --alpha 2": lambda s: ["demo", s.category, "--alpha", "2", "--report", s.folder / "r"],
    "demo without labels": lambda s: ["demo", without_test(s), "--report", s.folder / "r"],
    "prepare x": lambda s: ["prepare", "x"],
    "prepare mvtec of nothing": lambda s: ["prepare", "mvtec"],
    "prepare mtd without split": lambda s: ["prepare", "mtd", s.folder],
    "prepare samples into a file": lambda s: ["prepare", "samples", "--root", s.saved],
}


def on_special(target: str, s: Any) -> bool:
    """A device stays a device."""
    before = os.stat(target)
    status, _, said = run(score("--csv", target), s)
    after = os.stat(target)
    full = status == 2 and "No space" in said
    return stat.S_ISCHR(after.st_mode) and before.st_ino == after.st_ino and (status == 0 or full)


def through_a_link(s: Any) -> bool:
    (s.folder / "real.csv").write_text("old")
    (s.folder / "link.csv").symlink_to("real.csv")
    status, _, _ = run(score("--csv", s.folder / "link.csv"), s)
    return (
        status == 0
        and (s.folder / "link.csv").is_symlink()
        and "score" in (s.folder / "real.csv").read_text()
    )


def formulas(s: Any) -> bool:
    """Names that begin as formulas do never begin a cell."""
    folder = s.folder / "f"
    folder.mkdir()
    for k, name in enumerate(
        ("=1+1.png", "@a.png", "+a.png", "-a.png", "\ta.png", "\x1b[31mred.png", "a\nb.png")
    ):
        Image.fromarray(s.picture(k)).save(folder / name)
    here = os.getcwd()
    os.chdir(folder)
    try:
        status, out, said = run(lambda s: ["score", s.saved, ".", "--csv", s.folder / "t.csv"], s)
    finally:
        os.chdir(here)
    import csv

    with (s.folder / "t.csv").open(newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    return (
        status == 0
        and len(names) == 7
        and not any(n[0] in "=@+-\t" for n in names)
        and "\x1b" not in out + said
    )


def interrupted(s: Any) -> bool:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    s.patch.setattr(DifferNet, "fit", stop)
    status, _, said = run(fit(), s)
    return status == 130 and "Traceback" not in said and not (s.folder / "m").exists()


def broken_pipe(s: Any) -> bool:
    class Gone:
        encoding, errors = "utf-8", "strict"

        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise OSError

    s.patch.setattr(sys, "stdout", Gone())
    quick = DifferNet(**s.tiny | {"calibration": "split"}).settings
    s.patch.setitem(settings.PRESETS, "default", quick)
    return main(["score", str(s.saved), str(s.photographs)]) == 0


EXPERIMENTS: dict[str, Arguments] = {
    "an unknown method": lambda s: [
        "table1",
        "--categories",
        s.category,
        "--methods",
        "x",
        "--out",
        s.folder / "o",
    ],
    "no category": lambda s: [
        "table1",
        "--categories",
        s.folder / "nowhere",
        "--out",
        s.folder / "o",
    ],
    "a category without test": lambda s: [
        "table1",
        "--categories",
        without_test(s),
        "--out",
        s.folder / "o",
    ],
    "no seeds": lambda s: [
        "table1",
        "--categories",
        s.category,
        "--seeds",
        "0",
        "--out",
        s.folder / "o",
    ],
    "seeds below 0": lambda s: [
        "table1",
        "--categories",
        s.category,
        "--seeds",
        "-3",
        "--out",
        s.folder / "o",
    ],
    "out a file": lambda s: ["table1", "--categories", s.category, "--out", s.saved, "--jobs", "1"],
    "no scheduler": lambda s: [
        "table1",
        "--categories",
        s.category,
        "--out",
        s.folder / "o",
        "--scheduler",
        "nonsense",
    ],
    "two categories of one name": lambda s: [
        "table1",
        "--categories",
        s.category,
        _twin(s),
        "--out",
        s.folder / "o",
    ],
    "an unknown study": lambda s: ["x"],
    "jobs no number": lambda s: ["table1", "--jobs", "x"],
    "jobs 0": lambda s: [
        "table1",
        "--categories",
        s.category,
        "--jobs",
        "0",
        "--out",
        s.folder / "o",
    ],
    "an unknown device": lambda s: [
        "table1",
        "--categories",
        s.category,
        "--device",
        "xpu",
        "--out",
        s.folder / "o",
        "--jobs",
        "1",
    ],
}


def _twin(s: Any) -> Path:
    if not (s.folder / "part").exists():
        shutil.copytree(s.category, s.folder / "part")
    return s.folder / "part"


def refused_experiment(arguments: Arguments, s: Any) -> bool:
    status, _, said = run(arguments, s, experiments)
    return status == 2 and bool(WORDS.search(said) or "usage:" in said) and "Traceback" not in said


def cases() -> Iterator[Case]:
    for name, arguments in REFUSED.items():
        group = (
            "11 early"
            if name.startswith(("fit", "demo"))
            else "10 outputs"
            if "--csv" in name or "--maps" in name or "--report" in name
            else "14 command line"
        )
        yield Case(group, name, functools.partial(refused, arguments), "right", bool)
    for target in ("/dev/null", "/dev/full"):
        yield Case(
            "10 outputs", f"--csv {target}", functools.partial(on_special, target), "right", bool
        )
    for function in (through_a_link, formulas, interrupted, broken_pipe):
        yield Case("14 command line", function.__name__, function, "right", bool)
    for name, arguments in EXPERIMENTS.items():
        yield Case(
            "14 command line",
            f"experiments: {name}",
            functools.partial(refused_experiment, arguments),
            "right",
            bool,
        )
