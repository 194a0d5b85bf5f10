"""Shared fixtures: a tiny category, fast extractors and a small model, made once a session."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from differnet_course.samples import make_sample_category
from differnet_lite import DifferNet, Transformations
from differnet_lite.features import MultiScaleExtractor

LONGEST = ("test_browser.py", "test_nbgrader.py", "test_localization.py", "test_package.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes first: at the end one would leave the other cores idle."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The feature cache's folder for the session: the user's own is neither read nor written."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFERNET_LITE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def category_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 normal training images, 4 normal test images and 2 of each kind of defect, with masks."""
    return make_sample_category(
        "flange",
        tmp_path_factory.mktemp("data"),
        n_train=12,
        n_test_good=4,
        n_per_defect=2,
        progress=False,
    )


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Arguments of `DifferNet` that fit in seconds."""
    return {
        "transformations": Transformations.grid(4),
        "size": 256,
        "dtype": "float32",
        "n_blocks": 4,
        "hidden": 32,
        "epochs": 4,
        "map_images": 12,
        "device": "cpu",
        "progress": False,
    }


@pytest.fixture(scope="session")
def tiny(small: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a model that fits in a fraction of a second."""
    return small | {"size": 64, "n_scales": 1, "hidden": 8, "n_blocks": 2, "epochs": 2}


@pytest.fixture(scope="session")
def model(category_folder: Path, small: dict[str, Any]) -> DifferNet:
    """A fitted model; tests read it and never change it."""
    return DifferNet(**small).fit(category_folder)


@pytest.fixture(scope="session")
def test_images(category_folder: Path) -> list[Path]:
    """Paths of the category's test images, in order."""
    return sorted((category_folder / "test").rglob("*.png"))


@pytest.fixture(scope="session")
def scores(model: DifferNet, test_images: list[Path]) -> np.ndarray:
    """The model's scores of them."""
    return model.anomaly_scores(test_images)


@pytest.fixture(scope="session")
def extractor() -> MultiScaleExtractor:
    """Three scales at the smallest size, float32."""
    return MultiScaleExtractor(size=256, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny_extractor() -> MultiScaleExtractor:
    """One scale at 64 px: 256 features in milliseconds."""
    return MultiScaleExtractor(size=64, n_scales=1, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """Makes smooth random RGB pictures: picture(seed, size) is (size, size, 3) uint8."""

    def make(seed: int = 0, size: int = 64, smooth: float = 3.0) -> np.ndarray:
        noise = ndimage.gaussian_filter(
            np.random.default_rng(seed).standard_normal((size, size, 3)), (smooth, smooth, 0)
        )
        return np.rint(np.clip(128 + 50 * noise / noise.std(), 0, 255)).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def program() -> Callable[[str], ModuleType]:
    """Imports a program that is no part of the package, by its path: "benchmarks/gpu.py"."""

    def load(program_path: str) -> ModuleType:
        path = Path(__file__).parents[1] / program_path
        spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """put("train/good/a.png", value) writes a small grey image of its own content."""
    counter = iter(range(1, 250))

    def write(name: str, value: int | None = None, size: tuple[int, int] = (8, 8)) -> Path:
        path = tmp_path / "part" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, next(counter) if value is None else value).save(path)
        return path

    return write


@pytest.fixture
def photographs(tmp_path: Path, picture: Callable[..., np.ndarray]) -> list[Path]:
    """Five small PNG files of different content."""
    paths = [tmp_path / "photographs" / f"{k}.png" for k in range(5)]
    paths[0].parent.mkdir()
    for k, path in enumerate(paths):
        Image.fromarray(picture(k)).save(path)
    return paths


@pytest.fixture
def float64() -> Iterator[None]:
    """The test runs with torch's default dtype float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def untouched_generators() -> Iterator[None]:
    """Fails the test that moves NumPy's or torch's global random generator."""
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    yield
    for before, after in zip(numpy_state, np.random.get_state(), strict=True):
        np.testing.assert_array_equal(before, after, err_msg="NumPy's global generator was moved")
    assert torch.equal(torch_state, torch.get_rng_state()), "torch's global generator was moved"
