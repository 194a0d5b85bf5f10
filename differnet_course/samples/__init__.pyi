from .folders import default_data_root as default_data_root
from .folders import make_sample_category as make_sample_category
from .images import DEFECTS as DEFECTS
from .images import SAMPLE_CATEGORIES as SAMPLE_CATEGORIES
from .images import VERSION as VERSION
from .images import VIEWS as VIEWS
from .images import render as render
