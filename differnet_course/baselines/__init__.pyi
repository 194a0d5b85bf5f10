from .registry import BASELINES as BASELINES
from .registry import load_detector as load_detector
from .registry import make_detector as make_detector
