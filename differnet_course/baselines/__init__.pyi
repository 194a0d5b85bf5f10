from .detector import BASELINES as BASELINES
from .detector import BaselineDetector as BaselineDetector
from .detector import make_detector as make_detector
