"""Built-in sample categories in the layout of MVTec AD, generated on the spot.

Every image is computed from a seed. Results on them teach the method; they are no results on
MVTec AD.

| category | pose | colour | what it teaches |
|---|---|---|---|
| `flange` | any rotation | grey | rotations of the test image average out the pose |
| `weave` | fills the frame | grey | brightness drifts between training and test |
| `tablet` | fixed, a few degrees | RGB | small defects under print and speckles |
| `switch` | fixed | RGB | the defect "turned" disappears under rotation augmentation |
| `button` | any rotation | RGB | two finishes are no Gaussian cloud: what the trained flow is for |

All arithmetic is float64 on one thread, without BLAS or FFT: the same bits are expected everywhere.
The tests pin them, and the manifest's sha256 shows them.

Reading order: shapes, rendering, a file for each category (its `scene(part, flaw, defect)` draws
what is normal from the generator `part`, and the defect alone from `flaw`), images, folders.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
