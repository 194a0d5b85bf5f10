from .evaluating import Evaluation as Evaluation
from .evaluating import evaluate as evaluate
