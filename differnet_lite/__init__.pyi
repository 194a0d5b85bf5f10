from .cache import FeatureError as FeatureError
from .detector import DifferNet as DifferNet
from .detector import NotFittedError as NotFittedError
from .detector import load as load
from .images import ImageError as ImageError
from .listing import DatasetError as DatasetError
from .model_file import CheckpointError as CheckpointError
from .settings import Settings as Settings
from .thresholds import TooFewNormalsError as TooFewNormalsError
from .thresholds import conformal_threshold as conformal_threshold
from .transforms import Transformations as Transformations

__version__: str
