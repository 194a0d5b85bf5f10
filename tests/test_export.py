"""A model as one torch module and as ONNX: the same scores and maps as the package's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from differnet_lite import DifferNet, Transformations
from differnet_lite.cli.commands import main
from differnet_lite.export import export_onnx
from differnet_lite.images import as_rgb, decode


def test_a_module_scores_and_draws_as_the_package(
    model: DifferNet, test_images: list[Path], scores: np.ndarray
) -> None:
    module = model.as_module()
    margin = 1e-3 * model.threshold(if_too_few="fallback").value
    chosen = test_images[::2][:5]
    x = torch.stack([decode(path, model.settings.size) for path in chosen])
    maps = model.anomaly_maps(chosen)
    for images in (x, x.float() / 255):
        with torch.inference_mode():
            given, drawn = module(images)
        np.testing.assert_allclose(given, scores[::2][:5], rtol=0, atol=margin)
        np.testing.assert_allclose(drawn, maps, rtol=0.01, atol=1e-3 * maps.max())
    assert not any(parameter.requires_grad for parameter in module.extractor.parameters())
    assert len(module(x[:1])[0]) == 1


def test_a_module_takes_photographs_of_their_own_size(
    model: DifferNet, test_images: list[Path], scores: np.ndarray
) -> None:
    photograph = np.asarray(as_rgb(test_images[0]))
    assert photograph.shape[0] != model.settings.size
    x = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        given, drawn = model.as_module()(x)
    assert drawn.shape == (1, 256, 256)
    assert abs(given.item() - scores[0]) < 0.02 * scores[0], "Pillow rounds what it resizes"


def test_a_module_of_one_format_and_of_flows_that_see_every_view(
    tiny: dict[str, Any], model: DifferNet, test_images: list[Path]
) -> None:
    """The trunk's weights are not rounded on the way, whatever format the model has."""
    options = tiny | {"dtype": "bfloat16", "pool_views": False, "map_images": 0, "folds": 2}
    rounded = DifferNet(**options, use_log_det=True).fit(test_images[:8])
    x = torch.stack([decode(path, 64) for path in test_images[8:10]])
    with torch.inference_mode():
        given, drawn = rounded.as_module()(x)
    assert not drawn.any(), "a model without statistics for maps"
    exact = DifferNet(**options | {"dtype": "float32"}, use_log_det=True)
    expected = rounded.scorer.scores(exact.features(test_images[8:10]))
    np.testing.assert_allclose(given, expected, rtol=1e-3)
    jitters = Transformations(angles=(0, 180), brightness=0.1)
    with pytest.raises(ValueError, match="scores at random"):
        DifferNet(**tiny | {"transformations": jitters}).fit(test_images[:6]).as_module()


@pytest.mark.slow
def test_onnx_scores_and_draws_as_the_package(
    small: dict[str, Any], category_folder: Path, test_images: list[Path], tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = DifferNet(**small | {"n_blocks": 2, "folds": 2, "epochs": 1}).fit(category_folder)
    chosen = test_images[::2][:5]
    x = torch.stack([decode(path, model.settings.size) for path in chosen])
    model.save(tmp_path / "part.safetensors")
    assert main(["export", f"{tmp_path}/part.safetensors", f"{tmp_path}/part.onnx"]) == 0
    session = runtime.InferenceSession(tmp_path / "part.onnx", providers=["CPUExecutionProvider"])
    scores, maps = session.run(["scores", "maps"], {"images": x.numpy()})
    margin = 1e-3 * model.threshold(if_too_few="fallback").value
    np.testing.assert_allclose(scores, model.anomaly_scores(chosen), rtol=0, atol=margin)
    expected = model.anomaly_maps(chosen)
    np.testing.assert_allclose(maps, expected, rtol=0.01, atol=1e-3 * expected.max())
    alone = session.run(["scores"], {"images": x[:1].numpy()})[0]
    np.testing.assert_allclose(alone, scores[:1], rtol=1e-5, err_msg="any number of images")


def test_an_export_without_its_packages_says_what_to_install(
    model: DifferNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="onnxscript: pip install"):
        export_onnx(model, tmp_path / "part.onnx")
