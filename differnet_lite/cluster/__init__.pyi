from .connecting import connected as connected
from .fitting import fit_on_cluster as fit_on_cluster
from .parts import read_parts as read_parts
from .scoring import score_on_cluster as score_on_cluster
