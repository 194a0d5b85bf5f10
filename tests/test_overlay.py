"""The map over its photograph: in its own size and shape, outlined where the level is reached."""

from __future__ import annotations

import numpy as np
from PIL import Image

from differnet_lite.maps import MapLevels
from differnet_lite.overlay import LINE, MARKED, TOP, painted, ramp_position

LEVELS = MapLevels(usual=1.0, level=2.0, alpha=0.05)


def test_the_ramp_begins_at_usual_meets_the_level_and_ends() -> None:
    values = np.array([0, 0.5, 1, 2**0.5, 1.9999, 2, 4, 2 * TOP, 100])
    position = ramp_position(values, LEVELS)
    expected = [0, 0, 0, MARKED / 2, MARKED, MARKED, MARKED + 0.6 / 3, 1, 1]
    np.testing.assert_allclose(position, expected, atol=1e-4)
    assert (position[values < 2] < MARKED).all(), "what is below the level is never marked"
    alike = MapLevels(usual=2.0, level=2.0, alpha=0.05)  # so few images that there is no between
    assert ramp_position(np.array([1.99, 2.0]), alike).tolist() == [0, MARKED]


def test_what_reaches_the_level_is_outlined_in_the_photographs_shape() -> None:
    values = np.zeros((64, 64), np.float32)
    values[16:32, 8:24] = 2.0
    photograph = Image.new("RGB", (640, 128), (90, 120, 150))
    drawn = np.asarray(painted(photograph, values, LEVELS))
    assert drawn.shape == (128, 640, 3)
    line = (drawn == np.array(tuple(bytes.fromhex(LINE[1:])))).all(-1)
    rows, columns = np.nonzero(line)
    # 16:32 of 64 is 32:64 of 128, 8:24 is 80:240 of 640; a stretched pixel reaches half over
    assert abs(rows.min() - 32) <= 2 and abs(rows.max() - 63) <= 2
    assert abs(columns.min() - 80) <= 10 and abs(columns.max() - 239) <= 10
    assert not line[40:56, 100:220].any(), "a line and no filled place"
    far = drawn[:, 300:]
    assert (far == [90, 120, 150]).all(), "as normal as normal places: its own colours"
    assert (drawn[48, 160] != [90, 120, 150]).any()
