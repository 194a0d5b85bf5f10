"""The command line: each study is one command, and bad input one clear line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from differnet_course.experiments import STUDIES
from differnet_course.experiments.__main__ import main
from differnet_course.experiments.studies import TABLE1_METHODS
from tests.experiments.conftest import Fake, refuse

STUDY_CELLS = {"table1": len(TABLE1_METHODS) * 2, "few-shot": 4 * 7 * 2, "ablations": 17 * 2}


@pytest.mark.parametrize("study", list(STUDIES))
def test_a_study_is_one_command(
    study: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        study,
        "--categories",
        str(folder),
        "--out",
        str(tmp_path),
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--no-progress",
    ]
    assert main(arguments, make=Fake) == 0
    printed = capsys.readouterr()
    assert "range" in printed.out
    table, summary = (
        pd.read_csv(tmp_path / f"{study}.csv"),
        pd.read_csv(tmp_path / f"{study}-summary.csv"),
    )
    assert len(table) == STUDY_CELLS[study] == len(Fake.fits) + table["error"].notna().sum()
    assert table["n_train"].max() == (32 if study == "few-shot" else 6)
    if study == "few-shot":  # 8, 16 and 32 of 6 images
        assert printed.err.count("expected at least") == 4 * 3
        error = "ValueError: expected at least 8 training images, got 6"
        assert f"failed: 1-nn, 2 cell(s) on bottle: {error}" in printed.err
        assert summary["n_train"].is_monotonic_increasing
        assert (summary["auroc"].isna() == (summary["n_train"] > 6)).all()
    page = (tmp_path / f"{study}.html").read_text(encoding="utf-8")
    assert "arXiv 2008.12577" in page
    assert "http" not in page.split("<main>")[1].split("<script")[0]
    assert main([*arguments, "--quick"], make=Fake) == 0  # other cells, in the same folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--categories", "nowhere"], "nowhere: there is no such folder"),
        (
            ["--methods", "magic", "--categories", "nowhere"],
            "--methods: expected some of geotrans,",
        ),
        (["--seeds", "0"], "seeds: expected at least one"),
        (["--scheduler", "tcp://127.0.0.1:9"], "expected a Dask scheduler at tcp://127.0.0.1:9"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(distributed, "Client", refuse)
    monkeypatch.chdir(tmp_path)
    if "--categories" not in arguments:
        arguments = [*arguments, "--categories", str(folder)]
    assert main(["table1", *arguments, "--no-progress"], make=Fake) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not list(tmp_path.iterdir())


def test_a_figure_without_a_browser_is_html_alone(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("kaleido")
    arguments = [
        "table1",
        "--categories",
        str(folder),
        "--methods",
        "1-nn",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--out",
        str(tmp_path),
        "--no-progress",
    ]
    assert main(arguments, make=Fake) == 0
    assert (tmp_path / "table1.png").read_bytes() == b"PNG"
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", refuse)
    assert main(arguments, make=Fake) == 0
    assert "no PNG was drawn (timed out)" in capsys.readouterr().err


def test_a_study_in_which_nothing_works_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "table1",
        "--categories",
        str(folder),
        "--methods",
        "1-nn",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--out",
        str(tmp_path),
        "--no-progress",
    ]
    assert main(arguments, make=lambda name, **options: Fake("breaks", **options)) == 1
    assert "failed: 1-nn, 1 cell(s) on bottle: ValueError: a bad day" in capsys.readouterr().err
