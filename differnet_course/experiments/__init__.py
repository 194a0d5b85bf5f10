"""Comparisons: methods, categories, seeds and settings, and the studies of the paper.

Reading order: running (cells and their table), studies (the paper's, and their summaries),
chosen_epoch, promise (the false-alarm study). Needs pandas and joblib:
`pip install 'differnet_lite[experiments]'`.
"""

from differnet_course.experiments.running import run
from differnet_course.experiments.studies import STUDIES, Study, as_text, provenance, summarise
from differnet_course.published import published_table

__all__ = ["STUDIES", "Study", "as_text", "provenance", "published_table", "run", "summarise"]
