from .cache import FeatureError as FeatureError
from .calibration.thresholding import TooFewNormalsError as TooFewNormalsError
from .calibration.thresholding import conformal_threshold as conformal_threshold
from .data.checkpoint import CheckpointError as CheckpointError
from .data.datasets import Category as Category
from .data.datasets import DatasetError as DatasetError
from .data.datasets import load_category as load_category
from .data.images import ImageError as ImageError
from .detector import Detector as Detector
from .detector import NotFittedError as NotFittedError
from .evaluation.evaluating import Evaluation as Evaluation
from .evaluation.evaluating import evaluate as evaluate
from .model import DifferNet as DifferNet
from .settings import Settings as Settings
from .transforms import Transformations as Transformations

__version__: str
