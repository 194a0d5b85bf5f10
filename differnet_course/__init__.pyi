from . import check as check
from . import flows as flows
from . import studies as studies
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .samples import SAMPLE_CATEGORIES as SAMPLE_CATEGORIES
from .samples import make_sample_category as make_sample_category
